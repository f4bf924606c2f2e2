"""Schedule cells: start them by priority, retry infrastructure failures with backoff, isolate cells from each other.

The scheduler knows no Ray and has no clock of its own (see :class:`orchestration.scheduling.executor.Executor`), so the
same code runs a real cluster, no-op cells and a simulated cluster. A :class:`Listener` receives the states, and gives
the commands of other shells.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from orchestration.attempt.attempt import Attempt, AttemptResult
from orchestration.attempt.failures import CANCELLED, STALLED, TIMEOUT, Fault
from orchestration.grid.config import Policy
from orchestration.grid.states import CellState
from orchestration.ledger.ledger import Command
from orchestration.scheduling.executor import Executor

STOP_GRACE_S = 60.0
"""Grace period in seconds between the request to stop a cell and its kill."""


class Listener(Protocol):
    """Receive the scheduler's events, and give it the commands of other shells."""

    def moved(self, attempt: Attempt, state: CellState, result: AttemptResult | None) -> None:
        """A cell has a new state; ``result`` is that of the attempt that ended, if one did."""
        ...

    def paused(self, reason: str | None) -> None:
        """No new cells start, for this reason; None: cells start again."""
        ...

    def commands(self) -> Sequence[Command]:
        """The commands of other shells since the last call."""
        ...

    def may_start(self) -> str | None:
        """Why no cell may start now (a full disk); None when cells may start."""
        ...


@dataclass
class Running:
    """An attempt that is running."""

    attempt: Attempt
    since: float
    stopping: float | None = None
    killed: bool = False


