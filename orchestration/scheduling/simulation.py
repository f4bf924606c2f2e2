"""Simulate a cluster in virtual time for the scheduler: cells of different lengths, nodes that fail and return.

Every second of every slot is counted: useful (it led to a result or was saved by a checkpoint), lost (work after the
last checkpoint when a node failed), starting, and idle. Used by tests and ``benchmarks/grid_scheduler.py``.
"""

import heapq
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestration.attempt.attempt import Attempt, AttemptResult
from orchestration.attempt.failures import CANCELLED, NODE_LOST, Fault

LOST = Fault(NODE_LOST, "node was terminated")


@dataclass
class Account:
    """Slot seconds by use."""

    useful: float = 0.0
    lost: float = 0.0
    starting: float = 0.0
    down: float = 0.0


@dataclass
class SimulatedAttempt:
    """A cell that runs on a node."""

    attempt: Attempt
    node: int
    since: float
    starting: float
    end: float


@dataclass
class SimulatedCluster:
    """Nodes with a fixed number of slots each, as an executor.

    Args:
        nodes: the number of nodes.
        slots: the number of slots of each node.
        lengths_s: the length of each cell in seconds, by name.
        failures_per_node_day: rate of the exponential time between failures of a node.
        repair_s: seconds until a failed node returns.
        checkpoint_s: seconds between checkpoints; work after the last one is lost with its node.
        cold_s: seconds from the start of a cell to its first step in a new worker group.
        warm_s: the same in a worker group that has just finished a cell.
        seed: seed of the failures.
    """

    nodes: int
    slots: int
    lengths_s: Mapping[str, float]
    failures_per_node_day: float = 0.0
    repair_s: float = 600.0
    checkpoint_s: float = 600.0
    cold_s: float = 25.0
    warm_s: float = 2.0
    seed: int = 0

    account: Account = field(default_factory=Account)
    time: float = 0.0
    _up: list[bool] = field(default_factory=list)
    _free: list[int] = field(default_factory=list)
    _warm: list[int] = field(default_factory=list)
    _attempts: dict[str, SimulatedAttempt] = field(default_factory=dict)
    _kept: dict[str, float] = field(default_factory=dict)
    _events: list[tuple[float, int, str, int]] = field(default_factory=list)
    _results: list[AttemptResult] = field(default_factory=list)
    _count: int = 0
    _free_slots: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._up, self._free, self._warm = [True] * self.nodes, [self.slots] * self.nodes, [0] * self.nodes
        self._free_slots = [node for node in range(self.nodes) for _ in range(self.slots)]
        for node in range(self.nodes):
            self._plan_failure(node)

    def capacity(self) -> int:
        """The number of slots on nodes that are up."""
        return sum(self._up) * self.slots

    def now(self) -> float:
        """Virtual seconds."""
        return self.time

    def start(self, attempt: Attempt) -> None:
        """Start on any free slot."""
        node = self._free_slots.pop()
        while not self._up[node] or self._free[node] == 0:
            node = self._free_slots.pop()
        self._free[node] -= 1
        starting = self.warm_s if self._warm[node] else self.cold_s
        self._warm[node] = max(0, self._warm[node] - 1)
        end = self.time + starting + self.lengths_s[attempt.name] - self._kept.get(attempt.name, 0.0)
        self._attempts[attempt.name] = SimulatedAttempt(attempt, node, self.time, starting, end)
        self._push(end, attempt.name, node)

    def wait(self, seconds: float) -> Sequence[AttemptResult]:
        """Advance the clock to the next event, by ``seconds`` at most."""
        until = self.time + seconds
        while self._events and self._events[0][0] <= until and not self._results:
            self.time, _, name, node = heapq.heappop(self._events)
            self._happen(name, node)
        if not self._results:
            self.time = max(self.time, until)
        results, self._results = self._results, []
        return results

    def silent_for(self, attempt: Attempt) -> float:
        """Always zero: simulated cells never stall."""
        return 0.0

    def stop(self, attempt: Attempt, reason: str) -> None:
        """Stop at once, with a checkpoint."""
        self._settle(self._attempts.pop(attempt.name), kept=True)
        self._results.append(AttemptResult(attempt.name, attempt.number, stopped=True))

    def kill(self, attempt: Attempt, fault: Fault) -> None:
        """Stop at once, without a checkpoint."""
        self._settle(self._attempts.pop(attempt.name), kept=False)
        self._results.append(AttemptResult(attempt.name, attempt.number, fault or Fault(CANCELLED, "killed")))

    def close(self) -> None:
        """Do nothing: no resources are held."""

    # ---------------------------------------------------------------------------------------------------------------

    def _push(self, at: float, name: str, node: int) -> None:
        self._count += 1
        heapq.heappush(self._events, (at, self._count, name, node))

    def _plan_failure(self, node: int) -> None:
        if self.failures_per_node_day:
            self._push(self.time + self._random.expovariate(self.failures_per_node_day / 86400), "*down", node)

    def _happen(self, name: str, node: int) -> None:
        if name == "*down":
            self._fail(node)
        elif name == "*up":
            self._up[node], self._free[node] = True, self.slots
            self._free_slots += [node] * self.slots
            self._plan_failure(node)
        elif (run := self._attempts.get(name)) and run.end <= self.time and run.node == node:
            del self._attempts[name]
            self._settle(run, kept=True)
            self._warm[node] += 1
            self._results.append(AttemptResult(name, run.attempt.number, seconds=self.time - run.since))

    def _fail(self, node: int) -> None:
        self._up[node], self._warm[node] = False, 0
        for run in [run for run in self._attempts.values() if run.node == node]:
            del self._attempts[run.attempt.name]
            self._settle(run, kept=False)
            self._results.append(AttemptResult(run.attempt.name, run.attempt.number, LOST))
        self._free[node] = 0
        self.account.down += self.repair_s * self.slots
        self._push(self.time + self.repair_s, "*up", node)

    def _settle(self, run: SimulatedAttempt, *, kept: bool) -> None:
        name = run.attempt.name
        spent = self.time - run.since
        starting = min(spent, run.starting)
        worked = spent - starting
        before = self._kept.get(name, 0.0)
        saved = worked if kept else (before + worked) // self.checkpoint_s * self.checkpoint_s - before
        saved = max(0.0, saved)
        self.account.starting += starting
        self.account.useful += saved
        self.account.lost += worked - saved
        self._kept[name] = before + saved
        if self._up[run.node]:
            self._free[run.node] += 1
            self._free_slots.append(run.node)
