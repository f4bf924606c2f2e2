"""The result of a reader: stored values, geometry, flags and notes; and the check of a file's declared size.

Invariant: a declared size is checked against a limit, and against what the file can contain, before memory is
allocated.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.source import Intensity

MAX_BYTES = 8 << 30
# Maximum expansion of Deflate (1 bit per 258-byte match, and two bits of block overhead).
MAX_EXPANSION = 1032
# Bytes read from a stream at a time.
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Stored:
    """A volume as stored: values before slope and intercept, with the geometry of the file.

    Attributes:
        values: three-dimensional array of any number type.
        affine: voxel index to RAS mm, 4 x 4.
        intensity: slope and intercept of the file.
        flags: quality flags of the reader, see ``preprocessing/flags.py``.
        notes: the flags in sentences with numbers: which series was chosen, what was ignored or completed. They contain
            no identifier, date or text of a header.
    """

    values: np.ndarray
    affine: np.ndarray
    intensity: Intensity
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def check_size(path: Path, shape: tuple[int, ...], itemsize: int, *, compressed: bool) -> int:
    """Compute and check the size in bytes of the array that a header declares.

    Raises:
        UniferumError: an axis is empty or too short for a volume, or the array is larger than the limit or than the
            file can contain.
    """
    if min(shape) < 2:
        raise UniferumError(str(path), shape, must="be a volume of at least 2 voxels along each axis")
    count = itemsize
    for length in shape:
        count *= length
    if count > MAX_BYTES:
        raise UniferumError(str(path), f"{count / 2**30:.1f} GiB", must=f"declare at most {MAX_BYTES >> 30} GiB")
    if count > path.stat().st_size * (MAX_EXPANSION if compressed else 1):
        raise UniferumError(str(path), shape, must="hold as many voxels as its header declares", cure="it is truncated")
    return count


def read_exactly(stream: Any, count: int) -> np.ndarray:
    """Read ``count`` bytes of a stream into new memory with ``readinto``, without a copy.

    Raises:
        EOFError: the stream ends earlier.
    """
    buffer = np.empty(count, dtype=np.uint8)
    view, at = buffer.data, 0
    while at < count:
        received = stream.readinto(view[at : at + _CHUNK])
        if not received:
            raise EOFError(f"it ends after {at} of {count} bytes")
        at += received
    return buffer


def as_volume(buffer: np.ndarray, dtype: np.dtype, shape: tuple[int, int, int]) -> np.ndarray:
    """View bytes as an array in native byte order, first axis contiguous; bytes are swapped in place, never copied."""
    values = buffer.view(dtype)
    if not dtype.isnative:
        values = values.byteswap(inplace=True).view(dtype.newbyteorder("="))
    return values.reshape(shape, order="F")
