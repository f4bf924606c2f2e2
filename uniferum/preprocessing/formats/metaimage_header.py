"""The header of a MetaImage file: keys, geometry, and the files that hold its voxels.

Invariant: what is not understood is refused. A key that is given twice, a line that is no ``Key = value``, a word where
a number should be: MetaIO (SimpleITK's reader) goes on with a guess there.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.content import SIGN_BYTES, content_of

ENDINGS = (".mhd", ".mha")
"""File name endings of MetaImage, in lower case."""

# Bytes of each element type (MetaIO's metaTypes.h): LONG is four bytes on every platform.
_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
# Headers are a few hundred bytes; one that copies DICOM elements, or lists a file a slice, is longer.
_MAX_HEADER = 1 << 20
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_TRUTH = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
# Directions are written with few digits; more than this is no rounding.
_LENGTH_TOLERANCE = 0.02
_DIRECTION = ("TransformMatrix", "Rotation", "Orientation")
_ORIGIN = ("Offset", "Position", "Origin")
# Keys that MetaIO refuses before NDims, whose number of values depends on it.
_AFTER_NDIMS = ("DimSize", "ElementSpacing", "ElementSize", "CenterOfRotation", *_DIRECTION, *_ORIGIN)


@dataclass(frozen=True)
class MetaImageHeader:
    """What a MetaImage header says, checked.

    Attributes:
        shape: voxels along each axis, the first one fastest in the file.
        dtype: of a voxel, with its byte order.
        affine: 4 x 4, voxel index to RAS mm (the file is LPS).
        absent: in words what of orientation and origin the header does not give, so that MetaIO's default (identity, 0)
            stands in ``affine``.
        unit: of its lengths as the header names it, empty where it names none.
        files: hold the voxels; the header itself where they follow it, one a slice for a list.
        data_at: first byte after the header's last line, where the voxels are in the same file, else 0.
        header_size: bytes to skip in the voxel file; -1: the voxels are its end.
        compressed: zlib.
        compressed_size: bytes of the zlib data, ``None`` where the header does not say.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype
    affine: np.ndarray
    absent: tuple[str, ...]
    unit: str
    files: tuple[Path, ...]
    data_at: int
    header_size: int
    compressed: bool
    compressed_size: int | None


