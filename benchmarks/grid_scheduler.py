"""What planning, watching and driving 1,000 cells costs, and how busy the scheduler keeps a cluster of 1,000 GPUs.

    python benchmarks/grid_scheduler.py [--seeds 63] [--repeats 5]

The demo's 16 cells with 63 seeds, their real identities over the demo's prepared stores (where there are none: over
stores of the same tables, written here). `uniferum grid plan` and `uniferum grid status` are timed as a person runs
them, as processes, once unmeasured and then the median; the driver's memory is that of a process of its own which has
Ray and MLflow loaded. The cluster is simulated in virtual time; the scheduler sees estimates, not lengths. Needs no
running Ray. Exit code 1 where a goal is missed.
"""

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from orchestration.attempt.attempt import Attempt, AttemptResult
from orchestration.grid.cells import expand
from orchestration.grid.config import GridConfig, Policy, load_grid
from orchestration.grid.plan import make_plan
from orchestration.grid.planned import PlannedCell
from orchestration.ledger.ledger import Command, Ledger
from orchestration.scheduling.executor import NoopExecutor
from orchestration.scheduling.scheduler import Scheduler
from orchestration.scheduling.simulation import SimulatedCluster

ROOT = Path(__file__).parents[1]
GRID = ROOT / "configs" / "demo_grid.yaml"
PLAN_S, STATUS_S, DRIVER_MB, USEFUL = 2.0, 1.0, 500.0, 0.95
"""The goals: at most, at most, at most, at least."""
ERROR, DRAWS = 0.3, 9
"""Sigma of the log-normal error of a cell's expected hours, as the scheduler sees them, and draws of it."""


class Deaf:
    """Hears nothing and asks nothing: the simulation measures the schedule, not the disk."""

    def moved(self, attempt: Attempt, state: str, result: AttemptResult | None) -> None:
        pass

    def paused(self, reason: str | None) -> None:
        print("paused:", reason)

    def commands(self) -> Sequence[Command]:
        return ()

    def may_start(self) -> str | None:
        return None


class LedgerListener(Deaf):
    """What the driver's listener does for each move: one transaction."""

    def __init__(self, ledger: Ledger, folders: dict[str, str]) -> None:
        self.ledger, self.folders = ledger, folders

    def moved(self, attempt: Attempt, state: str, result: AttemptResult | None) -> None:
        self.ledger.note(attempt.name, state, attempt=attempt.number, folder=self.folders[attempt.name])

    def commands(self) -> Sequence[Command]:
        return self.ledger.take_commands()


def write_tables(folder: Path, scans: int = 500) -> dict[str, str]:
    """Stores without volumes: identity reads their tables alone."""
    from uniferum.data.vocabulary import Vocabulary
    from uniferum.preprocessing.pipeline import PreparationConfig
    from uniferum.preprocessing.store.store import Store

    for name in ("CTRATE", "INSPECT", "RADCHEST", "LUNA16"):
        splits = {f"{name}_{n:04d}": ("train", "train", "train", "validation", "test")[n % 5] for n in range(scans)}
        rows = [
            {"scan_id": scan, "patient_id": scan, "study_id": scan, "split": split, "checksum": f"{n:064x}"}
            for n, (scan, split) in enumerate(splits.items())
        ]
        words = Vocabulary.load().of_cohort(name)
        known = [{"scan_id": s, "label": w, "value": (n + len(w)) % 2} for n, s in enumerate(splits) for w in words]
        Store.create(folder / name, {"name": name}, PreparationConfig()).finish(rows, known, [], {})
    return {name: str(folder / name) for name in ("CTRATE", "INSPECT", "RADCHEST", "LUNA16")}


def settings_of(folder: Path, seeds: int) -> list[str]:
    """The demo's grid with many seeds and a root of its own."""
    settings = [f"root={folder / 'runs'}", f"seeds={list(range(seeds))}"]
    stores = load_grid(GRID).stores
    if all((ROOT / store / "store.json").exists() for store in stores.values()):
        return [*settings, f"stores={json.dumps({name: str(ROOT / store) for name, store in stores.items()})}"]
    return [*settings, f"stores={json.dumps(write_tables(folder / 'stores'))}"]


def timed(verb: str, settings: Sequence[str], expected: str, repeats: int) -> float:
    """The median of a command's seconds as a process, the first one unmeasured; ``expected`` stands in what it says."""
    overrides = [part for setting in settings for part in ("--set", setting)]
    command = [str(Path(sys.executable).with_name("uniferum")), "grid", verb, str(GRID), *overrides]
    found = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        said = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(time.perf_counter() - started)
        assert expected in said.stderr, said.stderr[-2000:]
    print(f"  grid {verb}, process by process: {', '.join(f'{seconds:.2f}' for seconds in found)} s")
    return statistics.median(found[1:])


def drive(settings: Sequence[str]) -> None:
    """The child: plan, and schedule no-op cells, with everything loaded that a driver loads; says figures as JSON."""
    import mlflow
    import ray

    from orchestration.driver.run import attempt_of

    assert mlflow.MlflowClient is not None, "loaded when it is first asked for"
    assert ray.util is not None
    grid = load_grid(GRID, settings)
    started = time.perf_counter()
    planned = make_plan(grid, expand(grid, source=str(GRID)))
    planned_s = time.perf_counter() - started
    attempts = [attempt_of(grid, p) for p in planned]
    listener = LedgerListener(Ledger.of(grid), {p.cell.name: str(p.folder) for p in planned})
    started = time.perf_counter()
    states = Scheduler(NoopExecutor(16), listener, Policy()).run(attempts)
    assert set(states.values()) == {"done"}
    scheduled_s = time.perf_counter() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"planned_s": planned_s, "scheduled_s": scheduled_s, "peak_mb": peak_mb}))


