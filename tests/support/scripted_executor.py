"""A scripted executor in virtual time, and a listener that records what the scheduler reports."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestration.attempt.attempt import Attempt, AttemptResult
from orchestration.attempt.failures import Fault
from orchestration.grid.states import CellState
from orchestration.ledger.ledger import Command

Script = dict[str, list[tuple[float, Fault | None]]]


def cell(name: str, priority: int = 0, hours: float = 0.0) -> Attempt:
    """A cell without content."""
    return Attempt(name, "", {}, {}, priority=priority, expected_hours=hours)


@dataclass
class Scripted:
    """An executor whose attempts last the scripted seconds and end with the scripted fault; default: done after 1 s."""

    slots: int
    script: Script = field(default_factory=dict)
    silent: dict[str, float] = field(default_factory=dict)
    time: float = 0.0
    started: list[tuple[float, str, int]] = field(default_factory=list)
    running: dict[str, tuple[float, Fault | None]] = field(default_factory=dict)
    stopping: set[str] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)
    killed: list[tuple[str, Fault]] = field(default_factory=list)
    most: int = 0

    def capacity(self) -> int:
        return self.slots

    def start(self, attempt: Attempt) -> None:
        seconds, fault = self.script.get(attempt.name, [(1.0, None)] * attempt.number)[attempt.number - 1]
        self.started.append((self.time, attempt.name, attempt.number))
        self.running[attempt.name] = (self.time + seconds, fault)
        self.most = max(self.most, len(self.running))

    def wait(self, seconds: float) -> Sequence[AttemptResult]:
        until = self.time + seconds
        due = min((end for end, _ in self.running.values()), default=until)
        self.time = max(self.time, min(due, until))
        stopped = [AttemptResult(name, 1, stopped=True) for name in self.stopping - self.deaf if name in self.running]
        ended = [AttemptResult(name, 1, fault) for name, (end, fault) in self.running.items() if end <= self.time]
        for gone in (*stopped, *ended):
            self.running.pop(gone.name, None)
        self.stopping &= set(self.running)
        return [*stopped, *(e for e in ended if e.name not in {s.name for s in stopped})]

    def silent_for(self, attempt: Attempt) -> float:
        return self.silent.get(attempt.name, 0.0)

    def stop(self, attempt: Attempt, reason: str) -> None:
        self.stopping.add(attempt.name)

    def kill(self, attempt: Attempt, fault: Fault) -> None:
        self.killed.append((attempt.name, fault))
        self.running[attempt.name] = (self.time, fault)
        self.silent.pop(attempt.name, None)

    def now(self) -> float:
        return self.time

    def close(self) -> None:
        self.running.clear()


@dataclass
class Recorder:
    """A listener that records the events, and gives commands at given times."""

    executor: Scripted
    at: list[tuple[float, Command]] = field(default_factory=list)
    moves: list[tuple[str, str]] = field(default_factory=list)
    pauses: list[str | None] = field(default_factory=list)
    full_until: float = 0.0

    def moved(self, attempt: Attempt, state: CellState, result: AttemptResult | None) -> None:
        self.moves.append((attempt.name, state))

    def paused(self, reason: str | None) -> None:
        self.pauses.append(reason)

    def commands(self) -> Sequence[Command]:
        due = [command for at, command in self.at if at <= self.executor.time]
        self.at = [(at, command) for at, command in self.at if at > self.executor.time]
        return due

    def may_start(self) -> str | None:
        return "the disk is full" if self.executor.time < self.full_until else None
