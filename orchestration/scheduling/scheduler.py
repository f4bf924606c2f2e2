"""Keeps cells flowing: admits by priority, retries faults of the machine with backoff, never lets one cell stop others.

The scheduler knows no Ray and no clock of its own (see :class:`orchestration.scheduling.executor.Executor`), so the
same code drives a real cluster, no-op cells and a simulated one. States go to a :class:`Listener`; what other shells
ask for comes from its ``wishes``.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from orchestration.attempt.failures import CANCELLED, STALLED, TIMEOUT, Fault
from orchestration.grid.config import Policy
from orchestration.grid.states import CellState
from orchestration.ledger.ledger import Command
from orchestration.scheduling.executor import Ended, Executor, Work

STOP_GRACE_S = 60.0


class Listener(Protocol):
    """Who is told every move of a cell, and asked for wishes."""

    def moved(self, work: Work, state: str, attempt: int, ended: Ended | None) -> None:
        """A cell is in a new state."""
        ...

    def paused(self, reason: str | None) -> None:
        """No new cells start, for this reason; None: they do again."""
        ...

    def wishes(self) -> Sequence[Command]:
        """What other shells asked for since the last call."""
        ...

    def may_start(self) -> str | None:
        """Why no cell may start now (a full disk); None when one may."""
        ...


@dataclass
class Running:
    """An attempt under way."""

    work: Work
    attempt: int
    since: float
    stopping: float | None = None
    killed: bool = False


@dataclass
class Scheduler:
    """Runs every work item to an end; see :meth:`run`."""

    executor: Executor
    listener: Listener
    policy: Policy
    parallel: int | None = None
    poll_s: float = 1.0

    running: dict[str, Running] = field(default_factory=dict)
    final: dict[str, str] = field(default_factory=dict)
    known: dict[str, Work] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    pause_reason: str | None = None
    leaving: bool = False
    _ready: list[tuple[int, float, int, str]] = field(default_factory=list)
    _delayed: list[tuple[float, str]] = field(default_factory=list)
    _queued: set[str] = field(default_factory=set)
    _order: dict[str, int] = field(default_factory=dict)
    _alike: list[str] = field(default_factory=list)
    _blocked: str | None = None
    _interrupted: str | None = None
    _waits_until: float | None = None

    def run(self, works: Iterable[Work]) -> dict[str, str]:
        """Run all; returns each one's last state by name: done, failed, stopped; pending where the grid was left."""
        for work in works:
            self._order[work.name] = len(self._order)
            self.known[work.name] = work
            self._enqueue(work)
        while self.tick():
            pass
        return self.states

    @property
    def states(self) -> dict[str, str]:
        """Each one's last state by name so far; pending where it has none."""
        return {name: self.final.get(name, CellState.PENDING) for name in self.known}

    def tick(self) -> bool:
        """One round: wishes, admission, events, watch; False when nothing is left to do."""
        for wish in self.listener.wishes():
            self.grant(wish)
        self._admit()
        self._stop_all()
        if not self.running and self._nothing_to_wait_for():
            return False
        for ended in self.executor.wait(self._patience()):
            self._end(ended)
        self._watch()
        return True

    def interrupt(self, reason: str) -> None:
        """Start no more cells; those that run write a checkpoint and stop, at the next round.

        May come from a signal's handler in the middle of anything, so nothing is done here.
        """
        self.leaving, self._interrupted = True, reason

    def _stop_all(self) -> None:
        if self._interrupted is not None:
            for name in list(self.running):
                self._stop(name, self._interrupted)

    # -- wishes ---------------------------------------------------------------------------------------------------

    def grant(self, wish: Command) -> None:
        """Do what another shell asked for; unknown verbs come from another version and are left alone."""
        if wish.verb == "pause":
            self._pause(wish.value or "paused by hand")
        elif wish.verb == "resume":
            self._alike.clear()
            self._pause(None)
        elif wish.verb == "stop":
            self.leaving = True
        elif wish.verb == "parallel" and wish.value:
            self.parallel = max(1, int(wish.value))
        elif wish.verb in ("cancel", "retry", "priority"):
            self._grant_cell(wish)

    def _grant_cell(self, wish: Command) -> None:
        if wish.cell is None:
            if wish.verb == "cancel":
                self.interrupt("cancelled by hand")
            return
        work = self.known.get(wish.cell)
        if work is None:
            return
        if wish.verb == "cancel":
            self._cancel(work)
        elif wish.verb == "priority":
            self._reorder(work, int(wish.value or 0))
        elif work.name not in self.running:
            self.final.pop(work.name, None)
            self.attempts[work.name] = 0
            self._enqueue(work)

    def _cancel(self, work: Work) -> None:
        if work.name in self.running:
            self._stop(work.name, "cancelled by hand")
        elif work.name in self._queued:
            self._queued.discard(work.name)
            self._finish(work, CellState.STOPPED, None)

    def _reorder(self, work: Work, priority: int) -> None:
        self.known[work.name] = replace(work, priority=priority)
        if work.name in self._queued:
            self._enqueue(self.known[work.name])

    # -- admission ------------------------------------------------------------------------------------------------

    def _enqueue(self, work: Work) -> None:
        self._queued.add(work.name)
        heapq.heappush(self._ready, (-work.priority, -work.expected, self._order[work.name], work.name))

    def _admit(self) -> None:
        now = self.executor.now()
        while self._delayed and self._delayed[0][0] <= now:
            _, name = heapq.heappop(self._delayed)
            if name in self._queued:
                self._enqueue(self.known[name])
        if self.pause_reason or self.leaving or not self._ready:
            return
        self._tell_blocked(self.listener.may_start())
        room = 0 if self._blocked else self._limit() - len(self.running)
        while room > 0 and not self.leaving and (work := self._next()):
            self._start(work, now)
            room -= 1

    def _tell_blocked(self, reason: str | None) -> None:
        if reason != self._blocked:
            self._blocked = reason
            self.listener.paused(reason)

    def _limit(self) -> int:
        fits = self.executor.capacity()
        return fits if self.parallel is None else min(self.parallel, fits)

    def _next(self) -> Work | None:
        while self._ready:
            priority, _, _, name = heapq.heappop(self._ready)
            work = self.known[name]
            if name in self._queued and -priority == work.priority and name not in self.running:
                self._queued.discard(name)
                return work
        return None

    def _start(self, work: Work, now: float) -> None:
        attempt = self.attempts.get(work.name, 0) + 1
        self.attempts[work.name] = attempt
        self.running[work.name] = Running(work, attempt, now)
        self.listener.moved(work, CellState.RUNNING, attempt, None)
        self.executor.start(work, attempt)

    def _nothing_to_wait_for(self) -> bool:
        if self.leaving or not self._queued:
            return True
        return self._waits_until is not None and self.executor.now() >= self._waits_until

    def _patience(self) -> float:
        if self.running or not self._delayed or self._ready:
            return self.poll_s
        return max(0.0, min(self.poll_s, self._delayed[0][0] - self.executor.now()))

    # -- ends -----------------------------------------------------------------------------------------------------

    def _end(self, ended: Ended) -> None:
        running = self.running.pop(ended.name, None)
        if running is None:
            return
        work = self.known[ended.name]
        if ended.stopped and running.stopping is None:
            self._again(work, ended, 0.0)
        elif ended.stopped:
            self._finish(work, CellState.STOPPED, ended)
        elif ended.fault is None:
            self._alike.clear()
            self._finish(work, CellState.DONE, ended)
        else:
            self._fail(work, running, ended, ended.fault)

    def _fail(self, work: Work, running: Running, ended: Ended, fault: Fault) -> None:
        if fault.kind == CANCELLED or (fault.retried and self.leaving):
            # the machine's fault while leaving: the next run goes on from there
            self._finish(work, CellState.STOPPED, ended)
        elif fault.retried and running.attempt <= self.policy.retries:
            delay = min(self.policy.backoff_max_s, self.policy.backoff_s * 2 ** (running.attempt - 1))
            self._again(work, ended, delay)
        else:
            self._finish(work, CellState.FAILED, ended)
            self._count_alike(fault)

    def _again(self, work: Work, ended: Ended, delay: float) -> None:
        self._queued.add(work.name)
        heapq.heappush(self._delayed, (self.executor.now() + delay, work.name))
        self.listener.moved(work, CellState.WAITING, self.attempts[work.name], ended)

    def _finish(self, work: Work, state: str, ended: Ended | None) -> None:
        self.final[work.name] = state
        self.listener.moved(work, state, self.attempts.get(work.name, 0), ended)

    def _count_alike(self, fault: Fault) -> None:
        mark = fault.kind_of_reason
        self._alike = [*self._alike, mark] if self._alike[-1:] == [mark] else [mark]
        if self.policy.breaker and len(self._alike) >= self.policy.breaker:
            wait_s = self.policy.breaker_wait_s
            until = f"; waiting {wait_s / 60:.0f} minutes for `uniferum grid resume`" if wait_s else ""
            said = f"{fault.kind}: {fault.reason}"
            self._pause(f"breaker: the last {len(self._alike)} cells failed alike: {said}{until}")
            self._waits_until = self.executor.now() + wait_s

    def _pause(self, reason: str | None) -> None:
        self.pause_reason, self._waits_until = reason, None
        self.listener.paused(reason)

    # -- watch ----------------------------------------------------------------------------------------------------

    def _stop(self, name: str, reason: str) -> None:
        running = self.running[name]
        if running.stopping is None:
            running.stopping = self.executor.now()
            self.executor.stop(running.work, reason)

    def _watch(self) -> None:
        now = self.executor.now()
        for running in list(self.running.values()):
            fault = self._overdue(running, now)
            if fault is not None and not running.killed:
                running.killed = True
                self.executor.kill(running.work, fault)

    def _overdue(self, running: Running, now: float) -> Fault | None:
        if running.stopping is not None:
            late = now - running.stopping > STOP_GRACE_S
            return Fault(CANCELLED, "did not stop in time, so it was killed") if late else None
        if self.policy.timeout_s is not None and now - running.since > self.policy.timeout_s:
            return Fault(TIMEOUT, f"ran longer than policy.timeout_s ({self.policy.timeout_s:g} s)")
        silent = self.executor.silent_for(running.work)
        if silent > self.policy.stall_s:
            return Fault(STALLED, f"reported no step for {silent:.0f} s (policy.stall_s is {self.policy.stall_s:g})")
        return None
