"""Where the voxels of a NIfTI file begin and how many there are, by its first 540 bytes, without judging them.

For a cheap look at many files; reading a volume is the affair of
:mod:`~uniferum.preprocessing.formats.nifti`. nibabel is not used here: it ends in many kinds of
errors where a header is damaged.
"""

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isal import igzip, igzip_lib

# isal's stubs declare its error as an instance.
_ISAL_ERROR: Any = igzip_lib.IsalError
DAMAGED_GZIP: tuple[type[Exception], ...] = (EOFError, zlib.error, igzip.BadGzipFile, _ISAL_ERROR)
"""What reading a damaged or truncated gzip file raises."""

LARGEST_HEADER = 540
"""Bytes of a NIfTI-2 header; a NIfTI-1 header has 348."""

# Size of a header -> type and first byte of dim[8], first byte of bitpix (int16), type and first byte of vox_offset:
# nifti1.h and nifti2.h of the standard.
_FIELDS = {348: ("h", 40, 72, "f", 108), 540: ("q", 16, 14, "q", 168)}


@dataclass(frozen=True)
class NiftiLayout:
    """What a header states of a file's layout.

    Attributes:
        header_size: 348 (NIfTI-1) or 540 (NIfTI-2).
        voxels_at: first byte of the voxels.
        voxels: their number; ``None`` where the lengths of the axes are impossible.
        bits: of a voxel.
    """

    header_size: int
    voxels_at: int
    voxels: int | None
    bits: int


def nifti_layout(start: bytes) -> NiftiLayout | None:
    """The layout that the first bytes of a file state; ``None`` where they are no NIfTI header of either order."""
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
    """Whether a file is gzipped, by its content.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def open_unzipped(path: Path) -> Any:
    """A stream of the file's bytes, unzipped where its content is gzip; raises as :func:`is_gzip`."""
    return igzip.open(path, "rb") if is_gzip(path) else path.open("rb")
