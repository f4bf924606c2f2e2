"""What a file holds by its first bytes, so that a wrong name or a failed download is named and not decoded."""

# Places and bytes are those of each format's own specification.
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
    (0, b"version https://git-lfs", "a Git LFS pointer: the data itself was not fetched"),
    (0, b"ObjectType", "a MetaImage header"),
    (0, b"NDims", "a MetaImage header"),
    (344, b"n+1\0", "NIfTI"),
    (4, b"n+2\0", "NIfTI"),
    (344, b"ni1\0", "the header of a NIfTI pair (.hdr with .img)"),
)
SIGN_BYTES = 512
"""So many first bytes are enough for :func:`content_of`."""


def content_of(start: bytes) -> str:
    """Name of what the first bytes show, or an empty text where they show nothing known."""
    if not start.strip(b"\0"):
        return "zeros" if start else "nothing: the file is empty"
    for place, sign, name in _SIGNS:
        if start[place : place + len(sign)] == sign:
            return name
    text = start.lstrip().lower()
    if text.startswith((b'{"', b"{'")):
        return "JSON text (a server's answer?), not a scan"
    return "a web page, not a scan" if text.startswith((b"<!doctype", b"<html", b"<?xml")) else ""
