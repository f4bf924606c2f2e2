"""Encode arrays to bytes: slabs along x, predicted along z, split into byte planes and compressed with zstd.

A CT at 1 to 2 mm is smooth with noise. The difference to the voxel below, as a small unsigned number (zigzag: 0, -1, 1,
-2, ... to 0, 1, 2, 3, ...), gives one byte plane of almost only zeros and one of noise. Every frame has zstd's
checksum, so a flipped bit is an error on reading and never a wrong voxel.
"""

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import zstandard

from uniferum.errors import UniferumError

LEVEL = 3
SLAB_BYTES = 1 << 21


def encode(array: np.ndarray) -> tuple[dict[str, Any], list[bytes]]:
    """Compress an int16 or uint8 array with three axes.

    Returns:
        the array's entry in the header of a scan file (``shape``, ``dtype``, ``codec``, ``slab``, ``sizes``), and the
        frames.
    """
    assert array.ndim == 3, "levels and masks have three axes"
    assert array.dtype in (np.int16, np.uint8), "levels are int16, masks uint8"
    array = np.ascontiguousarray(array)
    slab = max(1, min(len(array), SLAB_BYTES // max(1, array[0].nbytes)))
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    frames = []
    for first in range(0, len(array), slab):
        part = array[first : first + slab]
        raw = _to_planes(part.view(np.uint16)) if array.dtype == np.int16 else part
        frames.append(compressor.compress(raw.data))
    entry = {
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "codec": "zigzag-delta-planes-zstd" if array.dtype == np.int16 else "zstd",
        "slab": slab,
        "sizes": [len(frame) for frame in frames],
    }
    return entry, frames


def decode(entry: dict[str, Any], frames: Sequence[bytes | memoryview], first_slab: int = 0) -> np.ndarray:
    """Decode the array of an entry, or the rows of x in ``frames`` (which start at slab ``first_slab``).

    Raises:
        UniferumError: a frame is damaged.
    """
    nx, ny, nz = entry["shape"]
    slab = entry["slab"]
    start = first_slab * slab
    out = np.empty((min(nx, start + slab * len(frames)) - start, ny, nz), dtype=entry["dtype"])
    decompressor = zstandard.ZstdDecompressor()
    for index, frame in enumerate(frames):
        part = out[index * slab : (index + 1) * slab]
        raw = _decompressed(decompressor, frame, part.nbytes)
        if entry["codec"] == "zstd":
            part[...] = np.frombuffer(raw, dtype=part.dtype).reshape(part.shape)
        else:
            _from_planes(np.frombuffer(raw, dtype=np.uint8), part.view(np.uint16))
    return out


def _decompressed(decompressor: zstandard.ZstdDecompressor, frame: bytes | memoryview, size: int) -> bytes:
    try:
        raw = decompressor.decompress(frame, max_output_size=size)
    except zstandard.ZstdError as error:
        raise UniferumError("prepared scan", must="be undamaged", cure=f"prepare it again ({error})") from None
    if len(raw) != size:
        raise UniferumError("prepared scan", len(raw), must=f"hold {size} bytes per slab", cure="prepare it again")
    return raw


@numba.njit(cache=True, nogil=True)
def _to_planes(values):
    nx, ny, nz = values.shape
    out = np.empty((2, nx * ny * nz), np.uint8)
    at = 0
    for i in range(nx):
        for j in range(ny):
            before = np.uint16(0)
            for k in range(nz):
                value = values[i, j, k]
                delta = np.uint16(value - before)
                folded = np.uint16((delta << np.uint16(1)) & np.uint16(0xFFFF))
                if delta & np.uint16(0x8000):
                    folded = np.uint16(folded ^ np.uint16(0xFFFF))
                out[0, at] = np.uint8(folded & np.uint16(0xFF))
                out[1, at] = np.uint8(folded >> np.uint16(8))
                before = value
                at += 1
    return out


@numba.njit(cache=True, nogil=True)
def _from_planes(planes, out):
    nx, ny, nz = out.shape
    half = nx * ny * nz
    at = 0
    for i in range(nx):
        for j in range(ny):
            value = np.uint16(0)
            for k in range(nz):
                folded = np.uint16(planes[at]) | (np.uint16(planes[half + at]) << np.uint16(8))
                delta = np.uint16(folded >> np.uint16(1))
                if folded & np.uint16(1):
                    delta = np.uint16(delta ^ np.uint16(0xFFFF))
                value = np.uint16(value + delta)
                out[i, j, k] = value
                at += 1
