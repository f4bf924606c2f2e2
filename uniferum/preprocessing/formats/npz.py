"""Read npz arrays: RAD-ChestCT's ``ct``, and files with an additional ``affine``.

Invariant: the header of an array is checked before the array is decompressed, and no pickled object is loaded.
"""

import lzma
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.content import SIGN_BYTES, content_of
from uniferum.preprocessing.formats.source import Intensity
from uniferum.preprocessing.formats.stored import MAX_BYTES, Stored, check_size
from uniferum.preprocessing.volume import spacing_of

# Exceptions of zipfile and numpy for a damaged, encrypted or unsupported archive: RuntimeError for a password,
# NotImplementedError for a compression that Python lacks.
_DAMAGED = (
    zipfile.BadZipFile,
    ValueError,
    EOFError,
    OSError,
    KeyError,
    RuntimeError,
    NotImplementedError,
    zlib.error,
    lzma.LZMAError,
)
# Names of arrays that may give the coordinate system of the affine.
_SPACES = ("space", "coordinate_system", "affine_space")
# Limits of such an array, and of a spacing: bytes per element, and elements.
_MAX_WORD, _MAX_SMALL = 256, 16
_AFFINE = "be 4 x 4 numbers, voxel index to RAS mm"


def read_npz(path: Path, *, believe_header: bool) -> Stored:
    """Read the array ``ct``, and ``affine`` (4 x 4, voxel index to RAS mm) if the file has one.

    An affine of 3 x 4, or of 16 or 12 numbers in row order, is accepted as well.

    Raises:
        UniferumError: it is not an npz file, has no ``ct`` (or no affine although it is needed), or an array is not a
            three-dimensional array of numbers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_values(archive, path)
            has_affine = _has_affine(archive, path)
        with np.load(path, allow_pickle=False) as arrays:
            values = arrays["ct"]
            affine = _affine(arrays["affine"], path) if has_affine and believe_header else None
            names = ", ".join(sorted(arrays.files))
            flags, notes = _other_arrays(arrays, affine, path)
    except UniferumError:
        raise
    except _DAMAGED as error:
        raise _damaged(path, error) from None
    if affine is None and believe_header:
        cure = f"it holds {names[:100]} (a spacing does not define the axes), or set the affine in the cohort"
        raise UniferumError(str(path), must="hold 'affine' in addition to 'ct'", cure=cure)
    return Stored(values, np.eye(4) if affine is None else affine, Intensity(1.0, 0.0), flags, notes)


def _other_arrays(arrays: Any, affine: np.ndarray | None, path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Flags and notes on arrays other than volume and affine; a spacing is compared with the affine.

    Raises:
        UniferumError: the file gives its affine in another coordinate system than RAS.
    """
    flags, notes = [], []
    others = [name for name in arrays.files if name not in ("ct", "affine")]
    if affine is not None:
        _check_space(arrays, others, path)
        spacing = _small(arrays, "spacing", "iuf") if "spacing" in others else None
        sizes = np.sort(np.asarray(spacing_of(affine)))
        if spacing is not None and spacing.size == 3 and not np.allclose(np.sort(spacing.ravel()), sizes, rtol=0.05):
            flags.append("spacing_contradiction")
            notes.append("The array 'spacing' of the npz file contradicts its affine; the affine was used.")
    if others:
        notes.append(f"The npz file holds {len(others)} arrays other than 'ct' and 'affine'; they were not read.")
    return tuple(flags), tuple(notes)


def _check_space(arrays: Any, others: list[str], path: Path) -> None:
    for name in set(others) & set(_SPACES):
        array = _small(arrays, name, "U")
        space = str(array.ravel()[0]).upper() if array is not None and array.size == 1 else ""
        if space and not space.startswith(("RAS", "SCANNER")):
            cure = "for LPS negate the affine's first two rows, and name RAS"
            raise UniferumError(f"{path}: {name}", space, must="be RAS, the coordinate system of 'affine'", cure=cure)


def _small(arrays: Any, name: str, kinds: str) -> np.ndarray | None:
    """A small array of the given kinds; ``None`` for any other, which is not decompressed or unpickled."""
    with arrays.zip.open(f"{name}.npy") as stream:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
    small = dtype.kind in kinds and dtype.itemsize <= _MAX_WORD and math.prod(shape) <= _MAX_SMALL
    return arrays[name] if small else None


def _damaged(path: Path, error: Exception) -> UniferumError:
    reason = "it is truncated, damaged, encrypted, or holds pickled objects"
    if isinstance(error, zipfile.BadZipFile):
        with path.open("rb") as file:
            content = content_of(file.read(SIGN_BYTES))
        reason = f"it holds {content}" if content and "zip" not in content else reason
    return UniferumError(str(path), must="be a valid npz file", cure=f"{reason} ({type(error).__name__})")


def declared_array(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type in the header of an array; raises the exceptions of a damaged file."""
    with archive.open(name) as stream:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
    return shape, dtype


def _check_values(archive: zipfile.ZipFile, path: Path) -> None:
    if "ct.npy" not in archive.namelist():
        names = ", ".join(archive.namelist())
        raise UniferumError(str(path), names, must="hold the array 'ct'", cure="name the volume 'ct' in numpy.savez")
    shape, dtype = declared_array(archive, "ct.npy")
    if len(shape) != 3 or dtype.kind not in "iuf" or dtype.itemsize > 8:
        must = "be three-dimensional numbers: one volume, no booleans, no objects"
        raise UniferumError(f"{path}: ct", f"{shape} of {dtype}", must=must)
    check_size(path, shape, dtype.itemsize, compressed=True)
    if archive.getinfo("ct.npy").file_size > MAX_BYTES:
        raise UniferumError(f"{path}: ct", must=f"declare at most {MAX_BYTES >> 30} GiB")


def _has_affine(archive: zipfile.ZipFile, path: Path) -> bool:
    if "affine.npy" not in archive.namelist():
        return False
    shape, dtype = declared_array(archive, "affine.npy")
    if shape not in ((4, 4), (3, 4), (16,), (12,)) or dtype.kind not in "iuf":
        raise UniferumError(f"{path}: affine", f"{shape} of {dtype}", must=_AFFINE)
    return True


def _affine(has_affine: np.ndarray, path: Path) -> np.ndarray:
    affine = np.eye(4)
    affine[: has_affine.size // 4] = has_affine.astype(np.float64).reshape(-1, 4)
    if not np.isfinite(affine).all() or not np.array_equal(affine[3], (0, 0, 0, 1)):
        raise UniferumError(f"{path}: affine", must=_AFFINE, cure="all numbers must be finite, the last row 0 0 0 1")
    return affine
