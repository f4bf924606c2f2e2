"""Recognise a file's content by its first bytes, so that wrong names and failed downloads are reported as such."""

from pathlib import Path

LFS_POINTER = b"version https://git-lfs"
"""First bytes of a text file that Git LFS stores in place of a file that was not fetched."""

UNFINISHED = (".part", ".incomplete", ".crdownload", ".aria2", ".partial", ".tmp", ".download", ".!qb")
"""File name endings, in lower case, of unfinished downloads."""

# Offsets and bytes are from the specification of each format.
_SIGNS: tuple[tuple[int, bytes, str], ...] = (
    (128, b"DICM", "DICOM"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"PK\x03\x04", "a zip archive (as .npz is)"),
    (0, b"NRRD", "NRRD"),
    (0, b"\x89HDF", "HDF5"),
    (0, b"\x93NUMPY", "a NumPy array (.npy)"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ", "xz"),
    (0, LFS_POINTER, "a Git LFS pointer: the data itself was not fetched"),
    (0, b"ObjectType", "a MetaImage header"),
    (0, b"NDims", "a MetaImage header"),
    (344, b"n+1\0", "NIfTI"),
    (4, b"n+2\0", "NIfTI"),
    (344, b"ni1\0", "the header of a NIfTI pair (.hdr with .img)"),
)
SIGN_BYTES = 512
"""Number of first bytes that :func:`content_of` needs."""


def content_of(start: bytes) -> str:
    """Name the content that the first bytes show; empty text if it is unknown."""
    if not start.strip(b"\0"):
        return "zeros" if start else "nothing: the file is empty"
    for offset, signature, name in _SIGNS:
        if start[offset : offset + len(signature)] == signature:
            return name
    if start.lstrip().startswith((b'{"', b"{'")):
        return "JSON text (a server's response?), not a scan"
    return "a web page, not a scan" if is_web_page(start) else ""


def is_web_page(start: bytes) -> bool:
    """Whether the first bytes are those of an HTML or XML page, which servers may send instead of a file."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return text.startswith((b"<!doctype", b"<html", b"<?xml"))


def has_dicom_preamble(path: Path) -> bool:
    """Whether a file is readable and has the DICOM preamble: 128 bytes and the prefix DICM (PS3.10, section 7.1)."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False
