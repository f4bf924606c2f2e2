"""Describe in one line why a scan failed: its file, the step that failed and the kind of error.

Invariant: an unexpected error may quote a header or a table, which can identify a patient. So its own text is never
shown, only its class, the line of our code, and the operating system's text for an error number.
"""

import logging
import os
from collections.abc import Iterator
from types import TracebackType

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.source import MaskSource

log = logging.getLogger(__name__)

DEBUG = "UNIFERUM_DEBUG"
"""Environment variable that enables tracebacks; ``uniferum --debug`` sets it."""

PACKAGE = "uniferum"

# The step is that of the first entry that names a module, or a room, in the traceback. Masks come before scans because
# both are read by the same modules; the signature is in the room of the store.
_STEPS = (
    (("masks",), "reading its masks"),
    (("signature",), "comparing its files with what it was prepared from"),
    (("formats",), "reading the scan"),
    (("store",), "reading or writing the store"),
    (("montage",), "drawing its montage"),
    (("pipeline", "resampling", "body", "lungs", "orientation"), "putting it on the prepared grids"),
)


def fault_line(error: BaseException, file: str, *, doing: str = "preparing it", debug: str = "") -> str:
    """Describe in one line why a scan failed, without any text of its header.

    Args:
        error: the exception; its traceback is logged if ``UNIFERUM_DEBUG`` is set.
        file: the scan's file or folder, in the form that may be shown.
        doing: the step to name if the traceback does not show it.
        debug: the command that shows the traceback of an unexpected error.
    """
    if os.environ.get(DEBUG):
        log.error("%s", file, exc_info=error)
    if isinstance(error, UniferumError):
        return " ".join(str(error).split())
    frames = list(_frames(error.__traceback__))
    hint = f"; {debug} shows the traceback" if debug else ""
    return f"{file}: {_step(frames) or doing} failed with {_kind(error)}{_code_line(frames)}{hint}"


def _frames(traceback: TracebackType | None) -> Iterator[tuple[str, TracebackType]]:
    """The frames of our own modules in a traceback, outermost first."""
    while traceback is not None:
        name = str(traceback.tb_frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] == PACKAGE:
            yield name, traceback
        traceback = traceback.tb_next


def _step(frames: list[tuple[str, TracebackType]]) -> str:
    passed = {part for name, _ in frames for part in name.split(".")}
    step = next((step for modules, step in _STEPS if passed.intersection(modules)), "")
    layer = next((mask.layer for _, traceback in frames for mask in _masks(traceback)), "")
    return f"{step} (layer {layer})" if layer and step.startswith("reading its masks") else step


def _masks(traceback: TracebackType) -> Iterator[MaskSource]:
    yield from (value for value in traceback.tb_frame.f_locals.values() if isinstance(value, MaskSource))


def _code_line(frames: list[tuple[str, TracebackType]]) -> str:
    if not frames:
        return ""
    name, traceback = frames[-1]
    return f" at {name} line {traceback.tb_lineno}"


def _kind(error: BaseException) -> str:
    """The error's class and the operating system's text for its number; never the error's own text."""
    number = error.errno if isinstance(error, OSError) else None
    words = os.strerror(number) if number is not None else "not enough memory" if isinstance(error, MemoryError) else ""
    return f"{type(error).__name__} ({words})" if words else type(error).__name__
