"""Finding a cohort's files without leaving its folder: no absolute path, no ``..``, no link that leads outside.

A check of one file costs the same whatever lies beside it: no folder is listed for it.
"""

import os
import stat
from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath

from uniferum.preprocessing.formats.content import has_dicom_preamble

OUTSIDE = "path leaves the cohort's folder"
MISSING = "volume file missing"
OTHER_NAME = "volume file missing; one whose name differs in ending or case alone is there"
EMPTY = "volume file is empty"
UNREADABLE = "path cannot be read"
LINKED_OUT = "linked folder leaves the cohort's folder"
WITHOUT_ROW = "scan without a label row"
ELSEWHERE = "volume lies where its row does not say"
NO_VOXELS = "voxel file of the volume missing"
NOT_ON_DISK = (MISSING, OTHER_NAME, EMPTY, NO_VOXELS)
"""What a download that was cut off leaves behind."""

NIFTI = (".nii.gz", ".nii")
VOLUMES = (*NIFTI, ".mhd", ".mha", ".npz")
DICOM = (".dcm", ".ima", ".dicom")
NOT_SLICES = (".txt", ".csv", ".tsv", ".json", ".yaml", ".yml", ".xml", ".md", ".html", ".pdf", ".png", ".jpg", ".raw")

LOOKED_INTO = 3
"""Files of unknown ending in one folder that are opened to see whether they are DICOM slices."""


def fault(root: Path, relative: str, *, follow_symlinks: bool, real: str | None = None) -> str | None:
    """Why the file or folder ``root/relative`` is not to be read; ``None`` where all is well.

    Args:
        root: the cohort's folder.
        relative: a path from a table of the dataset.
        follow_symlinks: allow links that lead outside ``root``.
        real: ``root/relative`` without links, where the caller knows it already.
    """
    return _look(root, relative, follow_symlinks, real)[0]


def volume_fault(root: Path, relative: str, *, follow_symlinks: bool, real: str | None = None) -> str | None:
    """:func:`fault` of a volume, which must not be an empty file either."""
    reason, found = _look(root, relative, follow_symlinks, real)
    empty = found is not None and stat.S_ISREG(found.st_mode) and found.st_size == 0
    return EMPTY if reason is None and empty else reason


def missing(root: Path, relative: str) -> str:
    """:data:`MISSING`, or :data:`OTHER_NAME` where a row says ``a.nii`` or ``A.NII.GZ`` and ``a.nii.gz`` is there."""
    stem = without_ending(relative)
    names = {f"{one}{ending}" for one in (stem, stem.lower()) for ending in (*VOLUMES, ".NII.GZ", ".NII")} - {relative}
    there = bool(relative) and any(fault(root, name, follow_symlinks=True) is None for name in names)
    return OTHER_NAME if there else MISSING


def _look(
    root: Path, relative: str, follow_symlinks: bool, real: str | None
) -> tuple[str | None, os.stat_result | None]:
    if not relative:
        return MISSING, None
    if relative.startswith("/") or ".." in relative.split("/") or "\0" in relative or _of_windows(relative):
        return OUTSIDE, None
    path = f"{root}/{relative}"
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path costs more than the look itself, at 40,000 files
    except (FileNotFoundError, NotADirectoryError):
        return MISSING, None
    except (OSError, ValueError):  # a name that is too long, a loop of links, a folder that may not be entered
        return UNREADABLE, None
    if not follow_symlinks and not _inside(real or os.path.realpath(path), os.path.realpath(root)):
        return OUTSIDE, None
    return None if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode) else UNREADABLE, found


def _of_windows(relative: str) -> bool:
    r"""Whether this is an absolute path of Windows, ``C:\scans`` or a share."""
    return ("\\" in relative or ":" in relative) and PureWindowsPath(relative).is_absolute()


def as_written(root: Path, text: str) -> str:
    r"""A path of a table in this system's form: ``./a//b`` is ``a/b``, and ``a\b`` too where there is no such file."""
    if "\\" in text and not os.path.lexists(root / text):
        text = text if _of_windows(text) else text.replace("\\", "/")
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
    root: Path,
    suffixes: tuple[str, ...] = VOLUMES,
    *,
    dicom: bool = False,
    follow_symlinks: bool = False,
    skip: Container[str] = (),
) -> Iterator[OnDisk]:
    """Every volume below ``root``, folder by folder, each folder listed once.

    A linked folder is looked through as well, unless it leads outside ``root``; then the link itself is told.
    The files that macOS leaves beside others (``._name``) are no volumes.

    Args:
        root: the folder; where it is none, nothing is found.
        suffixes: endings of volumes, lower case; they match in any case.
        dicom: tell folders of DICOM slices too.
        follow_symlinks: look through linked folders outside ``root``.
        skip: files and folders, without links, that are not told and not looked through.
    """
    top = OnDisk(root, os.path.realpath(root))
    waiting, seen = [top] if root.is_dir() and top.real not in skip else [], {top.real}
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder.path) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError:
            yield OnDisk(folder.path, folder.real, UNREADABLE)
            continue
        found = [_inner(folder, entry, None if follow_symlinks else top.real) for entry in entries]
        yield from (f for f, e in zip(found, entries, strict=True) if _is_told(f, e, suffixes) and f.real not in skip)
        folders = {f.real: f for f, e in zip(found, entries, strict=True) if _is_folder(e) and not f.fault}
        waiting += [inner for real, inner in folders.items() if real not in seen and real not in skip]
        seen.update(folders)
        if dicom and _holds_slices(entries):
            yield folder


def _inner(folder: OnDisk, entry: "os.DirEntry[str]", fence: str | None) -> OnDisk:
    """One entry of a folder; a linked folder beyond the fence is a fault."""
    linked = entry.is_symlink()
    real = os.path.realpath(entry.path) if linked else f"{folder.real.rstrip('/')}/{entry.name}"
    out = linked and fence is not None and not _inside(real, fence) and _is_folder(entry)
    return OnDisk(folder.path / entry.name, real, LINKED_OUT if out else None)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_file(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_file()  # no pipe, which would be waited for
    except OSError:
        return False


def _is_told(found: OnDisk, entry: "os.DirEntry[str]", suffixes: tuple[str, ...]) -> bool:
    volume = entry.name.lower().endswith(suffixes) and not entry.name.startswith("._")
    return found.fault is not None or (volume and not _is_folder(entry))


def _holds_slices(entries: "list[os.DirEntry[str]]") -> bool:
    """Whether a folder holds DICOM slices, by their endings, else by the first few files of unknown ending."""
    names = [entry for entry in entries if not entry.name.startswith(".")]
    if any(entry.name.lower().endswith(DICOM) for entry in names):
        return True
    unknown = (e.path for e in names if not e.name.lower().endswith((*NOT_SLICES, *VOLUMES)) and _is_file(e))
    return any(has_dicom_preamble(Path(path)) for path in islice(unknown, LOOKED_INTO))
