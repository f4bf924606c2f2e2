"""One prepared scan in one file: a JSON header, then compressed slabs of each level and mask at known offsets.

Invariant: the header gives the position of every slab, so a reader fetches the header and then only what it needs; the
training level comes first. The checksum is of the decoded arrays, so it does not depend on the compression.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from uniferum.errors import UniferumError
from uniferum.preprocessing.store import codec
from uniferum.preprocessing.store.filesystem import StoreLocation

MAGIC = b"UNIFSCN1"
_FIRST_READ = 1 << 16

Header = dict[str, Any]


def array_name(level: str, layer: str | None = None) -> str:
    """Name of a level's array, or of a mask layer's array at that level."""
    return level if layer is None else f"{layer}@{level}"


def checksum(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of names, shapes, types and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}:{array.shape}:{array.dtype.name};".encode())
        digest.update(array.data)
    return digest.hexdigest()


def pack(header: Header, arrays: Mapping[str, np.ndarray]) -> tuple[Header, list[bytes]]:
    """Return the complete header, and the parts of the file in order."""
    entries: dict[str, Any] = {}
    payload: list[bytes] = []
    offset = 0
    for name in sorted(arrays, key=lambda name: (name != "train", "full" in name, name)):
        entry, frames = codec.encode(arrays[name])
        entries[name] = {**entry, "offset": offset}
        if name.endswith("@train"):
            entries[name]["values"] = _values(arrays[name])
        offset += sum(entry["sizes"])
        payload += frames
    whole = {**header, "format": 1, "checksum": checksum(arrays), "arrays": entries}
    text = json.dumps(whole, separators=(",", ":"), allow_nan=False).encode()
    return whole, [MAGIC, struct.pack("<I", len(text)), text, *payload]


def read_header(location: StoreLocation, name: str) -> tuple[Header, int, bytes]:
    """Read the header of a scan file; also return the offset of its payload and the bytes read so far.

    Raises:
        FileNotFoundError: there is no such file.
        UniferumError: it is not a scan file, or it is truncated.
    """
    start = location.read(name, 0, _FIRST_READ)
    if start[:8] != MAGIC or len(start) < 12:
        raise UniferumError(name, must="be a prepared scan", cure="prepare it again")
    payload = 12 + struct.unpack("<I", start[8:12])[0]
    if payload > len(start):
        start += location.read(name, len(start), payload)
    try:
        return json.loads(start[12:payload]), payload, start
    except ValueError:
        raise UniferumError(name, must="have a complete header", cure="prepare it again") from None


def read_array(
    location: StoreLocation, name: str, array: str, *, opened: tuple[Header, int, bytes], x: slice | None = None
) -> np.ndarray:
    """Read one array of a scan file, or only its rows ``x`` by decoding the slabs that hold them.

    Raises:
        UniferumError: a slab is missing or damaged.
    """
    header, payload, start = opened
    entry = header["arrays"][array]
    first, last, low, high = _slabs(entry, x)
    begin = payload + entry["offset"] + sum(entry["sizes"][:first])
    sizes = entry["sizes"][first:last]
    end = begin + sum(sizes)
    data = start[begin:end] if end <= len(start) else location.read(name, begin, end)
    if len(data) != end - begin:
        raise UniferumError(name, must="hold all its slabs", cure="it is truncated: prepare it again")
    view, frames, at = memoryview(data), [], 0
    for size in sizes:
        frames.append(view[at : at + size])
        at += size
    return codec.decode(entry, frames, first)[low:high]


def _values(mask: np.ndarray) -> list[int]:
    """Values that occur in a mask, stored so that a reader need not decode it to know them."""
    counts = np.zeros(256, dtype=np.int64)
    for part in mask:
        counts += np.bincount(part.ravel(), minlength=256)
    return np.flatnonzero(counts).tolist()


def _slabs(entry: dict[str, Any], x: slice | None) -> tuple[int, int, int, int]:
    count = entry["shape"][0]
    low, high, step = (x or slice(None)).indices(count)
    assert step == 1, "rows are read without steps"
    slab = entry["slab"]
    first = low // slab
    last = max(first + 1, -(-high // slab))
    return first, last, low - first * slab, high - first * slab
