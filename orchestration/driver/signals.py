"""Handle Ctrl-C and SIGTERM from the wait for the lease until the last upload to MLflow."""

import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from orchestration.scheduling.scheduler import Scheduler

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Stop in order at the first signal, and exit at once at the second.

    While cells run, the first signal makes them write a checkpoint and stop. Before and after, it raises
    ``KeyboardInterrupt``, also for SIGTERM, which batch systems send.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.asked = False
        self.scheduler: Scheduler | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Install the signal handlers."""
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        self.listen()
        return self

    def listen(self) -> None:
        """Install the handlers again: ``ray.init`` installs its own for SIGTERM, which aborts the process."""
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Restore the earlier handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            self.say("exiting at once; run the same command to continue from the last checkpoints")
            os._exit(130)
        self.asked = True
        if self.scheduler is None:
            raise KeyboardInterrupt
        self.say("interrupted: running cells write a checkpoint and stop (press again to exit at once)")
        self.scheduler.interrupt("interrupted")
