"""What a cell costs besides its training: a bare Ray Train run, a cell on a new lane, cells on a warm lane; one run.

    python benchmarks/grid_overhead.py [--cells 4]

Prints seconds from due to the first step, and from the last step until the scheduler knows, and their ratios. The cells
train nothing: ``train_run`` here says one step and returns.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestration import cluster
from orchestration.cell import Assignment
from orchestration.executor import Ended, Work
from orchestration.grid import Policy, Resources
from orchestration.lanes import RayLanes
from orchestration.ledger import Wish
from orchestration.scheduler import Scheduler


def train_run(config: Any, stores: Any, folder: Path, reporter: Any, *, stop: Callable[[], bool]) -> None:
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

    def moved(self, work: Work, state: str, attempt: int, ended: Ended | None) -> None:
        if state == "running":
            self.due[work.name] = time.time()
        elif state == "done":
            self.done[work.name] = time.time()
        else:
            print(work.name, state, ended)

    def paused(self, reason: str | None) -> None:
        print("paused", reason)

    def wishes(self) -> Sequence[Wish]:
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


def measure_bare(root: Path) -> tuple[float, float]:
    import ray

    mark = root / "bare.json"
    due = time.time()
    task: Any = ray.remote(launch_bare)
    ray.get(task.options(num_cpus=0, max_retries=0).remote(str(mark), str(root / "bare")))
    done, first = time.time(), json.loads(mark.read_text())["first"]
    return first - due, done - first


def measure_cells(root: Path, cells: int) -> list[tuple[float, float]]:
    """One lane, cell after cell: the first is cold, the rest warm."""
    config = {"name": "bench", "train_on": ["CTRATE"], "training": {"steps": 1, "validate_every": 1}}
    works = [Work(f"c{n}", 0, Assignment(f"c{n}", str(root / f"c{n}"), config, {}, 0, "")) for n in range(cells)]
    clock = Clock()
    lanes = RayLanes(root / "lanes", "bench", Resources(), root / "beat", runner=Path(__file__).stem)
    try:
        Scheduler(lanes, clock, Policy(), parallel=1).run(works)
    finally:
        lanes.close()
    found = []
    for work in works:
        marks = json.loads((root / work.name / "bench.json").read_text())
        found.append((marks["first"] - clock.due[work.name], clock.done[work.name] - marks["last"]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=4)
    cells = parser.parse_args().cells
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "beat").touch()
        joined = cluster.connect(None, Resources())
        try:
            before, after = measure_bare(root)
            cold, *warm = measure_cells(root, cells)
        finally:
            cluster.leave(joined)
    warm_before, warm_after = (statistics.median(part) for part in zip(*warm, strict=True))
    print(f"bare Ray Train run: {before:.1f} s to the first step, {after:.1f} s after the last")
    print(f"cell on a new lane: {cold[0]:.1f} s to the first step, {cold[1]:.1f} s after the last")
    print(f"cell on a warm lane: {warm_before:.2f} s to the first step, {warm_after:.2f} s after the last")
    print(f"new lane / bare: {sum(cold) / (before + after):.2f} (at most 1.3)")
    print(f"warm lane / bare: {(warm_before + warm_after) / (before + after):.3f} (at most 0.33)")


if __name__ == "__main__":
    main()
