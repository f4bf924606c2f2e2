"""The interface between the scheduler and the executor of attempts: Ray, a no-op, or a simulated cluster."""

import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from orchestration.attempt.attempt import Attempt, AttemptResult
from orchestration.attempt.failures import Fault


class Executor(Protocol):
    """Run attempts; all methods except ``wait`` return at once."""

    def capacity(self) -> int:
        """The number of cells that fit now; nodes may join and leave."""
        ...

    def start(self, attempt: Attempt) -> None:
        """Begin an attempt; called only while fewer than ``capacity`` are running."""
        ...

    def wait(self, seconds: float) -> Sequence[AttemptResult]:
        """Wait for results; return at least one, or nothing after ``seconds``."""
        ...

    def silent_for(self, attempt: Attempt) -> float:
        """Seconds since the cell last reported a step."""
        ...

    def stop(self, attempt: Attempt, reason: str) -> None:
        """Ask a cell to write a checkpoint and stop; its :class:`AttemptResult` follows."""
        ...

    def kill(self, attempt: Attempt, fault: Fault) -> None:
        """Kill a cell that does not answer; an :class:`AttemptResult` with ``fault`` follows."""
        ...

    def now(self) -> float:
        """The executor's clock, in seconds; virtual in a simulation."""
        ...

    def close(self) -> None:
        """Release all resources."""
        ...


class NoopExecutor:
    """Finish every cell at once, to measure the overhead of the scheduler (``benchmarks/grid_scheduler.py``)."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.results: deque[AttemptResult] = deque()

    def capacity(self) -> int:
        """The given number of slots."""
        return self.slots

    def start(self, attempt: Attempt) -> None:
        """Finish the cell."""
        self.results.append(AttemptResult(attempt.name, attempt.number))

    def wait(self, seconds: float) -> Sequence[AttemptResult]:
        """The cells that were started since the last call."""
        results = list(self.results)
        self.results.clear()
        return results

    def silent_for(self, attempt: Attempt) -> float:
        """Always zero."""
        return 0.0

    def stop(self, attempt: Attempt, reason: str) -> None:
        """Do nothing: no cell runs long enough to be stopped."""

    def kill(self, attempt: Attempt, fault: Fault) -> None:
        """Do nothing: no cell runs long enough to be killed."""

    def now(self) -> float:
        """The real clock."""
        return time.monotonic()

    def close(self) -> None:
        """Do nothing: no resources are held."""
