"""Parse the header of a MetaImage file: keys, geometry, and the files that hold its voxels.

Invariant: everything unknown is refused, such as a repeated key, a line that is not ``Key = value``, or a word instead
of a number. MetaIO (SimpleITK's reader) guesses in these cases.
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

# Size in bytes of each element type (MetaIO's metaTypes.h): LONG is four bytes on every platform.
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
# Headers are a few hundred bytes; those with copied DICOM elements or a list of slice files are longer.
_MAX_HEADER = 1 << 20
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_TRUTH = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
# Tolerance for directions written with few digits.
_LENGTH_TOLERANCE = 0.02
_DIRECTION = ("TransformMatrix", "Rotation", "Orientation")
_ORIGIN = ("Offset", "Position", "Origin")
# Keys whose number of values depends on NDims; MetaIO refuses them before NDims.
_AFTER_NDIMS = ("DimSize", "ElementSpacing", "ElementSize", "CenterOfRotation", *_DIRECTION, *_ORIGIN)


@dataclass(frozen=True)
class MetaImageHeader:
    """Validated content of a MetaImage header.

    Attributes:
        shape: voxels along each axis; the first axis is contiguous in the file.
        dtype: data type of a voxel, with its byte order.
        affine: 4 x 4, voxel index to RAS mm (the file is LPS).
        absent: names of the missing parts (orientation, origin); ``affine`` then holds MetaIO's default for them
            (identity, 0).
        unit: unit of its lengths as in the header; empty if it names none.
        files: files of the voxels; the header's own file if they follow it, one file per slice for a list.
        data_at: first byte after the header's last line if the voxels are in the same file, else 0.
        header_size: bytes to skip in the voxel file; -1 if the voxels are its last bytes.
        compressed: whether the voxels are zlib data.
        compressed_size: size in bytes of the zlib data, ``None`` if the header does not give it.
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
        UniferumError: it is not a MetaImage header, or uses a feature that is not supported.
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
    _check_voxel_position(header, path, local=local)
    return header


def _keys(start: bytes, path: Path) -> tuple[dict[str, str], int]:
    """Keys in file order, and the offset of the first byte after the line of ElementDataFile, the last key."""
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
        match = re.match(r"([^=:]*)[=:](.*)", line, re.DOTALL)
        if match is None:
            content = content_of(start[:SIGN_BYTES])
            cure = f"it holds {content}" if content and "MetaImage" not in content else ""
            raise UniferumError(str(path), must="be a MetaImage header of lines 'Key = value'", cure=cure)
        name, value = match[1].strip(), match[2].strip()
        if name in keys:
            raise UniferumError(f"{path}: {name[:40]}", must="be given once")
        keys[name] = value
    return keys, at


def _check_order(keys: dict[str, str], path: Path) -> None:
    for name in ("NDims", "DimSize", "ElementType"):
        if name not in keys:
            raise UniferumError(f"{path}: {name}", must="be given", cure="the MetaImage header is incomplete")
    names = list(keys)
    early = [name for name in names[: names.index("NDims")] if name in _AFTER_NDIMS]
    if early:
        raise UniferumError(f"{path}: NDims", must=f"come before {early[0]}")


def _check_readable(keys: dict[str, str], path: Path) -> None:
    """Refuse images that are not three-dimensional with one binary number per voxel."""
    cure = "convert it: SimpleITK.WriteImage(SimpleITK.ReadImage('a.mhd'), 'a.nii.gz')"
    if keys.get("ObjectType", "Image") != "Image":
        raise UniferumError(f"{path}: ObjectType", keys["ObjectType"], must="be Image")
    if _whole(keys, "NDims", path, 1) != [3]:
        raise UniferumError(f"{path}: NDims", keys["NDims"], must="be 3", cure="store one volume per file")
    if "ElementNumberOfChannels" in keys and _whole(keys, "ElementNumberOfChannels", path, 1) != [1]:
        channels = keys["ElementNumberOfChannels"]
        raise UniferumError(f"{path}: ElementNumberOfChannels", channels, must="be 1", cure="colours are not HU")
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
    """The given name among synonyms, which must agree; MetaIO silently prefers one of them."""
    present = [name for name in names if name in keys]
    if len({keys[name] for name in present}) > 1:
        raise UniferumError(f"{path}: {' and '.join(present)}", must="agree: they are synonyms")
    return present[0] if present else None


