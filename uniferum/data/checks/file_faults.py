"""Find faults of a volume's or mask's file quickly, from its size, its first and its last bytes.

No voxel is decoded, except if the last four bytes of a gzip file (its length) contradict its NIfTI header: only
decoding can distinguish a truncated file from one that was written in several members.
"""

import math
import zipfile
from pathlib import Path

from isal import igzip

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.content import LFS_POINTER, UNFINISHED
from uniferum.preprocessing.formats.metaimage_header import ENDINGS, MetaImageHeader, parse_header
from uniferum.preprocessing.formats.nifti_layout import (
    DAMAGED_GZIP,
    LARGEST_HEADER,
    NiftiLayout,
    is_gzip,
    nifti_layout,
    open_unzipped,
)
from uniferum.preprocessing.formats.npz import declared_array

MISSING = "missing"
EMPTY = "of zero bytes"
POINTER = "a Git pointer instead of the file (git lfs pull, or git annex get)"
NOT_GZIP = "not a gzip file (an error page of the server?)"
CUT = "truncated"
DAMAGED = "damaged: it cannot be decompressed"
NOT_ZIP = "not a complete npz file"
NO_VOXELS = "a header whose voxel file is missing or truncated"

POINTERS = (LFS_POINTER, b"/annex/objects/", b"../.git/annex/")
SMALL = 1024
"""Maximum size of a pointer file."""


def file_fault(path: Path) -> str | None:
    """Fault of a file; None if there seems to be none. A folder (DICOM slices, class files) must not be empty."""
    try:
        return _fault(path)
    except FileNotFoundError:
        return POINTER if path.is_symlink() and "annex" in str(path.readlink()) else MISSING
    except OSError as error:
        return f"unreadable ({error.strerror})"


def _fault(path: Path) -> str | None:
    if path.is_dir():
        return None if any(path.iterdir()) else "an empty folder"
    size = path.stat().st_size
    if size == 0:
        return EMPTY
    if size < SMALL and any(mark in path.read_bytes() for mark in POINTERS):
        return POINTER
    name = path.name.lower()
    for endings, look in _LOOKS.items():
        if name.endswith(endings):
            return look(path, size)
    return None


def is_partial(name: str) -> bool:
    """Whether a file name is one that downloads use for unfinished files."""
    return name.lower().endswith(UNFINISHED)


def voxels(path: Path) -> int | None:
    """Number of voxels in a file's header; None if it cannot be read quickly."""
    name = path.name.lower()
    try:
        if name.endswith(NIFTI):
            layout = _layout(path)
            return None if layout is None else layout.voxels
        if name.endswith(ENDINGS):
            return math.prod(parse_header(path).shape)
        if name.endswith(".npz"):
            with zipfile.ZipFile(path) as archive:
                return math.prod(declared_array(archive, "ct.npy")[0])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, *DAMAGED_GZIP):  # a UniferumError is a ValueError
        return None
    return None


def _nifti(path: Path, size: int) -> str | None:
    """Check a NIfTI file; gzip is recognised by its content, as in the reader."""
    gzipped = is_gzip(path)
    try:
        layout = _layout(path)
    except DAMAGED_GZIP:
        return CUT if size < SMALL else _decoded(path)
    if layout is None and not gzipped and path.name.lower().endswith(".gz"):
        return NOT_GZIP
    if layout is None or layout.voxels is None:  # not a NIfTI header: the reader reports it better
        return None
    whole = layout.voxels_at + layout.voxels * layout.bits // 8
    if not gzipped:
        return CUT if size < whole else None
    with path.open("rb") as file:
        file.seek(max(0, size - 4))
        length = int.from_bytes(file.read(4), "little")
    return None if length in {(whole + more) % 2**32 for more in (0, 1)} else _decoded(path)


def _layout(path: Path) -> NiftiLayout | None:
    with open_unzipped(path) as file:
        return nifti_layout(bytes(file.read(LARGEST_HEADER)))


def _decoded(path: Path) -> str | None:
    try:
        with igzip.open(path) as file:
            while file.read(2**22):
                pass
    except EOFError:
        return CUT
    except DAMAGED_GZIP:
        return DAMAGED
    return None


def _metaimage(path: Path, size: int) -> str | None:
    try:
        header = parse_header(path)
    except UniferumError:
        return None  # the reader reports the fault of its header
    each = _least_bytes(header) // len(header.files)
    if header.files == (path,):
        return CUT if size - header.data_at < each else None
    lengths = (file.stat().st_size if file.is_file() else -1 for file in header.files)
    return NO_VOXELS if any(length < each for length in lengths) else None


def _least_bytes(header: MetaImageHeader) -> int:
    """Minimum size of the voxels in their files."""
    if header.compressed:
        return header.compressed_size or 1
    return max(0, header.header_size) + math.prod(header.shape) * header.dtype.itemsize


def _npz(path: Path, size: int) -> str | None:
    return None if zipfile.is_zipfile(path) else NOT_ZIP


NIFTI = (".nii.gz", ".nii")
_LOOKS = {NIFTI: _nifti, ENDINGS: _metaimage, (".npz",): _npz}
