"""Ctrl-C and SIGTERM over the whole life of a driver, from the wait for its lease to the last word to MLflow."""

import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from orchestration.scheduling.scheduler import Scheduler

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """The first signal ends in order, the second leaves at once.

    While cells run, in order means that they write a checkpoint and stop. Before and after, it is a
    ``KeyboardInterrupt``, also for SIGTERM, as batch systems send it.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.asked = False
        self.scheduler: Scheduler | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Listen."""
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        self.listen()
        return self

    def listen(self) -> None:
        """Listen, also where somebody else took a signal meanwhile: ``ray.init`` takes SIGTERM, and aborts at it."""
        for number in SIGNALS:
            signal.signal(number, self._heard)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave signals as they were."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            self.say("left at once; the same command goes on from the last checkpoints")
            os._exit(130)
        self.asked = True
        if self.scheduler is None:
            raise KeyboardInterrupt
        self.say("interrupted: running cells write a checkpoint and stop (again: leave at once)")
        self.scheduler.interrupt("interrupted")
