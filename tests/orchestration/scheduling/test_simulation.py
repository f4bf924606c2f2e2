"""The scheduler on a large simulated cluster: slots are busy, and every second is counted."""

import random

from orchestration.grid.config import Policy
from orchestration.scheduling.executor import NoopExecutor
from orchestration.scheduling.scheduler import Scheduler
from orchestration.scheduling.simulation import SimulatedCluster
from tests.support.scripted_executor import Recorder, Scripted, cell


def _simulate(failures: float, nodes: int = 20, slots: int = 5, cells: int = 1500) -> tuple[SimulatedCluster, float]:
    draw = random.Random(3)
    lengths = [draw.lognormvariate(9.0, 0.6) for _ in range(cells)]
    guesses = [length * draw.lognormvariate(0.0, 0.3) for length in lengths]  # what the plan expects, 30 % off
    attempts = [cell(f"c{n}", hours=guess) for n, guess in enumerate(guesses)]
    lengths_s = {f"c{n}": length for n, length in enumerate(lengths)}
    cluster = SimulatedCluster(nodes, slots, lengths_s, failures_per_node_day=failures, seed=1)
    policy = Policy(retries=50, backoff_s=5, breaker=0)
    states = Scheduler(cluster, Recorder(Scripted(1)), policy, poll_s=30.0).run(attempts)
    assert set(states.values()) == {"done"}
    return cluster, sum(lengths)


def test_slots_are_busy_with_useful_work_though_nodes_fail() -> None:
    cluster, work = _simulate(failures=1.0)
    total = cluster.time * 100
    assert cluster.account.lost > 0
    assert cluster.account.useful / total > 0.95
    assert abs(cluster.account.useful - work) < 1.0, "the work of every cell is done exactly once"


def test_without_failures_nothing_is_lost() -> None:
    cluster, work = _simulate(failures=0.0)
    assert cluster.account.lost == 0.0
    assert cluster.account.down == 0.0
    assert abs(cluster.account.useful - work) < 1.0


def test_a_thousand_cells_that_do_nothing_all_end() -> None:
    states = Scheduler(NoopExecutor(8), Recorder(Scripted(1)), Policy()).run(cell(f"c{n}") for n in range(1000))
    assert set(states.values()) == {"done"}
