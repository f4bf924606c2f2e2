"""Position and number of the voxels of a NIfTI file, from its first 540 bytes, without validation.

It is a fast check for many files; :mod:`~uniferum.preprocessing.formats.nifti` reads volumes. nibabel is not used here
because damaged headers raise many different errors in it.
"""

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isal import igzip, igzip_lib

# The type stubs of isal declare its error as an instance.
_ISAL_ERROR: Any = igzip_lib.IsalError
DAMAGED_GZIP: tuple[type[Exception], ...] = (EOFError, zlib.error, igzip.BadGzipFile, _ISAL_ERROR)
"""Exceptions raised while reading a damaged or truncated gzip file."""

LARGEST_HEADER = 540
"""Size in bytes of a NIfTI-2 header; a NIfTI-1 header has 348."""

# Header size to: type and offset of dim[8], offset of bitpix (int16), type and offset of vox_offset (nifti1.h and
# nifti2.h of the standard).
_FIELDS = {348: ("h", 40, 72, "f", 108), 540: ("q", 16, 14, "q", 168)}


@dataclass(frozen=True)
class NiftiLayout:
    """File layout that a header declares.

    Attributes:
        header_size: 348 (NIfTI-1) or 540 (NIfTI-2).
        voxels_at: first byte of the voxels.
        voxels: their number; ``None`` if the declared axis lengths are impossible.
        bits: bits per voxel.
    """

    header_size: int
    voxels_at: int
    voxels: int | None
    bits: int


def nifti_layout(start: bytes) -> NiftiLayout | None:
    """Layout declared by the first bytes of a file; ``None`` if they are not a NIfTI header of either byte order."""
    for order in "<>":
        size = struct.unpack_from(f"{order}i", start)[0] if len(start) >= 4 else 0
        if size not in _FIELDS or len(start) < size:
            continue
        length_type, dim_at, bits_at, offset_type, offset_at = _FIELDS[size]
        count, *lengths = struct.unpack_from(f"{order}8{length_type}", start, dim_at)
        (bits,) = struct.unpack_from(f"{order}h", start, bits_at)
        (offset,) = struct.unpack_from(f"{order}{offset_type}", start, offset_at)
        if not math.isfinite(offset):
            return None
        sound = 1 <= count <= 7 and min(lengths[:count]) >= 1
        return NiftiLayout(size, int(offset), math.prod(lengths[:count]) if sound else None, bits)
    return None


def is_gzip(path: Path) -> bool:
    """Whether the content of a file is gzip.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def open_unzipped(path: Path) -> Any:
    """Open a file and decompress it if its content is gzip; raises as :func:`is_gzip`."""
    return igzip.open(path, "rb") if is_gzip(path) else path.open("rb")
