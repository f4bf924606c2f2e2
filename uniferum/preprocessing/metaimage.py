"""MetaImage (``.mhd`` with ``.raw`` or ``.zraw``, or ``.mha``): LUNA16's format; LPS in the file, RAS here.

Invariant: the voxel file is a plain name in the header's own folder, and never more than declared is decompressed.
"""

import zlib
from pathlib import Path

import numpy as np

from uniferum.errors import UniferumError
from uniferum.preprocessing.source import Intensity
from uniferum.preprocessing.stored import Stored, check_size

_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_MAX_HEADER = 1 << 16


def read_metaimage(path: Path) -> Stored:
    """Read one volume; the direction matrix is applied, so flipped scans come out right.

    Raises:
        UniferumError: the header is no MetaImage header, lacks a key, or the voxels are missing or truncated.
    """
    try:
        with path.open("rb") as file:
            keys, data_at = _keys(file.read(_MAX_HEADER), path)
    except OSError as error:
        raise UniferumError(str(path), must="be readable", cure=error.strerror or str(error)) from None
    shape = tuple(int(text) for text in _numbers(keys, "DimSize", path))
    if len(shape) != 3 or keys.get("ElementNumberOfChannels", "1") != "1":
        raise UniferumError(f"{path}: DimSize", shape, must="be three numbers, with one channel")
    values = _voxels(path, keys, (shape[0], shape[1], shape[2]), data_at)
    return Stored(values, _affine(keys, path), Intensity(1.0, 0.0))


def _keys(start: bytes, path: Path) -> tuple[dict[str, str], int]:
    keys: dict[str, str] = {}
    at = 0
    while "ElementDataFile" not in keys:
        end = start.find(b"\n", at)
        line = start[at : end if end >= 0 else len(start)].decode("latin-1")
        name, equals, value = line.partition("=")
        if not equals:
            raise UniferumError(str(path), must="be a MetaImage header of lines 'Key = value'")
        keys[name.strip()] = value.strip()
        at = end + 1 if end >= 0 else len(start)
    return keys, at


def _numbers(keys: dict[str, str], name: str, path: Path, default: str | None = None) -> list[float]:
    text = keys.get(name, default)
    if text is None:
        raise UniferumError(f"{path}: {name}", must="be given")
    try:
        return [float(word) for word in text.split()]
    except ValueError:
        raise UniferumError(f"{path}: {name}", text, must="be numbers") from None


def _affine(keys: dict[str, str], path: Path) -> np.ndarray:
    spacing = _numbers(keys, "ElementSpacing", path)
    direction = _numbers(keys, "TransformMatrix", path, keys.get("Rotation", "1 0 0 0 1 0 0 0 1"))
    origin = _numbers(keys, "Offset", path, keys.get("Position", keys.get("Origin", "0 0 0")))
    if len(spacing) != 3 or len(direction) != 9 or len(origin) != 3 or min(spacing) <= 0:
        raise UniferumError(f"{path}: ElementSpacing", spacing, must="be three positive numbers, with 9 of direction")
    affine = np.eye(4)
    # The i-th three numbers of TransformMatrix are the direction of the i-th axis.
    affine[:3, :3] = _LPS_TO_RAS @ np.asarray(direction).reshape(3, 3).T @ np.diag(spacing)
    affine[:3, 3] = _LPS_TO_RAS @ np.asarray(origin)
    return affine


def _voxels(path: Path, keys: dict[str, str], shape: tuple[int, int, int], data_at: int) -> np.ndarray:
    kind = _TYPES.get(keys.get("ElementType", ""))
    if kind is None:
        raise UniferumError(f"{path}: ElementType", keys.get("ElementType"), must=f"be one of {', '.join(_TYPES)}")
    big = keys.get("ElementByteOrderMSB", keys.get("BinaryDataByteOrderMSB", "False")).lower() == "true"
    dtype = np.dtype((">" if big else "<") + kind)
    name = keys["ElementDataFile"]
    local = name.upper() == "LOCAL"
    if not local and (Path(name).name != name or name in ("", "..", "LIST")):
        raise UniferumError(f"{path}: ElementDataFile", name, must="be a file name in the same folder")
    file = path if local else path.with_name(name)
    if not file.is_file():
        raise UniferumError(str(file), must="exist", cure=f"{path.name} names it as its voxel file")
    compressed = keys.get("CompressedData", "False").lower() == "true"
    count = check_size(file, shape, dtype.itemsize, compressed=compressed)
    raw = _bytes(file, data_at if local else 0, count, compressed=compressed)
    if len(raw) != count:
        raise UniferumError(str(file), len(raw), must=f"hold {count} bytes of voxels", cure="it is truncated")
    values = np.frombuffer(raw, dtype=dtype).reshape(shape, order="F")
    return values if dtype.isnative else values.astype(dtype.newbyteorder("="))


def _bytes(file: Path, start: int, count: int, *, compressed: bool) -> bytearray:
    with file.open("rb") as stream:
        stream.seek(start)
        if not compressed:
            raw = bytearray(count)
            return raw[: stream.readinto(raw)]
        try:
            return bytearray(zlib.decompressobj().decompress(stream.read(), count))
        except zlib.error as error:
            raise UniferumError(str(file), must="be whole zlib data", cure=str(error)) from None
