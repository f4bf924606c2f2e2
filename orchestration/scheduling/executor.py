"""The seam between the scheduler and whatever runs cells: Ray lanes, nothing at all, or a simulated cluster."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from orchestration.attempt.failures import Fault


@dataclass(frozen=True)
class Work:
    """One cell as the scheduler sees it: a name, an order, and what the executor needs."""

    name: str
    priority: int = 0
    payload: Any = None
    expected: float = 0.0
    """Hours that it is expected to take, by which cells of equal priority are ordered: the longest first, so that no
    long one is left for the end while slots stand idle."""


@dataclass(frozen=True)
class Ended:
    """An attempt that ended: done, stopped on request, or failed with a fault."""

    name: str
    fault: Fault | None = None
    stopped: bool = False
    seconds: float = 0.0
    node: str | None = None


class Executor(Protocol):
    """Runs attempts. All methods return at once but ``wait``."""

    def capacity(self) -> int:
        """How many cells fit now; nodes may join and leave."""
        ...

    def start(self, work: Work, attempt: int) -> None:
        """Begin an attempt; called only while fewer than ``capacity`` run."""
        ...

    def wait(self, seconds: float) -> Sequence[Ended]:
        """Attempts that ended, at least one or after ``seconds``."""
        ...

    def silent_for(self, work: Work) -> float:
        """Seconds since the cell last reported a step."""
        ...

    def stop(self, work: Work, reason: str) -> None:
        """Ask a cell to write a checkpoint and end; its :class:`Ended` follows."""
        ...

    def kill(self, work: Work, fault: Fault) -> None:
        """End a cell that does not answer; an :class:`Ended` with ``fault`` follows."""
        ...

    def now(self) -> float:
        """The executor's clock, in seconds; virtual in a simulation."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class NoopExecutor:
    """Ends every cell at once: what the scheduler itself costs."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.ended: deque[Ended] = deque()

    def capacity(self) -> int:
        """The given number of slots."""
        return self.slots

    def start(self, work: Work, attempt: int) -> None:
        """The cell is done."""
        self.ended.append(Ended(work.name))

    def wait(self, seconds: float) -> Sequence[Ended]:
        """What was started."""
        found = list(self.ended)
        self.ended.clear()
        return found

    def silent_for(self, work: Work) -> float:
        """Never silent."""
        return 0.0

    def stop(self, work: Work, reason: str) -> None:
        """Nothing runs long enough to be stopped."""

    def kill(self, work: Work, fault: Fault) -> None:
        """Nothing runs long enough to be killed."""

    def now(self) -> float:
        """The real clock."""
        return time.monotonic()

    def close(self) -> None:
        """Nothing is held."""
