"""A full disk: how it is told from other errors, and how the driver and its workers wait until there is room again."""

import errno
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

FULL_ERRNO = frozenset({errno.ENOSPC, errno.EDQUOT})
FULL_TEXTS = (
    "no space left on device",
    "disk quota exceeded",
    "disk is full",
    "os error 28",  # safetensors, which raises a class of its own
    "iostream error",  # torch.save, whose C++ stream forgets the reason
    "unexpected pos",
    "pytorchstreamwriter failed",
)


def is_full(error: BaseException) -> bool:
    """Whether an error, or one that it was raised from, says that the disk has no room.

    SQLite also says "disk I/O error" when it cannot extend its shared memory; torch names no reason at all.
    """
    found: BaseException | None = error
    while found is not None:
        if _is_full(found):
            return True
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return False


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in FULL_ERRNO
    if isinstance(error, sqlite3.OperationalError):
        name = getattr(error, "sqlite_errorname", "") or ""
        if name == "SQLITE_FULL" or name.startswith("SQLITE_IOERR"):
            return True
    text = str(error).lower()
    return any(words in text for words in FULL_TEXTS)


def _silent() -> None:
    """Nothing to tell meanwhile."""


@dataclass
class Patience:
    """Repeats a write that found the disk full, until there is room; the write must bear being repeated.

    Args:
        say: told once when the wait begins, and once when it ends.
        meanwhile: called at every try, e.g. to tell workers that their driver lives.
        every_s: pause between tries.
        longest_s: after so long the error is raised after all; none: never.
    """

    say: Callable[[str], None]
    meanwhile: Callable[[], None] = _silent
    every_s: float = 1.0
    longest_s: float | None = None
    waiting: bool = False

    def __call__(self, write: Callable[[], T]) -> T:
        """The value of ``write``, once it has succeeded."""
        until = None if self.longest_s is None else time.monotonic() + self.longest_s
        while True:
            try:
                value = write()
            except Exception as error:
                if not is_full(error) or (until is not None and time.monotonic() >= until):
                    raise
                self._begin(error)
                self.meanwhile()
                time.sleep(self.every_s)
            else:
                self._end()
                return value

    def _begin(self, error: BaseException) -> None:
        if not self.waiting:
            self.waiting = True
            self.say(f"the disk is full ({' '.join(str(error).split())}); waiting for room")

    def _end(self) -> None:
        if self.waiting:
            self.waiting = False
            self.say("the disk has room again; going on")
