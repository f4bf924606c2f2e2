"""One line on why a scan failed: its file, what was being done, and the kind of error.

Invariant: an error that is not worded for a person may quote a header or a table, so its own text is never shown; what
is shown is its class, the place in our code, and the operating system's own words for a number of its own.
"""

import logging
import os
from collections.abc import Iterator
from types import TracebackType

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.source import MaskSource

log = logging.getLogger(__name__)

DEBUG = "UNIFERUM_DEBUG"
"""Environment variable that asks for tracebacks; ``uniferum --debug`` sets it."""

PACKAGE = "uniferum"

# The first of these modules (beginnings of their names) that an error came through says what was being done; masks
# stand before scans, since the same readers serve both.
_DEEDS = (
    (("layers", "masks", "mask_files"), "reading its masks"),
    (("signature",), "comparing its files with what it was prepared from"),
    (("formats", "read", "dicom", "nifti", "metaimage", "npz", "intensities"), "reading the scan"),
    (("store", "scanfile", "places", "codec"), "reading or writing the store"),
    (("montage",), "drawing its montage"),
    (("pipeline", "resampling", "body", "lungs", "orientation"), "putting it on the prepared grids"),
)


def fault_line(error: BaseException, file: str, *, doing: str = "preparing it", debug: str = "") -> str:
    """One line on why a scan failed, without a word of its header.

    Args:
        error: what was raised; where ``UNIFERUM_DEBUG`` is set its traceback is logged.
        file: the scan's file or folder, as it may be shown.
        doing: what was being done, where the error's own way through the code does not tell.
        debug: the command that shows the traceback of an unexpected error.
    """
    if os.environ.get(DEBUG):
        log.error("%s", file, exc_info=error)
    if isinstance(error, UniferumError):
        return " ".join(str(error).split())
    frames = list(_frames(error.__traceback__))
    hint = f"; {debug} shows the traceback" if debug else ""
    return f"{file}: {_deed(frames) or doing} failed with {_kind(error)}{_place(frames)}{hint}"


def _frames(traceback: TracebackType | None) -> Iterator[tuple[str, TracebackType]]:
    """Our own modules that an error came through, outermost first."""
    while traceback is not None:
        name = str(traceback.tb_frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] == PACKAGE:
            yield name, traceback
        traceback = traceback.tb_next


def _deed(frames: list[tuple[str, TracebackType]]) -> str:
    passed = {part for name, _ in frames for part in name.split(".")}
    found = next((deed for modules, deed in _DEEDS if any(part.startswith(modules) for part in passed)), "")
    layer = next((mask.layer for _, traceback in frames for mask in _masks(traceback)), "")
    return f"{found} (layer {layer})" if layer and found.startswith("reading its masks") else found


def _masks(traceback: TracebackType) -> Iterator[MaskSource]:
    yield from (value for value in traceback.tb_frame.f_locals.values() if isinstance(value, MaskSource))


def _place(frames: list[tuple[str, TracebackType]]) -> str:
    if not frames:
        return ""
    name, traceback = frames[-1]
    return f" at {name} line {traceback.tb_lineno}"


def _kind(error: BaseException) -> str:
    """The error's class and, of an error number, the operating system's words; never the error's own text."""
    number = error.errno if isinstance(error, OSError) else None
    words = os.strerror(number) if number is not None else "not enough memory" if isinstance(error, MemoryError) else ""
    return f"{type(error).__name__} ({words})" if words else type(error).__name__
