"""Memory that is kept between passes over large volumes.

glibc gives every buffer above 32 MiB back to the system and fetches the next one page by page: at the paper's size that
is half of a forward pass on a CPU. Kept, the same pages serve again.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""``M_TRIM_THRESHOLD`` and ``M_MMAP_MAX`` of glibc's malloc.h."""
DEFAULT_TRIM, DEFAULT_MMAPS = 128 * 1024, 65536
"""Their defaults (mallopt(3))."""


@contextmanager
def kept_memory(wanted: bool = True) -> Iterator[None]:
    """Within, freed buffers stay with the process; they are given back at the end. Does nothing without glibc."""
    library = _glibc() if wanted else None
    if library is None:
        yield
        return
    library.mallopt(MMAP_MAX, 0)
    library.mallopt(TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        library.mallopt(MMAP_MAX, DEFAULT_MMAPS)
        library.mallopt(TRIM_THRESHOLD, DEFAULT_TRIM)
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
