"""What a reader hands over: values as stored, their geometry and what was noticed; and how large a file may be.

Invariant: a size that a header declares is held against a limit and against what the file can hold before any memory
is taken for it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.source import Intensity

MAX_BYTES = 8 << 30
# Deflate cannot expand by more than this (1 bit a 258-byte match, and two bits of block overhead).
MAX_EXPANSION = 1032
# Bytes that are asked of a stream at a time.
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Stored:
    """A volume as stored: values before slope and intercept, and its geometry as the file tells it.

    Attributes:
        values: three-dimensional, any number type.
        affine: 4 x 4, voxel index to RAS mm.
        intensity: slope and intercept of the file.
        flags: what the reader noticed, names of ``preprocessing/flags.py``.
        notes: the same in sentences, with numbers: which series was chosen, what was put aside, what was filled in.
            They hold no identifier, date or text of a header.
    """

    values: np.ndarray
    affine: np.ndarray
    intensity: Intensity
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def check_size(path: Path, shape: tuple[int, ...], itemsize: int, *, compressed: bool) -> int:
    """Bytes of the array that a header declares.

    Raises:
        UniferumError: an axis is empty or too short for a volume, or the array is larger than the limit or than the
            file can hold.
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
    """``count`` bytes of a stream with ``readinto``, in fresh memory that is written once.

    Raises:
        EOFError: the stream ends before.
    """
    buffer = np.empty(count, dtype=np.uint8)
    view, at = buffer.data, 0
    while at < count:
        got = stream.readinto(view[at : at + _CHUNK])
        if not got:
            raise EOFError(f"it ends after {at} of {count} bytes")
        at += got
    return buffer


def as_volume(buffer: np.ndarray, dtype: np.dtype, shape: tuple[int, int, int]) -> np.ndarray:
    """Bytes as an array in the machine's own byte order, first axis fastest; swapped in place, never copied."""
    values = buffer.view(dtype)
    if not dtype.isnative:
        values = values.byteswap(inplace=True).view(dtype.newbyteorder("="))
    return values.reshape(shape, order="F")