def parse_header(path: Path) -> MetaImageHeader:
    """Read and check a header.

    Raises:
        UniferumError: it is no MetaImage header, or says something that this project does not read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_MAX_HEADER)
    except OSError as error:
        raise UniferumError(str(path), must="be readable", cure=error.strerror or str(error)) from None
    keys, end = _keys(start, path)
    _check_order(keys, path)
    _check_readable(keys, path)
    shape = tuple(_whole(keys, "DimSize", path, 3))
    compressed = _truth(keys, "CompressedData", path)
    size = _whole(keys, "CompressedDataSize", path, 1)[0] if "CompressedDataSize" in keys else None
    files, local = _files(path, keys["ElementDataFile"], start[end:], shape[2])
    header = MetaImageHeader(
        shape=(shape[0], shape[1], shape[2]),
        dtype=_dtype(keys, path),
        affine=_affine(keys, path),
        absent=tuple(names[0] for names in (_DIRECTION, _ORIGIN) if not any(name in keys for name in names)),
        unit=keys.get("DistanceUnits", ""),
        files=files,
        data_at=end if local else 0,
        header_size=_whole(keys, "HeaderSize", path, 1)[0] if "HeaderSize" in keys else 0,
        compressed=compressed,
        compressed_size=size,
    )
    _check_place(header, path, local=local)
    return header


def _keys(start: bytes, path: Path) -> tuple[dict[str, str], int]:
    """Keys in their order, and the first byte after the line of ElementDataFile, which is the last of them."""
    keys: dict[str, str] = {}
    at = 0
    while "ElementDataFile" not in keys:
        if at >= len(start):
            raise UniferumError(str(path), must="be a MetaImage header that ends with ElementDataFile")
        end = start.find(b"\n", at)
        line = os.fsdecode(start[at : end if end >= 0 else len(start)])
        at = end + 1 if end >= 0 else len(start)
        if not line.strip():
            continue
        found = re.match(r"([^=:]*)[=:](.*)", line, re.DOTALL)
        if found is None:
            content = content_of(start[:SIGN_BYTES])
            cure = f"it holds {content}" if content and "MetaImage" not in content else ""
            raise UniferumError(str(path), must="be a MetaImage header of lines 'Key = value'", cure=cure)
        name, value = found[1].strip(), found[2].strip()
        if name in keys:
            raise UniferumError(f"{path}: {name[:40]}", must="be given once")
        keys[name] = value
    return keys, at


def _check_order(keys: dict[str, str], path: Path) -> None:
    for name in ("NDims", "DimSize", "ElementType"):
        if name not in keys:
            raise UniferumError(f"{path}: {name}", must="be given", cure="it is no whole MetaImage header")
    names = list(keys)
    early = [name for name in names[: names.index("NDims")] if name in _AFTER_NDIMS]
    if early:
        raise UniferumError(f"{path}: NDims", must=f"come before {early[0]}")


def _check_readable(keys: dict[str, str], path: Path) -> None:
    """Refuse what is no three-dimensional image of one binary number a voxel."""
    cure = "convert it: SimpleITK.WriteImage(SimpleITK.ReadImage('a.mhd'), 'a.nii.gz')"
    if keys.get("ObjectType", "Image") != "Image":
        raise UniferumError(f"{path}: ObjectType", keys["ObjectType"], must="be Image")
    if _whole(keys, "NDims", path, 1) != [3]:
        raise UniferumError(f"{path}: NDims", keys["NDims"], must="be 3", cure="give one volume a file")
    if "ElementNumberOfChannels" in keys and _whole(keys, "ElementNumberOfChannels", path, 1) != [1]:
        channels = keys["ElementNumberOfChannels"]
        raise UniferumError(f"{path}: ElementNumberOfChannels", channels, must="be 1", cure="colours are no HU")
    if not _truth(keys, "BinaryData", path, default=True):
        raise UniferumError(f"{path}: BinaryData", keys["BinaryData"], must="be True: voxels as text", cure=cure)
    for name, nothing in (("ElementToIntensityFunctionSlope", 1.0), ("ElementToIntensityFunctionOffset", 0.0)):
        if name in keys and _numbers(keys, name, path, 1) != [nothing]:
            must = f"be {nothing:g}, since MetaIO does not apply it"
            raise UniferumError(f"{path}: {name}", keys[name], must=must, cure="apply it to the voxels")


def _numbers(keys: dict[str, str], name: str, path: Path, count: int) -> list[float]:
    words = keys[name].split()
    if len(words) != count or not all(_NUMBER.fullmatch(word) for word in words):
        raise UniferumError(f"{path}: {name}", keys[name], must=f"be {count} number{'s' * (count > 1)}")
    numbers = [float(word) for word in words]
    if not np.isfinite(numbers).all():
        raise UniferumError(f"{path}: {name}", keys[name], must="be finite")
    return numbers


def _whole(keys: dict[str, str], name: str, path: Path, count: int) -> list[int]:
    numbers = _numbers(keys, name, path, count)
    if not all(number.is_integer() for number in numbers):
        raise UniferumError(f"{path}: {name}", keys[name], must="be whole numbers")
    return [int(number) for number in numbers]


def _truth(keys: dict[str, str], name: str, path: Path, *, default: bool = False) -> bool:
    text = keys.get(name)
    if text is None:
        return default
    if text.lower() not in _TRUTH:
        raise UniferumError(f"{path}: {name}", text, must="be True or False")
    return _TRUTH[text.lower()]


def _one_of(keys: dict[str, str], names: tuple[str, ...], path: Path) -> str | None:
    """The synonym that is given; MetaIO lets one outrank another, without a word where they differ."""
    given = [name for name in names if name in keys]
    if len({keys[name] for name in given}) > 1:
        raise UniferumError(f"{path}: {' and '.join(given)}", must="agree, being names of one thing")
    return given[0] if given else None


def _dtype(keys: dict[str, str], path: Path) -> np.dtype:
    kind = _TYPES.get(keys["ElementType"])
    if kind is None:
        raise UniferumError(f"{path}: ElementType", keys["ElementType"], must=f"be one of {', '.join(_TYPES)}")
    orders = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    said = {_truth(keys, name, path) for name in orders if name in keys}
    if len(said) > 1:
        raise UniferumError(f"{path}: {' and '.join(orders)}", must="agree, being names of one thing")
    return np.dtype((">" if said == {True} else "<") + kind)


def _affine(keys: dict[str, str], path: Path) -> np.ndarray:
    size = "ElementSpacing" if "ElementSpacing" in keys else "ElementSize"
    if size not in keys:
        raise UniferumError(f"{path}: ElementSpacing", must="be given", cure="write the voxel size in mm into it")
    spacing = _numbers(keys, size, path, 3)
    if min(spacing) <= 0:
        raise UniferumError(f"{path}: {size}", spacing, must="be three positive numbers")
    direction, origin = _one_of(keys, _DIRECTION, path), _one_of(keys, _ORIGIN, path)
    affine = np.eye(4)
    if direction is not None:
        # The i-th three numbers of TransformMatrix are the direction of the i-th axis.
        affine[:3, :3] = np.asarray(_numbers(keys, direction, path, 9)).reshape(3, 3).T
        lengths = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
        if lengths.all() and np.abs(lengths - 1).max() > _LENGTH_TOLERANCE:
            cure = "voxel sizes stand in ElementSpacing alone; with both, readers differ"
            raise UniferumError(
                f"{path}: {direction}", keys[direction], must="be three directions of length 1", cure=cure
            )
    if origin is not None:
        affine[:3, 3] = _numbers(keys, origin, path, 3)
    affine[:3, :3] = _LPS_TO_RAS @ affine[:3, :3] @ np.diag(spacing)
    affine[:3, 3] = _LPS_TO_RAS @ affine[:3, 3]
    return affine


def _files(path: Path, name: str, behind: bytes, slices: int) -> tuple[tuple[Path, ...], bool]:
    """The voxel files that ElementDataFile names, and whether the header's own file is it."""
    first, *more = name.split() or [""]
    if name.upper() == "LOCAL":
        return (path,), True
    if first.upper() == "LIST":
        # The number that may follow is the dimensions of each file: 2 is a slice.
        if more not in ([], ["2"], ["2D"]):
            raise UniferumError(f"{path}: ElementDataFile", name, must="list files of one slice each (LIST)")
        if not behind.endswith(b"\n"):
            # MetaIO does not read the last file then, and returns whatever stood in memory.
            raise UniferumError(str(path), must="end with a line break after its list of files")
        lines = [line.strip() for line in os.fsdecode(behind).rstrip().split("\n")]
        if len(lines) != slices or "" in lines:
            raise UniferumError(f"{path}: ElementDataFile", f"{len(lines)} lines", must=f"list {slices} files")
        return tuple(_file(path, line) for line in lines), False
    return (_file(path, name),), False


def _file(path: Path, name: str) -> Path:
    pure = PurePosixPath(name)
    if not name or "\0" in name or pure.is_absolute() or ".." in pure.parts or pure == PurePosixPath("."):
        raise UniferumError(f"{path}: ElementDataFile", name, must="be a file name in the same folder or below it")
    if "%" in name:
        # MetaIO reads it as a pattern of names.
        raise UniferumError(f"{path}: ElementDataFile", name, must="be the name of one file, no pattern with %")
    return path.parent / pure


def _check_place(header: MetaImageHeader, path: Path, *, local: bool) -> None:
    several = len(header.files) > 1
    plain = not header.compressed and not several and (not local or header.header_size == -1)
    if header.header_size < -1 or (header.header_size != 0 and not plain):
        must = "be 0, -1 (the voxels are the file's end) or, for one plain voxel file, bytes to skip"
        raise UniferumError(f"{path}: HeaderSize", header.header_size, must=must)
    if header.compressed and several:
        raise UniferumError(f"{path}: CompressedData", must="be False for a list of files")
    if header.compressed and local and header.compressed_size is None:
        # MetaIO reads noise from such a file.
        raise UniferumError(f"{path}: CompressedDataSize", must="be given where compressed voxels follow the header")
