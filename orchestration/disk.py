"""Detect "disk full" errors, and retry a write until space is free."""

import errno
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

FULL_ERRNO = frozenset({errno.ENOSPC, errno.EDQUOT})
FULL_TEXTS = (
    "no space left on device",
    "disk quota exceeded",
    "disk is full",
    "os error 28",  # safetensors, which raises a class of its own
    "iostream error",  # torch.save, whose C++ stream loses the reason
    "unexpected pos",
    "pytorchstreamwriter failed",
)


def is_full(error: BaseException) -> bool:
    """Whether an error, or an error that caused it, says that the disk is full.

    SQLite also reports "disk I/O error" when it cannot extend its shared memory; PyTorch gives no reason at all.
    """
    cause: BaseException | None = error
    while cause is not None:
        if _is_full(cause):
            return True
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
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


def do_nothing() -> None:
    """The default of ``meanwhile``."""


def retry_while_disk_full(
    write: Callable[[], T],
    say: Callable[[str], None],
    meanwhile: Callable[[], None] = do_nothing,
    *,
    every_s: float = 1.0,
    longest_s: float | None = None,
) -> T:
    """Call ``write``, and again while the disk is full; other errors are raised.

    Args:
        write: the function to call; it must be safe to repeat.
        say: called with one line when the wait begins and one when it ends.
        meanwhile: called before each pause, e.g. to write the driver's heartbeat.
        every_s: pause between two calls.
        longest_s: raise the error after this many seconds; None: wait without limit.

    Returns:
        The value of ``write``.
    """
    until = None if longest_s is None else time.monotonic() + longest_s
    waiting = False
    while True:
        try:
            value = write()
        except Exception as error:
            if not is_full(error) or (until is not None and time.monotonic() >= until):
                raise
            if not waiting:
                waiting = True
                say(f"the disk is full ({' '.join(str(error).split())}); waiting for free space")
            meanwhile()
            time.sleep(every_s)
        else:
            if waiting:
                say("the disk has free space again; continuing")
            return value
