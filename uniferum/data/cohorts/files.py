"""Finding a cohort's files without leaving its folder: no absolute path, no ``..``, no link that leads outside.

A check of one file costs the same whatever lies beside it: no folder is listed for it.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath

OUTSIDE = "path leaves the cohort's folder"
MISSING = "volume file missing"
EMPTY = "volume file is empty"
UNREADABLE = "path cannot be read"
LINKED_OUT = "linked folder leaves the cohort's folder"
WITHOUT_ROW = "scan without a label row"
ELSEWHERE = "volume lies where its row does not say"
NO_VOXELS = "voxel file of the volume missing"
NOT_ON_DISK = (MISSING, EMPTY, NO_VOXELS)
"""What a download that was cut off leaves behind."""

NIFTI = (".nii.gz", ".nii")
VOLUMES = (*NIFTI, ".mhd", ".mha", ".npz")
DICOM = (".dcm", ".ima", ".dicom")
NOT_SLICES = (".txt", ".csv", ".tsv", ".json", ".yaml", ".yml", ".xml", ".md", ".html", ".pdf", ".png", ".jpg", ".raw")
DICOM_MAGIC, MAGIC_AT = b"DICM", 128
"""DICOM PS3.10, section 7.1: a preamble of 128 bytes, then this."""

LOOKED_INTO = 3
"""Files of unknown ending in one folder that are opened to see whether they are DICOM slices."""


def fault(root: Path, relative: str, *, follow_symlinks: bool) -> str | None:
    """Why the file or folder ``root/relative`` is not to be read; ``None`` where all is well.

    Args:
        root: the cohort's folder.
        relative: a path from a table of the dataset.
        follow_symlinks: allow links that lead outside ``root``.
    """
    if not relative:
        return MISSING
    pure = PurePosixPath(relative)
    if pure.is_absolute() or PureWindowsPath(relative).is_absolute() or ".." in pure.parts or "\0" in relative:
        return OUTSIDE
    path = root / relative
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except (OSError, ValueError):  # a name that is too long, a loop of links, a folder that may not be entered
        return UNREADABLE
    if not follow_symlinks and not _inside(os.path.realpath(path), os.path.realpath(root)):
        return OUTSIDE
    return None if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode) else UNREADABLE


def volume_fault(root: Path, relative: str, *, follow_symlinks: bool) -> str | None:
    """:func:`fault` of a volume, which must not be an empty file either."""
    reason = fault(root, relative, follow_symlinks=follow_symlinks)
    if reason is None:
        found = (root / relative).stat()
        if stat.S_ISREG(found.st_mode) and found.st_size == 0:
            return EMPTY
    return reason


def as_written(root: Path, text: str) -> str:
    """A path of a table in this system's form: ``./a//b`` is ``a/b``, and ``a\\b`` too where there is no such file."""
    if "\\" in text and not os.path.lexists(root / text):
        text = text.replace("\\", "/")
    return PurePosixPath(text).as_posix() if text else ""


def without_ending(name: str, endings: tuple[str, ...] = VOLUMES) -> str:
    """A file's name without its ending, in whatever case that is written."""
    return next((name[: -len(ending)] for ending in endings if name.lower().endswith(ending)), name)


def _inside(real: str, root: str) -> bool:
    return real == root or real.startswith(root.rstrip("/") + "/")


@dataclass(frozen=True)
class OnDisk:
    """A volume of a folder, whether a table names it or not.

    Attributes:
        path: below the folder that was looked through.
        real: the same without links, to compare with what a table names.
        fault: why it is not to be read: a link that leads outside; ``None`` where it may be.
    """

    path: Path
    real: str
    fault: str | None = None


def files_below(
    root: Path, suffixes: tuple[str, ...] = VOLUMES, *, dicom: bool = False, follow_symlinks: bool = False
) -> Iterator[OnDisk]:
    """Every volume below ``root``, folder by folder, each folder listed once.

    A linked folder is looked through as well, unless it leads outside ``root``; then the link itself is told.
    The files that macOS leaves beside others (``._name``) are no volumes.

    Args:
        root: the folder; where it is none, nothing is found.
        suffixes: endings of volumes, lower case; they match in any case.
        dicom: tell folders of DICOM slices too.
        follow_symlinks: look through linked folders outside ``root``.
    """
    top = os.path.realpath(root)
    waiting, seen = [OnDisk(root, top)] if root.is_dir() else [], {top}
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder.path) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError:
            yield OnDisk(folder.path, folder.real, UNREADABLE)
            continue
        for entry in entries:
            inner = _inner(folder, entry, None if follow_symlinks else top)
            if inner.fault or (not entry.is_dir() and _is_volume(entry.name, suffixes)):
                yield inner
            elif entry.is_dir() and inner.real not in seen:
                seen.add(inner.real)
                waiting.append(inner)
        if dicom and _holds_slices(entries):
            yield folder


def _inner(folder: OnDisk, entry: "os.DirEntry[str]", fence: str | None) -> OnDisk:
    """One entry of a folder; a linked folder beyond the fence is a fault."""
    linked = entry.is_symlink()
    real = os.path.realpath(entry.path) if linked else f"{folder.real.rstrip('/')}/{entry.name}"
    out = linked and fence is not None and not _inside(real, fence) and entry.is_dir()
    return OnDisk(folder.path / entry.name, real, LINKED_OUT if out else None)


def _is_volume(name: str, suffixes: tuple[str, ...]) -> bool:
    return name.lower().endswith(suffixes) and not name.startswith("._")


def _holds_slices(entries: "list[os.DirEntry[str]]") -> bool:
    """Whether a folder holds DICOM slices, by their endings, else by the first few files of unknown ending."""
    names = [entry for entry in entries if not entry.name.startswith(".")]
    if any(entry.name.lower().endswith(DICOM) for entry in names):
        return True
    unknown = (e.path for e in names if not e.name.lower().endswith((*NOT_SLICES, *VOLUMES)) and e.is_file())
    return any(_is_dicom(path) for path in islice(unknown, LOOKED_INTO))


def _is_dicom(path: str) -> bool:
    try:
        with Path(path).open("rb") as file:
            file.seek(MAGIC_AT)
            return file.read(len(DICOM_MAGIC)) == DICOM_MAGIC
    except OSError:
        return False
