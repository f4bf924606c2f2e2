"""Keep freed memory in the process between passes over large volumes.

glibc returns every buffer above 32 MiB to the system and gets the next one page by page; at the paper's size this takes
half of a forward pass on a CPU. Kept pages are used again.
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
    """Keep freed buffers in the process within the context and return them at the end; no effect without glibc."""
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
