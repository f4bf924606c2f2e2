"""Faults of a volume's or mask's file that a cheap look shows: its size, its first and its last bytes.

No voxel is decoded, except where a gzip file's last four bytes (its length) contradict its NIfTI header and only
decoding can tell a cut file from one written in several pieces.
"""

import math
import struct
import zipfile
import zlib
from pathlib import Path

from isal import igzip

MISSING = "missing"
EMPTY = "of zero bytes"
POINTER = "a Git pointer, not the file itself (git lfs pull, or git annex get)"
NOT_GZIP = "no gzip file (an error page of the server?)"
CUT = "cut short"
DAMAGED = "damaged: its bytes do not decode"
NOT_ZIP = "no whole npz file"
NO_VOXELS = "a header whose voxel file is missing or cut short"

POINTERS = (b"version https://git-lfs", b"/annex/objects/", b"../.git/annex/")
SMALL = 1024
"""Bytes below which a file may be a pointer."""

HEADER = 352
"""Bytes of a NIfTI-1 header with its extension flag; 544 for NIfTI-2."""

PARTIAL = (".part", ".incomplete", ".crdownload", ".aria2", ".partial", ".tmp", ".download", ".!qB")
"""Endings that downloads leave behind."""

BYTES_OF = {"MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4, "MET_FLOAT": 4,
            "MET_DOUBLE": 8, "MET_LONG": 8, "MET_ULONG": 8, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8}  # fmt: skip


def file_fault(path: Path) -> str | None:
    """What is wrong with a file; None where it looks whole. A folder (DICOM slices, class files) must not be empty."""
    try:
        if path.is_dir():
            return None if any(path.iterdir()) else "an empty folder"
        size = path.stat().st_size
    except FileNotFoundError:
        return POINTER if path.is_symlink() and "annex" in str(path.readlink()) else MISSING
    except OSError as error:
        return f"unreadable ({error.strerror})"
    if size == 0:
        return EMPTY
    if size < SMALL and any(mark in path.read_bytes() for mark in POINTERS):
        return POINTER
    name = path.name.lower()
    for ending, look in _LOOKS.items():
        if name.endswith(ending):
            return look(path, size)
    return None


def is_partial(name: str) -> bool:
    """Whether a file's name is one that a download gives to what it has not finished."""
    return name.endswith(PARTIAL)


def voxels(path: Path) -> int | None:
    """The number of voxels that a file's header states; None where that takes more than a cheap look."""
    name = path.name.lower()
    try:
        if name.endswith((".nii.gz", ".nii")):
            stated = _stated(path)
            return None if stated is None else stated[1]
        if name.endswith((".mhd", ".mha")):
            return math.prod(int(n) for n in _meta(path)["DimSize"].split())
        if name.endswith(".npz"):
            return _npz_voxels(path)
    except (OSError, EOFError, ValueError, KeyError, zlib.error, zipfile.BadZipFile, struct.error):
        return None
    return None


def _nifti_gz(path: Path, size: int) -> str | None:
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return NOT_GZIP
        file.seek(max(0, size - 4))
        length = int.from_bytes(file.read(4), "little")
    try:
        stated = _stated(path)
    except (OSError, EOFError, zlib.error):
        return CUT if size < SMALL else _decoded(path)
    if stated is None:  # no NIfTI header: the reader says so better than a look can
        return None
    return None if length in {(stated[0] + more) % 2**32 for more in (0, 1)} else _decoded(path)


def _decoded(path: Path) -> str | None:
    try:
        with igzip.open(path) as file:
            while file.read(2**22):
                pass
    except EOFError:
        return CUT
    except (OSError, zlib.error):
        return DAMAGED
    return None


def _nifti(path: Path, size: int) -> str | None:
    try:
        stated = _stated(path)
    except OSError:
        return None
    return CUT if stated is not None and size < stated[0] else None


def _stated(path: Path) -> tuple[int, int] | None:
    """Bytes and voxels of the uncompressed file, as its header states them; None where it is no NIfTI file."""
    packed = path.name.lower().endswith(".gz")
    with igzip.open(path, "rb") if packed else path.open("rb") as file:
        head = bytes(file.read(544))  # type: ignore[arg-type]
    for order in "<>":
        kind = struct.unpack_from(f"{order}i", head)[0] if len(head) >= HEADER else 0
        if kind == 348:
            dims, bits = struct.unpack_from(f"{order}8h", head, 40), struct.unpack_from(f"{order}h", head, 72)[0]
            offset = int(struct.unpack_from(f"{order}f", head, 108)[0])
        elif kind == 540 and len(head) >= 544:
            dims, bits = struct.unpack_from(f"{order}8q", head, 16), struct.unpack_from(f"{order}h", head, 14)[0]
            offset = struct.unpack_from(f"{order}q", head, 168)[0]
        else:
            continue
        if not 1 <= dims[0] <= 7 or any(n < 1 for n in dims[1 : dims[0] + 1]):
            return None
        count = math.prod(dims[1 : dims[0] + 1])
        return offset + count * bits // 8, count
    return None


def _metaimage(path: Path, size: int) -> str | None:
    try:
        head = _meta(path)
        named = head["ElementDataFile"]
        count = math.prod(int(n) for n in head["DimSize"].split())
        needed = count * BYTES_OF[head["ElementType"]] * int(head.get("ElementNumberOfChannels", 1))
    except (OSError, ValueError, KeyError):
        return None  # not a header that this look knows: the reader says what is wrong with it
    if head.get("CompressedData", "False").lower() == "true":
        needed = int(head.get("CompressedDataSize", 1))
    if named.upper() == "LOCAL":
        return CUT if size < needed else None
    if named.upper().startswith("LIST") or "%" in named or "/" in named or "\\" in named:
        return None
    voxel_file = path.parent / named
    there = voxel_file.stat().st_size if voxel_file.is_file() else -1
    return NO_VOXELS if there < needed else None


def _meta(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        text = file.read(8192).decode("latin-1")
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _npz(path: Path, size: int) -> str | None:
    return None if zipfile.is_zipfile(path) else NOT_ZIP


def _npz_voxels(path: Path) -> int | None:
    import numpy as np

    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return math.prod(read(member)[0])


_LOOKS = {".nii.gz": _nifti_gz, ".nii": _nifti, ".mhd": _metaimage, ".mha": _metaimage, ".npz": _npz}
