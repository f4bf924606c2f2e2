"""npz arrays: RAD-ChestCT's key ``ct``, and files of one's own with an affine beside it."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from uniferum.errors import UniferumError
from uniferum.preprocessing.source import Intensity
from uniferum.preprocessing.stored import MAX_BYTES, Stored, check_size


def read_npz(path: Path, *, believe_header: bool) -> Stored:
    """RAD-ChestCT's key ``ct``; with it a file of one's own may hold ``affine`` (4 x 4, voxel to RAS mm)."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_npy(archive, "ct.npy", path)
        with np.load(path, allow_pickle=False) as arrays:
            values = arrays["ct"]
            affine = arrays["affine"].astype(np.float64) if "affine" in arrays else None
    except UniferumError:
        raise
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        reason = "it is truncated, damaged, or holds pickled objects"
        raise UniferumError(str(path), must="be a plain npz file", cure=f"{reason} ({type(error).__name__})") from None
    if affine is None and believe_header:
        raise UniferumError(str(path), must="hold 'affine' beside 'ct'", cure="or the cohort must give the affine")
    return Stored(values, np.eye(4) if affine is None else affine, Intensity(1.0, 0.0))


def _check_npy(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    if name not in archive.namelist():
        raise UniferumError(str(path), ", ".join(archive.namelist()), must="hold the array 'ct'")
    with archive.open(name) as stream:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
    if len(shape) != 3 or dtype.kind not in "iuf":
        raise UniferumError(f"{path}: ct", f"{shape} of {dtype}", must="be three-dimensional numbers, no objects")
    check_size(path, shape, dtype.itemsize, compressed=True)
    if archive.getinfo(name).file_size > MAX_BYTES:
        raise UniferumError(f"{path}: ct", must=f"declare at most {MAX_BYTES >> 30} GiB")