def driver_memory(settings: Sequence[str], cells: int) -> float:
    """Peak MB of the child, which leaves a ledger with every cell behind."""
    said = subprocess.run([sys.executable, __file__, "--drive", *settings], check=True, capture_output=True, text=True)
    found = json.loads(said.stdout.splitlines()[-1])
    each = 1000 * found["scheduled_s"] / cells
    print(f"  {cells} cells in the driver: expanded and planned in {found['planned_s']:.2f} s", end="; ")
    print(f"no-op cells scheduled with a ledger in {found['scheduled_s']:.2f} s, {each:.2f} ms a cell")
    return found["peak_mb"]


def finish(planned: Sequence[PlannedCell]) -> None:
    """The records of finished cells."""
    for p in planned:
        assert p.folder is not None
        p.folder.mkdir(parents=True)
        facts = {"training_fingerprint": p.training_fingerprint, "evaluation_fingerprint": p.evaluation_fingerprint}
        record = {**facts, "steps": 100, "seconds": 12.0, "selection": {"value": 0.7}, "finished": 1.0}
        (p.folder / "result.json").write_text(json.dumps(record))


def thousand(seeds: int, repeats: int) -> list[bool]:
    """Plan, drive and watch; whether each goal is met."""
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_of(Path(folder), seeds)
        grid = load_grid(GRID, settings)
        cells = expand(grid)
        print(f"{len(cells)} cells of {GRID.name}, {repeats} repeats:")
        met = [goal(f"plan of {len(cells)} due cells", timed("plan", settings, "due", repeats), PLAN_S, "s")]
        met.append(goal("driver's peak memory", driver_memory(settings, len(cells)), DRIVER_MB, "MB"))
        finish(make_plan(grid, cells))
        done = f"{len(cells)} done"
        met.append(goal(f"status of {done}, no driver", timed("status", settings, done, repeats), STATUS_S, "s"))
        met.append(goal(f"status of {done}, driven", _while_driven(grid, settings, done, repeats), STATUS_S, "s"))
    return met


def _while_driven(grid: GridConfig, settings: Sequence[str], done: str, repeats: int) -> float:
    """As a person looks while a driver lives: from ledger and records both."""
    ledger = Ledger.of(grid)
    token = ledger.take_lease()
    assert token is not None, "nobody else drives"
    try:
        return timed("status", settings, f"{done}; driver:", repeats)
    finally:
        ledger.release(token)
        ledger.close()


def simulated(
    sigma: float, seed: int, nodes: int = 125, slots: int = 8, cells: int = 10_000, failures_per_node_day: float = 0.2
) -> float:
    """The useful share of a cluster whose nodes fail: cells of uneven length, estimated with a log-normal error.

    Lengths and failures too are drawn by ``seed``.
    """
    draw, error = random.Random(seed), random.Random(1000 + seed)
    lengths = [draw.lognormvariate(9.0, 0.6) for _ in range(cells)]  # seconds, median 2.3 h
    attempts = [
        Attempt(f"c{n}", "", {}, {}, expected_hours=length / 3600 * error.lognormvariate(0.0, sigma))
        for n, length in enumerate(lengths)
    ]
    lengths_s = {f"c{n}": length for n, length in enumerate(lengths)}
    cluster = SimulatedCluster(nodes, slots, lengths_s, failures_per_node_day=failures_per_node_day, seed=seed)
    started = time.perf_counter()
    states = Scheduler(cluster, Deaf(), Policy(retries=20, backoff_s=5, breaker=0), poll_s=30.0).run(attempts)
    seconds = time.perf_counter() - started
    assert set(states.values()) == {"done"}
    account, total = cluster.account, cluster.time * nodes * slots
    assert abs(account.useful - sum(lengths)) < 1.0, "every cell's work is done exactly once"
    rest = {"lost": account.lost, "starting": account.starting, "nodes down": account.down}
    rest["idle"] = total - account.useful - sum(rest.values())  # mostly the tail, with fewer cells than slots left
    shares = ", ".join(f"{name} {100 * value / total:.2f} %" for name, value in rest.items())
    print(f"  seed {seed}, sigma {sigma:g}: useful {100 * account.useful / total:.2f} %, {shares}", end="; ")
    print(f"{cluster.time / 3600:.1f} h of virtual time in {seconds:.1f} s", flush=True)
    return account.useful / total


def thousand_gpus() -> bool:
    """Whether the slots are busy enough in the median of several draws: one lucky or unlucky tail decides nothing."""
    print(
        "10,000 cells on 1,000 simulated GPUs, 0.2 failures a node and day; sigma: log-normal error of expected hours"
    )
    simulated(0.0, 1)  # what the schedule loses by itself, for comparison
    shares = [simulated(ERROR, seed) for seed in range(1, DRAWS + 1)]
    print(f"  useful share over {DRAWS} draws: {min(shares):.4f} to {max(shares):.4f}")
    return goal("useful share of the slots' time, median", statistics.median(shares), USEFUL, "", at_least=True)


def goal(name: str, value: float, bound: float, unit: str, *, at_least: bool = False) -> bool:
    """Print a figure beside its goal; whether it is met."""
    met = value >= bound if at_least else value <= bound
    side = "at least" if at_least else "at most"
    print(f"{name}: {value:.4g} {unit} ({side} {bound:g}): {'met' if met else 'MISSED'}".replace("  ", " "), flush=True)
    return met


def main() -> None:
    """Both parts; exit code 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=63, help="for each of the demo's 16 cells")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--drive", nargs="+", metavar="SETTING", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.drive:
        return drive(given.drive)
    met = thousand(given.seeds, given.repeats)
    met.append(thousand_gpus())
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
