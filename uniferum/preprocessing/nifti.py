"""NIfTI-1 and -2, plain or gzipped, read straight into the array's own type by isal.

Invariant: never more is decompressed than the header declares, and the header's declaration is checked against a limit
and against what a stream of this size can hold, so that a small file cannot fill the memory or the disk.
"""

import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import nibabel
import numpy as np
from isal import igzip, igzip_lib
from nibabel.spatialimages import HeaderDataError

from uniferum.errors import UniferumError
from uniferum.preprocessing.source import Intensity
from uniferum.preprocessing.stored import Stored, check_size

# isal's stubs declare its error as an instance.
_ISAL_ERROR: Any = igzip_lib.IsalError
_DAMAGED: tuple[type[Exception], ...] = (EOFError, zlib.error, igzip.BadGzipFile, _ISAL_ERROR)
_HEADERS = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}


def read_nifti(path: Path, *, believe_header: bool = True) -> Stored:
    """Read one volume.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        believe_header: off where the caller brings its own affine: then spacing and orientation are not checked.

    Raises:
        UniferumError: it is no NIfTI, is truncated or damaged, has not three dimensions, holds colours, declares more
            than ``MAX_BYTES``, or its geometry is impossible.
    """
    try:
        with _opened(path) as stream:
            header = _header(stream, path)
            shape, dtype = _declared(header, path)
            values = _values(stream, header, shape, dtype, path)
    except _DAMAGED as error:
        raise UniferumError(str(path), must="be a whole gzip file", cure=f"fetch it again ({error})") from None
    except OSError as error:
        raise UniferumError(str(path), must="be readable", cure=error.strerror or str(error)) from None
    affine, flags = _geometry(header, path) if believe_header else (np.eye(4), ())
    slope, intercept = _scaling(header)
    return Stored(values, affine, Intensity(slope, intercept), flags)


def _opened(path: Path) -> Any:
    with path.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    return igzip.open(path, "rb") if gzipped else path.open("rb")


def _header(stream: BinaryIO, path: Path) -> Any:
    start = stream.read(4)
    sizes = {struct.unpack(order + "i", start)[0]: order for order in "<>"} if len(start) == 4 else {}
    for size, kind in _HEADERS.items():
        if size in sizes:
            block = start + stream.read(size - 4)
            if len(block) == size:
                return kind(block, endianness=sizes[size], check=False)
    raise UniferumError(str(path), must="be a NIfTI file", cure="its first bytes are not a NIfTI header")


def _declared(header: Any, path: Path) -> tuple[tuple[int, int, int], np.dtype]:
    shape = tuple(int(count) for count in header.get_data_shape())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise UniferumError(str(path), shape, must="have three dimensions", cure="give one volume a file")
    try:
        dtype = header.get_data_dtype()
    except HeaderDataError:
        raise UniferumError(str(path), must="have a known data type") from None
    if dtype.kind not in "iuf":
        raise UniferumError(str(path), dtype, must="hold one number a voxel (no colours, no complex numbers)")
    x, y, z = shape
    return (x, y, z), dtype


def _values(stream: Any, header: Any, shape: tuple[int, int, int], dtype: np.dtype, path: Path) -> np.ndarray:
    compressed = isinstance(stream, igzip.IGzipFile)
    count = check_size(path, shape, dtype.itemsize, compressed=compressed)
    offset = int(header["vox_offset"]) or int(header["sizeof_hdr"]) + 4
    if not 0 <= offset - int(header["sizeof_hdr"]) < 1 << 24:
        raise UniferumError(str(path), offset, must="begin its voxels soon after the header")
    skip = offset - int(header["sizeof_hdr"])
    if len(stream.read(skip)) != skip:
        raise EOFError("it ends within its header")
    buffer = bytearray(count)
    view, at = memoryview(buffer), 0
    while at < count:
        got = stream.readinto(view[at : at + (1 << 22)])
        if not got:
            raise EOFError(f"it ends after {at} of {count} bytes")
        at += got
    if len(stream.read(1 << 20)) == 1 << 20:
        raise UniferumError(str(path), must="end where its header says", cure="it goes on for more than 1 MiB")
    values = np.frombuffer(buffer, dtype=dtype).reshape(shape, order="F")
    return values if dtype.isnative else values.astype(dtype.newbyteorder("="))


def _scaling(header: Any) -> tuple[float, float]:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not np.isfinite(slope) or slope == 0:
        return 1.0, 0.0
    return slope, intercept if np.isfinite(intercept) else 0.0


def _geometry(header: Any, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    zooms = np.asarray(header["pixdim"][1:4], dtype=np.float64)
    if not np.isfinite(zooms).all() or (zooms <= 0).any():
        raise UniferumError(f"{path}: pixdim", zooms.tolist(), must="be positive", cure="give an affine, or repair it")
    if int(header["sform_code"]) <= 0 and int(header["qform_code"]) <= 0:
        # Method 1 of the standard: spacing alone, no orientation; nibabel's base affine is left, anterior, superior.
        return np.asarray(header.get_base_affine(), dtype=np.float64), ("no_orientation",)
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    lengths = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    differ = np.isfinite(lengths).all() and (np.abs(lengths - zooms) > 0.05 * zooms).any()
    return affine, (("spacing_contradiction",) if differ else ())
