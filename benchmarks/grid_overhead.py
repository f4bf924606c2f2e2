"""What a cell costs besides its training: a bare Ray Train run, a cell in a new worker group, cells in a warm one.

    python benchmarks/grid_overhead.py [--cells 4] [--repeats 3]

Prints seconds from due to the first step, and from the last step until the scheduler knows, and the ratios of their
sums. The cells train nothing: ``train_run`` here says one step and returns. A round is a bare run and a worker group
with its cells, the other way round in every second one; the first round fills the page cache and is not counted, and
the figures are medians over the rest. Exit code 1 where a goal is missed.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestration.attempt.attempt import Attempt, AttemptResult
from orchestration.cluster import connect
from orchestration.cluster.ray_executor import RayExecutor
from orchestration.grid.config import Policy
from orchestration.grid.resources import Resources
from orchestration.ledger.ledger import Command
from orchestration.scheduling.scheduler import Scheduler

NEW, WARM = 1.3, 1 / 3
"""The goals: at most so many times a bare run's overhead, for a cell in a new worker group and in a warm one."""

Overhead = tuple[float, float]
"""Seconds from due to the first step, and from the last step until it is known."""


def train_run(config: Any, stores: Any, folder: Path, reporter: Any, **_: Any) -> None:
    """One step of nothing; when it was is written down."""
    at = time.time()
    reporter.metrics(1, {"loss": 0.0})
    (folder / "bench.json").write_text(json.dumps({"first": at, "last": time.time()}))


def evaluate_run(*_: Any) -> None:
    """Never called here."""


class Clock:
    """When each cell became due and when it was known to be done."""

    def __init__(self) -> None:
        self.due: dict[str, float] = {}
        self.done: dict[str, float] = {}

    def moved(self, attempt: Attempt, state: str, result: AttemptResult | None) -> None:
        if state == "running":
            self.due[attempt.name] = time.time()
        elif state == "done":
            self.done[attempt.name] = time.time()
        else:
            print(attempt.name, state, result)

    def paused(self, reason: str | None) -> None:
        print("paused", reason)

    def commands(self) -> Sequence[Command]:
        return ()

    def may_start(self) -> str | None:
        return None


def bare(settings: Mapping[str, Any]) -> None:
    """What a bare Ray Train run does: report once."""
    import ray.train

    Path(settings["mark"]).write_text(json.dumps({"first": time.time()}))
    ray.train.report({"loss": 0.0})


def launch_bare(mark: str, storage: str) -> None:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    TorchTrainer(
        bare,
        train_loop_config={"mark": mark},
        scaling_config=ScalingConfig(num_workers=1),
        run_config=RunConfig(name="bare", storage_path=storage),
    ).fit()


def measure_bare(root: Path) -> Overhead:
    """One bare run, launched as the driver launches a worker group: from a Ray task."""
    import ray

    mark = root / "bare.json"
    due = time.time()
    task: Any = ray.remote(launch_bare)
    ray.get(task.options(num_cpus=0, max_retries=0).remote(str(mark), str(root / "bare")))
    done, first = time.time(), json.loads(mark.read_text())["first"]
    return first - due, done - first


def measure_cells(root: Path, cells: int) -> list[Overhead]:
    """One worker group, cell after cell: the first is cold, the rest warm."""
    config = {"name": "bench", "train_on": ["CTRATE"], "training": {"steps": 1, "validate_every": 1}}
    attempts = [Attempt(f"c{n}", str(root / f"c{n}"), config, {}) for n in range(cells)]
    clock = Clock()
    executor = RayExecutor(root / "lanes", "bench", Resources(), root / "beat", runner=Path(__file__).stem)
    try:
        Scheduler(executor, clock, Policy(), parallel=1).run(attempts)
    finally:
        executor.close()
    found = []
    for attempt in attempts:
        marks = json.loads((root / attempt.name / "bench.json").read_text())
        found.append((marks["first"] - clock.due[attempt.name], clock.done[attempt.name] - marks["last"]))
    return found


def measure(root: Path, cells: int, repeats: int) -> tuple[list[Overhead], list[Overhead], list[Overhead]]:
    """Bare runs, cells in a new worker group and in a warm one, in rounds of which the first is not counted."""
    bares: list[Overhead] = []
    new: list[Overhead] = []
    warm: list[Overhead] = []
    for number in range(repeats + 1):
        here = root / f"round{number}"
        here.mkdir()
        (here / "beat").touch()
        if number % 2:
            found = measure_cells(here, cells)
            plain = measure_bare(here)
        else:
            plain = measure_bare(here)
            found = measure_cells(here, cells)
        told = ", ".join(f"{sum(overhead):.2f}" for overhead in found)
        print(
            f"round {number}: bare {sum(plain):.2f} s; cells {told} s{'' if number else ' (not counted)'}", flush=True
        )
        if number:
            bares.append(plain)
            new.append(found[0])
            warm += found[1:]
    return bares, new, warm


def middle(name: str, measured: Sequence[Overhead]) -> float:
    """Print the medians, and give that of the sums."""
    before, after = (statistics.median(part) for part in zip(*measured, strict=True))
    print(f"{name}: {before:.2f} s to the first step, {after:.2f} s after the last (medians of {len(measured)})")
    return statistics.median(map(sum, measured))


def goal(name: str, value: float, bound: float) -> bool:
    """Print a ratio beside its goal; whether it is met."""
    print(f"{name}: {value:.3f} (at most {bound:.3g}): {'met' if value <= bound else 'MISSED'}")
    return value <= bound


def main() -> None:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=4, help="of a worker group; at least two")
    parser.add_argument("--repeats", type=int, default=3, help="counted rounds")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        joined = connect.connect(None, Resources())
        try:
            bares, new, warm = measure(Path(folder), max(2, given.cells), given.repeats)
        finally:
            connect.leave(joined)
    bare_s = middle("bare Ray Train run", bares)
    new_s, warm_s = middle("cell in a new worker group", new), middle("cell in a warm worker group", warm)
    met = [
        goal("new worker group / bare", new_s / bare_s, NEW),
        goal("warm worker group / bare", warm_s / bare_s, WARM),
    ]
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
