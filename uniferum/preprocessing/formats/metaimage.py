"""Read MetaImage (``.mhd`` with ``.raw``, ``.zraw`` or a list of files, or ``.mha``), the format of LUNA16.

Its coordinates are LPS, those of the result RAS. A fuzz test of headers compares this reader with SimpleITK, which is
not used for safety: for a truncated or damaged ``.zraw`` it silently returns uninitialised memory; it follows a header
to any file of the machine, and trusts any declared size. This reader is also faster: 512 x 512 x 224 voxels of int16
take 0.03 s instead of 0.06 s, compressed 0.3 s instead of 0.43 s.

Invariant: voxel files are in the header's folder or below it, and no more than declared is decompressed.
"""

import os
import zlib
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from isal import igzip_lib, isal_zlib

from uniferum.errors import UniferumError
from uniferum.preprocessing.affines import check_finite, in_millimetres
from uniferum.preprocessing.formats.metaimage_header import MetaImageHeader, parse_header
from uniferum.preprocessing.formats.source import Intensity
from uniferum.preprocessing.formats.stored import Stored, as_volume, check_size, read_exactly

# The type stubs of isal declare its error as an instance.
_ISAL_ERROR: Any = igzip_lib.IsalError
_DAMAGED: tuple[type[Exception], ...] = (zlib.error, _ISAL_ERROR)
_CHUNK = 1 << 20
_UNITS = {"um": ("micrometres", 1e-3), "cm": ("centimetres", 10.0), "m": ("metres", 1e3)}


def read_metaimage(path: Path) -> Stored:
    """Read one volume; the direction matrix is applied, so flipped scans are read correctly.

    Raises:
        UniferumError: the header is not a MetaImage header or lacks a key, or the voxels are missing or truncated.
    """
    header = parse_header(path)
    for file in header.files:
        if not file.is_file():
            raise UniferumError(str(file), must="exist", cure=f"{path.name} names it as its voxel file")
    try:
        values, notes = _voxels(header)
    except OSError as error:
        raise UniferumError(str(path), must="be readable", cure=error.strerror or str(error)) from None
    flags = ("trailing_data",) if notes else ()
    if header.absent:
        missing = " and ".join(header.absent)
        note = f"The MetaImage header has no {missing}; MetaIO's default (axes L, P, S; origin 0) was used."
        flags, notes = (*flags, "no_orientation"), (*notes, note)
    check_finite(header.affine, path)
    unit = _UNITS.get(header.unit.lower())
    affine, unit_remarks = in_millimetres(header.affine, unit, "MetaImage") if unit else (header.affine, ((), ()))
    return Stored(values, affine, Intensity(1.0, 0.0), (*flags, *unit_remarks[0]), (*notes, *unit_remarks[1]))


def _voxels(header: MetaImageHeader) -> tuple[np.ndarray, tuple[str, ...]]:
    """The voxels, and a note if their file is longer."""
    if len(header.files) != 1:
        return _list(header)
    file = header.files[0]
    count = check_size(file, header.shape, header.dtype.itemsize, compressed=header.compressed)
    with file.open("rb", buffering=0) as stream:
        if header.compressed:
            stream.seek(header.data_at)
            raw = _inflated(stream, file, header, count)
            return as_volume(raw, header.dtype, header.shape), ()
        length = os.fstat(stream.fileno()).st_size
        start = length - count if header.header_size == -1 else header.data_at + header.header_size
        if start < header.data_at or start + count > length:
            cure = "it is truncated" if header.header_size <= 0 else f"after {header.header_size} of HeaderSize"
            held = max(0, length - header.data_at)
            raise UniferumError(str(file), held, must=f"hold {count} bytes of voxels", cure=cure)
        stream.seek(start)
        raw = read_exactly(stream, count)
    return as_volume(raw, header.dtype, header.shape), _surplus_note(length - start - count, 1)


def _list(header: MetaImageHeader) -> tuple[np.ndarray, tuple[str, ...]]:
    """Voxels of a list of files, one per slice, and a note if the files are longer."""
    rows, columns, slices = header.shape
    each = rows * columns * header.dtype.itemsize
    held = [file.stat().st_size for file in header.files]
    for file, length in zip(header.files, held, strict=True):
        if length < each:
            raise UniferumError(str(file), length, must=f"hold {each} bytes of voxels", cure="it is truncated")
    check_size(header.files[0], (rows, columns, max(2, slices)), 0, compressed=False)
    raw = np.empty((slices, each), dtype=np.uint8)
    for index, file in enumerate(header.files):
        with file.open("rb", buffering=0) as stream:
            raw[index] = read_exactly(stream, each)
    return as_volume(raw.reshape(-1), header.dtype, header.shape), _surplus_note(sum(held) - slices * each, slices)


def _surplus_note(count: int, files: int) -> tuple[str, ...]:
    if count == 0:
        return ()
    where = "the voxel file" if files == 1 else f"the {files} voxel files"
    return (f"{count} bytes more than the MetaImage header declares follow the voxels of {where}.",)


def _inflated(stream: FileIO, file: Path, header: MetaImageHeader, count: int) -> np.ndarray:
    """Decompress ``count`` bytes of zlib data, which must be all of it; the checksum is verified."""
    out = np.empty(count, dtype=np.uint8)
    left = _compressed_bytes(stream, file, header)
    machine, at = isal_zlib.decompressobj(), 0
    try:
        while left > 0 and at <= count and not machine.eof:
            fed = stream.read(min(_CHUNK, left))
            left -= len(fed)
            at = _feed(machine, fed, out.data, at)
    except _DAMAGED as error:
        raise UniferumError(
            str(file), must="be whole zlib data", cure=f"damaged, or not compressed ({error})"
        ) from None
    if at != count or not machine.eof:
        cure = "it is truncated" if at < count else "it holds more"
        raise UniferumError(str(file), min(at, count), must=f"hold {count} bytes of voxels", cure=cure)
    return out


def _compressed_bytes(stream: FileIO, file: Path, header: MetaImageHeader) -> int:
    left = os.fstat(stream.fileno()).st_size - header.data_at
    if header.compressed_size is None:
        return left
    if not 0 < header.compressed_size <= left:
        must = f"hold {header.compressed_size} bytes of compressed voxels"
        raise UniferumError(str(file), left, must=must, cure="it is truncated")
    return header.compressed_size


def _feed(machine: Any, fed: bytes, out: memoryview, at: int) -> int:
    """Decompress into ``out`` from byte ``at``; return the next byte, beyond the end if there is too much data."""
    while at <= len(out):
        # One byte more than needed reveals data that are longer than declared.
        limit = min(_CHUNK, len(out) - at + 1)
        received = machine.decompress(fed, limit)
        copied = min(len(received), len(out) - at)
        out[at : at + copied] = received[:copied]
        at += len(received)
        fed = machine.unconsumed_tail
        if machine.eof or (not fed and len(received) < limit):
            break
    return at
