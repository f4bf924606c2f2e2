"""What the scheduler costs: 1,000 no-op cells through the real driver's parts, and a simulated cluster of 1,000 GPUs.

    python benchmarks/grid_scheduler.py

Prints one line a figure; needs no Ray and no data.
"""

import random
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from orchestration import plan, view
from orchestration.executor import Ended, NoopExecutor, Work
from orchestration.grid import GridConfig, Policy, expand
from orchestration.ledger import Ledger, Wish
from orchestration.scheduler import Scheduler
from orchestration.simulation import SimulatedCluster
from uniferum.config import fingerprint


class LedgerListener:
    """What the driver's listener does for each move: one transaction."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def moved(self, work: Work, state: str, attempt: int, ended: Ended | None) -> None:
        self.ledger.note(work.name, state, attempt=attempt)

    def paused(self, reason: str | None) -> None:
        print("paused:", reason)

    def wishes(self) -> Sequence[Wish]:
        return self.ledger.take_wishes()

    def may_start(self) -> str | None:
        return None


class Deaf:
    """No ledger: the simulation measures the schedule, not the disk."""

    def moved(self, work: Work, state: str, attempt: int, ended: Ended | None) -> None:
        pass

    def paused(self, reason: str | None) -> None:
        pass

    def wishes(self) -> Sequence[Wish]:
        return ()

    def may_start(self) -> str | None:
        return None


def grid_of(root: Path, seeds: int) -> GridConfig:
    store = root / "store"
    store.mkdir(parents=True)
    (store / "store.json").write_text("{}")
    return GridConfig.model_validate(
        {
            "name": "noop",
            "root": root / "runs",
            "stores": {"CTRATE": store},
            "evaluate_on": ["CTRATE"],
            "text_encoders": {"small": {"name": "tiny"}},
            "cells": [{"text_encoder": "small", "train_on": "CTRATE"}],
            "seeds": list(range(seeds)),
        }
    )


def noop(cells: int = 1000) -> None:
    with tempfile.TemporaryDirectory() as folder:
        grid = grid_of(Path(folder), cells)
        expand(grid.replace(seeds=(0,)))  # imports
        started = time.perf_counter()
        expanded = expand(grid)
        planned = plan.make_plan(grid, expanded, lambda config, stores: (fingerprint(config.seed),) * 2)
        print(f"{cells} cells expanded and planned: {time.perf_counter() - started:.2f} s")

        ledger = Ledger(grid.root / "ledger.sqlite")
        works = [Work(p.cell.name) for p in planned]
        started = time.perf_counter()
        states = Scheduler(NoopExecutor(16), LedgerListener(ledger), Policy()).run(works)
        seconds = time.perf_counter() - started
        assert set(states.values()) == {"done"}
        print(f"{cells} no-op cells scheduled with a ledger: {seconds:.2f} s, {1000 * seconds / cells:.2f} ms a cell")

        started = time.perf_counter()
        shown = view.rows(planned, ledger.entries())
        print(f"status of {len(shown)} cells from ledger and folders: {time.perf_counter() - started:.2f} s")
        print(f"driver's peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def simulated(nodes: int = 125, slots: int = 8, cells: int = 10_000, failures_per_node_day: float = 0.2) -> None:
    draw = random.Random(1)
    lengths = [draw.lognormvariate(9.0, 0.6) for _ in range(cells)]  # median 2.3 h
    works = [Work(f"c{n}", priority=int(length), payload=length) for n, length in enumerate(lengths)]
    cluster = SimulatedCluster(nodes, slots, failures_per_node_day=failures_per_node_day)
    started = time.perf_counter()
    states = Scheduler(cluster, Deaf(), Policy(retries=20, backoff_s=5, breaker=0), poll_s=30.0).run(works)
    seconds = time.perf_counter() - started
    assert set(states.values()) == {"done"}
    account, total = cluster.account, cluster.time * nodes * slots
    idle = total - account.useful - account.lost - account.starting - account.down
    print(f"simulated: {cells} cells on {nodes * slots} GPUs, {failures_per_node_day} failures a node and day")
    print(f"  makespan {cluster.time / 3600:.1f} h of virtual time in {seconds:.1f} s of real time")
    for name, value in (("useful", account.useful), ("lost to failed nodes", account.lost)):
        print(f"  {name}: {100 * value / total:.2f} % of the slots' time")
    print(f"  starting: {100 * account.starting / total:.2f} %; nodes down: {100 * account.down / total:.2f} %")
    print(f"  idle (mostly the tail, when fewer cells than slots are left): {100 * idle / total:.2f} %")
    assert abs(account.useful - sum(lengths)) < 1.0, "every cell's work is done exactly once"


if __name__ == "__main__":
    noop()
    simulated()