@dataclass
class Scheduler:
    """Run every cell to an end; see :meth:`run`."""

    executor: Executor
    listener: Listener
    policy: Policy
    parallel: int | None = None
    poll_s: float = 1.0

    running: dict[str, Running] = field(default_factory=dict)
    final: dict[str, CellState] = field(default_factory=dict)
    latest: dict[str, Attempt] = field(default_factory=dict)
    """The latest attempt of each cell; its number is 0 before the first one."""
    pause_reason: str | None = None
    leaving: bool = False
    _ready: list[tuple[int, float, int, str]] = field(default_factory=list)
    _delayed: list[tuple[float, str]] = field(default_factory=list)
    _queued: set[str] = field(default_factory=set)
    _order: dict[str, int] = field(default_factory=dict)
    _same_failures: list[str] = field(default_factory=list)
    _blocked: str | None = None
    _interrupted: str | None = None
    _waits_until: float | None = None

    def run(self, attempts: Iterable[Attempt]) -> dict[str, CellState]:
        """Run all cells, given as attempts with number 0.

        Returns:
            The last state of each cell by name: done, failed, stopped; pending where the run ended before it.
        """
        for attempt in attempts:
            self._order[attempt.name] = len(self._order)
            self.latest[attempt.name] = attempt
            self._enqueue(attempt)
        while self.tick():
            pass
        return self.states

    @property
    def states(self) -> dict[str, CellState]:
        """The last state of each cell by name so far; pending if it has none."""
        return {name: self.final.get(name, CellState.PENDING) for name in self.latest}

    def tick(self) -> bool:
        """One round: apply commands, start cells, handle results, check time limits; False when nothing is left."""
        for command in self.listener.commands():
            self.apply(command)
        self._admit()
        self._stop_all()
        if not self.running and self._nothing_to_wait_for():
            return False
        for result in self.executor.wait(self._wait_s()):
            self._end(result)
        self._check_limits()
        return True

    def interrupt(self, reason: str) -> None:
        """Start no more cells, and stop the running ones with a checkpoint at the next round.

        Safe to call from a signal handler at any point, because it only sets two fields.
        """
        self.leaving, self._interrupted = True, reason

    def _stop_all(self) -> None:
        if self._interrupted is not None:
            for name in list(self.running):
                self._stop(name, self._interrupted)

    # -- commands -------------------------------------------------------------------------------------------------

    def apply(self, command: Command) -> None:
        """Apply a command of another shell; an unknown verb comes from another version and is ignored."""
        if command.verb == "pause":
            self._pause(command.value or "paused by hand")
        elif command.verb == "resume":
            self._same_failures.clear()
            self._pause(None)
        elif command.verb == "stop":
            self.leaving = True
        elif command.verb == "parallel" and command.value:
            self.parallel = max(1, int(command.value))
        elif command.verb in ("cancel", "retry", "priority"):
            self._apply_to_cell(command)

    def _apply_to_cell(self, command: Command) -> None:
        if command.cell is None:
            if command.verb == "cancel":
                self.interrupt("cancelled by hand")
            return
        attempt = self.latest.get(command.cell)
        if attempt is None:
            return
        if command.verb == "cancel":
            self._cancel(attempt)
        elif command.verb == "priority":
            self._reorder(attempt, int(command.value or 0))
        elif attempt.name not in self.running:
            self.final.pop(attempt.name, None)
            self.latest[attempt.name] = replace(attempt, number=0)
            self._enqueue(attempt)

    def _cancel(self, attempt: Attempt) -> None:
        if attempt.name in self.running:
            self._stop(attempt.name, "cancelled by hand")
        elif attempt.name in self._queued:
            self._queued.discard(attempt.name)
            self._finish(attempt, CellState.STOPPED, None)

    def _reorder(self, attempt: Attempt, priority: int) -> None:
        self.latest[attempt.name] = replace(attempt, priority=priority)
        if attempt.name in self._queued:
            self._enqueue(self.latest[attempt.name])

    # -- admission ------------------------------------------------------------------------------------------------

    def _enqueue(self, attempt: Attempt) -> None:
        """Queue a cell: of equal priority the longest first, so that slots do not idle at the end of the grid."""
        self._queued.add(attempt.name)
        order = (-attempt.priority, -attempt.expected_hours, self._order[attempt.name], attempt.name)
        heapq.heappush(self._ready, order)

    def _admit(self) -> None:
        now = self.executor.now()
        while self._delayed and self._delayed[0][0] <= now:
            _, name = heapq.heappop(self._delayed)
            if name in self._queued:
                self._enqueue(self.latest[name])
        if self.pause_reason or self.leaving or not self._ready:
            return
        self._report_blocked(self.listener.may_start())
        room = 0 if self._blocked else self._limit() - len(self.running)
        while room > 0 and not self.leaving and (attempt := self._next()):
            self._start(attempt, now)
            room -= 1

    def _report_blocked(self, reason: str | None) -> None:
        if reason != self._blocked:
            self._blocked = reason
            self.listener.paused(reason)

    def _limit(self) -> int:
        fits = self.executor.capacity()
        return fits if self.parallel is None else min(self.parallel, fits)

    def _next(self) -> Attempt | None:
        while self._ready:
            priority, _, _, name = heapq.heappop(self._ready)
            attempt = self.latest[name]
            if name in self._queued and -priority == attempt.priority and name not in self.running:
                self._queued.discard(name)
                return attempt
        return None

    def _start(self, last: Attempt, now: float) -> None:
        attempt = replace(last, number=last.number + 1)
        self.latest[attempt.name] = attempt
        self.running[attempt.name] = Running(attempt, now)
        self.listener.moved(attempt, CellState.RUNNING, None)
        self.executor.start(attempt)

    def _nothing_to_wait_for(self) -> bool:
        if self.leaving or not self._queued:
            return True
        return self._waits_until is not None and self.executor.now() >= self._waits_until

    def _wait_s(self) -> float:
        if self.running or not self._delayed or self._ready:
            return self.poll_s
        return max(0.0, min(self.poll_s, self._delayed[0][0] - self.executor.now()))

    # -- results --------------------------------------------------------------------------------------------------

    def _end(self, result: AttemptResult) -> None:
        running = self.running.pop(result.name, None)
        if running is None:
            return
        attempt = self.latest[result.name]
        if result.stopped and running.stopping is None:
            self._again(attempt, result, 0.0)
        elif result.stopped:
            self._finish(attempt, CellState.STOPPED, result)
        elif result.fault is None:
            self._same_failures.clear()
            self._finish(attempt, CellState.DONE, result)
        else:
            self._fail(attempt, result, result.fault)

    def _fail(self, attempt: Attempt, result: AttemptResult, fault: Fault) -> None:
        if fault.kind == CANCELLED or (fault.retried and self.leaving):
            # an infrastructure failure while the driver leaves: the next run continues the cell
            self._finish(attempt, CellState.STOPPED, result)
        elif fault.retried and attempt.number <= self.policy.retries:
            delay = min(self.policy.backoff_max_s, self.policy.backoff_s * 2 ** (attempt.number - 1))
            self._again(attempt, result, delay)
        else:
            self._finish(attempt, CellState.FAILED, result)
            self._count_same_failures(fault)

    def _again(self, attempt: Attempt, result: AttemptResult, delay: float) -> None:
        self._queued.add(attempt.name)
        heapq.heappush(self._delayed, (self.executor.now() + delay, attempt.name))
        self.listener.moved(attempt, CellState.WAITING, result)

    def _finish(self, attempt: Attempt, state: CellState, result: AttemptResult | None) -> None:
        self.final[attempt.name] = state
        self.listener.moved(attempt, state, result)

    def _count_same_failures(self, fault: Fault) -> None:
        seen, new = self._same_failures, fault.signature
        self._same_failures = [*seen, new] if seen[-1:] == [new] else [new]
        if self.policy.breaker and len(self._same_failures) >= self.policy.breaker:
            wait_s = self.policy.breaker_wait_s
            until = f"; waiting {wait_s / 60:.0f} minutes for `uniferum grid resume`" if wait_s else ""
            reason = f"{fault.kind}: {fault.reason}"
            count = len(self._same_failures)
            self._pause(f"breaker: the last {count} cells failed for the same reason: {reason}{until}")
            self._waits_until = self.executor.now() + wait_s

    def _pause(self, reason: str | None) -> None:
        self.pause_reason, self._waits_until = reason, None
        self.listener.paused(reason)

    # -- time limits ----------------------------------------------------------------------------------------------

    def _stop(self, name: str, reason: str) -> None:
        running = self.running[name]
        if running.stopping is None:
            running.stopping = self.executor.now()
            self.executor.stop(running.attempt, reason)

    def _check_limits(self) -> None:
        now = self.executor.now()
        for running in list(self.running.values()):
            fault = self._overdue(running, now)
            if fault is not None and not running.killed:
                running.killed = True
                self.executor.kill(running.attempt, fault)

    def _overdue(self, running: Running, now: float) -> Fault | None:
        if running.stopping is not None:
            late = now - running.stopping > STOP_GRACE_S
            return Fault(CANCELLED, "did not stop in time, so it was killed") if late else None
        if self.policy.timeout_s is not None and now - running.since > self.policy.timeout_s:
            return Fault(TIMEOUT, f"ran longer than policy.timeout_s ({self.policy.timeout_s:g} s)")
        silent = self.executor.silent_for(running.attempt)
        if silent > self.policy.stall_s:
            return Fault(STALLED, f"reported no step for {silent:.0f} s (policy.stall_s is {self.policy.stall_s:g})")
        return None
