"""The stacks of a cell that went silent: a file for each attempt and process, kept, and named in the fault."""

import faulthandler
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from orchestration.attempt.failures import STALLED, Fault

SHARE = 0.8
"""Of the stall limit: by then the stacks are on disk, before the driver ends the cell."""


@contextmanager
def watchdog(folder: Path, attempt: int, stall_s: float) -> Iterator[Callable[[], None]]:
    """Write every thread's stack to a file when nobody calls the given function for ``SHARE`` of the stall limit.

    The timer is C code, so it fires though Python itself hangs. A file that nothing was written to is removed.
    """
    path = folder / f"stack-{attempt}-{os.getpid()}.txt"
    with path.open("w") as stack:

        def alive() -> None:
            faulthandler.dump_traceback_later(max(0.1, SHARE * stall_s), file=stack)

        alive()
        try:
            yield alive
        finally:
            faulthandler.cancel_dump_traceback_later()
    if not path.stat().st_size:
        path.unlink()


def stack_files(folder: Path, attempt: int | None = None) -> list[Path]:
    """The stacks that were written, of one attempt or of all, oldest first."""
    found = folder.glob(f"stack-{'*' if attempt is None else attempt}-*.txt")
    return sorted((path for path in found if path.stat().st_size), key=lambda path: path.stat().st_mtime)


def with_stack(fault: Fault, folder: Path, attempt: int) -> Fault:
    """A stalled cell's fault with the place where it hangs and the file that has the whole stack."""
    files = stack_files(folder, attempt) if fault.kind == STALLED else []
    if not files:
        return fault
    return replace(fault, reason=f"{fault.reason}; it hangs {innermost(files[-1].read_text())}; stack: {files[-1]}")


def innermost(stack: str) -> str:
    """Where the main thread is, in words; faulthandler writes it last, its innermost call first."""
    main = stack[stack.rfind("(most recent call first)") :]
    found = re.search(r'File "(?:.*/)?([^"/]+)", line (\d+) in (\S+)', main)
    return f"in {found[3]} ({found[1]}:{found[2]})" if found else "somewhere"