def _dtype(keys: dict[str, str], path: Path) -> np.dtype:
    kind = _TYPES.get(keys["ElementType"])
    if kind is None:
        raise UniferumError(f"{path}: ElementType", keys["ElementType"], must=f"be one of {', '.join(_TYPES)}")
    orders = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    byte_orders = {_truth(keys, name, path) for name in orders if name in keys}
    if len(byte_orders) > 1:
        raise UniferumError(f"{path}: {' and '.join(orders)}", must="agree: they are synonyms")
    return np.dtype((">" if byte_orders == {True} else "<") + kind)


def _affine(keys: dict[str, str], path: Path) -> np.ndarray:
    size = "ElementSpacing" if "ElementSpacing" in keys else "ElementSize"
    if size not in keys:
        raise UniferumError(f"{path}: ElementSpacing", must="be given", cure="write the voxel size in mm")
    spacing = _numbers(keys, size, path, 3)
    if min(spacing) <= 0:
        raise UniferumError(f"{path}: {size}", spacing, must="be three positive numbers")
    direction, origin = _one_of(keys, _DIRECTION, path), _one_of(keys, _ORIGIN, path)
    affine = np.eye(4)
    if direction is not None:
        # Numbers 3i to 3i + 2 of TransformMatrix are the direction of axis i.
        affine[:3, :3] = np.asarray(_numbers(keys, direction, path, 9)).reshape(3, 3).T
        lengths = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
        if lengths.all() and np.abs(lengths - 1).max() > _LENGTH_TOLERANCE:
            cure = "voxel sizes belong into ElementSpacing only; otherwise readers differ"
            raise UniferumError(
                f"{path}: {direction}", keys[direction], must="be three directions of length 1", cure=cure
            )
    if origin is not None:
        affine[:3, 3] = _numbers(keys, origin, path, 3)
    affine[:3, :3] = _LPS_TO_RAS @ affine[:3, :3] @ np.diag(spacing)
    affine[:3, 3] = _LPS_TO_RAS @ affine[:3, 3]
    return affine


def _files(path: Path, name: str, behind: bytes, slices: int) -> tuple[tuple[Path, ...], bool]:
    """Voxel files that ElementDataFile names, and whether the voxels are in the header's own file."""
    first, *more = name.split() or [""]
    if name.upper() == "LOCAL":
        return (path,), True
    if first.upper() == "LIST":
        # An optional number gives the dimensions of each file: 2 is a slice.
        if more not in ([], ["2"], ["2D"]):
            raise UniferumError(f"{path}: ElementDataFile", name, must="list files of one slice each (LIST)")
        if not behind.endswith(b"\n"):
            # Without it, MetaIO does not read the last file, and returns uninitialised memory.
            raise UniferumError(str(path), must="end with a line break after its list of files")
        lines = [line.strip() for line in os.fsdecode(behind).rstrip().split("\n")]
        if len(lines) != slices or "" in lines:
            raise UniferumError(f"{path}: ElementDataFile", f"{len(lines)} lines", must=f"list {slices} files")
        return tuple(_file(path, line) for line in lines), False
    return (_file(path, name),), False


def _file(path: Path, name: str) -> Path:
    pure = PurePosixPath(name)
    if not name or "\0" in name or pure.is_absolute() or ".." in pure.parts or pure == PurePosixPath("."):
        raise UniferumError(f"{path}: ElementDataFile", name, must="name a file in the same folder or below it")
    if "%" in name:
        # MetaIO reads it as a pattern of file names.
        raise UniferumError(f"{path}: ElementDataFile", name, must="be the name of one file, without a pattern (%)")
    return path.parent / pure


def _check_voxel_position(header: MetaImageHeader, path: Path, *, local: bool) -> None:
    several = len(header.files) > 1
    plain = not header.compressed and not several and (not local or header.header_size == -1)
    if header.header_size < -1 or (header.header_size != 0 and not plain):
        must = "be 0, -1 (the voxels are the last bytes) or, for one uncompressed voxel file, the bytes to skip"
        raise UniferumError(f"{path}: HeaderSize", header.header_size, must=must)
    if header.compressed and several:
        raise UniferumError(f"{path}: CompressedData", must="be False for a list of files")
    if header.compressed and local and header.compressed_size is None:
        # MetaIO returns noise for such a file.
        raise UniferumError(f"{path}: CompressedDataSize", must="be given where compressed voxels follow the header")
