"""Dump stack traces when a cell makes no progress: one file for each attempt and process, named in the fault."""

import faulthandler
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from orchestration.attempt.failures import STALLED, Fault

DUMP_FRACTION = 0.8
"""Fraction of ``stall_s`` after which stack traces are dumped, before the driver kills the cell at ``stall_s``."""


@contextmanager
def watchdog(folder: Path, attempt: int, stall_s: float) -> Iterator[Callable[[], None]]:
    """Dump the stacks of all threads to a file unless the yielded function is called in time.

    The time limit is ``DUMP_FRACTION`` of the stall limit. The timer runs in C, so it also fires when Python hangs. An
    empty file is removed.
    """
    path = folder / f"stack-{attempt}-{os.getpid()}.txt"
    with path.open("w") as stack:

        def alive() -> None:
            faulthandler.dump_traceback_later(max(0.1, DUMP_FRACTION * stall_s), file=stack)

        alive()
        try:
            yield alive
        finally:
            faulthandler.cancel_dump_traceback_later()
    if not path.stat().st_size:
        path.unlink()


def stack_files(folder: Path, attempt: int | None = None) -> list[Path]:
    """The stack files of one attempt, or of all attempts, oldest first."""
    paths = folder.glob(f"stack-{'*' if attempt is None else attempt}-*.txt")
    return sorted((path for path in paths if path.stat().st_size), key=lambda path: path.stat().st_mtime)


def with_stack(fault: Fault, folder: Path, attempt: int) -> Fault:
    """Add to the fault of a stalled cell the function in which it hangs and the path of the stack file."""
    files = stack_files(folder, attempt) if fault.kind == STALLED else []
    if not files:
        return fault
    return replace(fault, reason=f"{fault.reason}; it hangs {innermost(files[-1].read_text())}; stack: {files[-1]}")


def innermost(stack: str) -> str:
    """The function, file and line of the main thread; faulthandler writes it last, its innermost call first."""
    main = stack[stack.rfind("(most recent call first)") :]
    match = re.search(r'File "(?:.*/)?([^"/]+)", line (\d+) in (\S+)', main)
    return f"in {match[3]} ({match[1]}:{match[2]})" if match else "in an unknown function"
