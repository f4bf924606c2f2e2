"""What a reader hands over: values as stored, their geometry and what was noticed; and how large a file may be.

Invariant: a size that a header declares is held against a limit and against what the file can hold before any memory
is taken for it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uniferum.errors import UniferumError
from uniferum.preprocessing.source import Intensity

MAX_BYTES = 8 << 30
# Deflate cannot expand by more than this (1 bit a 258-byte match, and two bits of block overhead).
MAX_EXPANSION = 1032


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
