"""A cluster that exists in virtual time only, behind the same scheduler: uneven cells, nodes that fail and return.

Every second of every slot is accounted for: useful (it led to a result or was kept by a checkpoint), lost (work after
the last checkpoint when a node failed), starting, and idle.
"""

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestration.attempt.failures import CANCELLED, NODE_LOST, Fault
from orchestration.scheduling.executor import Ended, Work

LOST = Fault(NODE_LOST, "node was terminated")


@dataclass
class Account:
    """Slot seconds by what became of them."""

    useful: float = 0.0
    lost: float = 0.0
    starting: float = 0.0
    down: float = 0.0


@dataclass
class SimulatedAttempt:
    """A cell on a node."""

    work: Work
    node: int
    since: float
    starting: float
    end: float


@dataclass
class SimulatedCluster:
    """Nodes of some slots; a work's ``payload`` is its length in seconds.

    Args:
        nodes, slots: how many nodes, and slots a node.
        failures_per_node_day: rate of the exponential time between a node's failures.
        repair_s: how long a failed node is away.
        checkpoint_s: seconds between checkpoints; work after the last one is lost with its node.
        cold_s, warm_s: from start to the first step on a new lane, and on one that has just ended a cell.
    """

    nodes: int
    slots: int
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
    _ended: list[Ended] = field(default_factory=list)
    _count: int = 0
    _places: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._up, self._free, self._warm = [True] * self.nodes, [self.slots] * self.nodes, [0] * self.nodes
        self._places = [node for node in range(self.nodes) for _ in range(self.slots)]
        for node in range(self.nodes):
            self._plan_failure(node)

    def capacity(self) -> int:
        """Slots on nodes that are up."""
        return sum(self._up) * self.slots

    def now(self) -> float:
        """Virtual seconds."""
        return self.time

    def start(self, work: Work, attempt: int) -> None:
        """On any free slot."""
        node = self._places.pop()
        while not self._up[node] or self._free[node] == 0:
            node = self._places.pop()
        self._free[node] -= 1
        starting = self.warm_s if self._warm[node] else self.cold_s
        self._warm[node] = max(0, self._warm[node] - 1)
        end = self.time + starting + float(work.payload) - self._kept.get(work.name, 0.0)
        self._attempts[work.name] = SimulatedAttempt(work, node, self.time, starting, end)
        self._push(end, work.name, node)

    def wait(self, seconds: float) -> Sequence[Ended]:
        """Jump to the next event, or ``seconds`` ahead."""
        until = self.time + seconds
        while self._events and self._events[0][0] <= until and not self._ended:
            self.time, _, name, node = heapq.heappop(self._events)
            self._happen(name, node)
        if not self._ended:
            self.time = max(self.time, until)
        found, self._ended = self._ended, []
        return found

    def silent_for(self, work: Work) -> float:
        """Cells report."""
        return 0.0

    def stop(self, work: Work, reason: str) -> None:
        """At once, with a checkpoint."""
        attempt = self._attempts.pop(work.name)
        self._settle(attempt, kept=True)
        self._ended.append(Ended(work.name, stopped=True))

    def kill(self, work: Work, fault: Fault) -> None:
        """At once."""
        self._settle(self._attempts.pop(work.name), kept=False)
        self._ended.append(Ended(work.name, fault or Fault(CANCELLED, "killed")))

    def close(self) -> None:
        """Nothing is held."""

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
            self._places += [node] * self.slots
            self._plan_failure(node)
        elif (attempt := self._attempts.get(name)) and attempt.end <= self.time and attempt.node == node:
            del self._attempts[name]
            self._settle(attempt, kept=True)
            self._warm[node] += 1
            self._ended.append(Ended(name, seconds=self.time - attempt.since))

    def _fail(self, node: int) -> None:
        self._up[node], self._warm[node] = False, 0
        for attempt in [a for a in self._attempts.values() if a.node == node]:
            del self._attempts[attempt.work.name]
            self._settle(attempt, kept=False)
            self._ended.append(Ended(attempt.work.name, LOST))
        self._free[node] = 0
        self.account.down += self.repair_s * self.slots
        self._push(self.time + self.repair_s, "*up", node)

    def _settle(self, attempt: SimulatedAttempt, *, kept: bool) -> None:
        spent = self.time - attempt.since
        starting = min(spent, attempt.starting)
        worked = spent - starting
        before = self._kept.get(attempt.work.name, 0.0)
        saved = worked if kept else (before + worked) // self.checkpoint_s * self.checkpoint_s - before
        saved = max(0.0, saved)
        self.account.starting += starting
        self.account.useful += saved
        self.account.lost += worked - saved
        self._kept[attempt.work.name] = before + saved
        if self._up[attempt.node]:
            self._free[attempt.node] += 1
            self._places.append(attempt.node)
