"""Find a cohort's files inside its folder: no absolute path, no ``..``, no link that leads outside.

The check of a file does not list its folder, so it takes the same time however many files there are.
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
"""File name endings of unfinished downloads."""

NIFTI = (".nii.gz", ".nii")
VOLUMES = (*NIFTI, ".mhd", ".mha", ".npz")
DICOM = (".dcm", ".ima", ".dicom")
NOT_SLICES = (".txt", ".csv", ".tsv", ".json", ".yaml", ".yml", ".xml", ".md", ".html", ".pdf", ".png", ".jpg", ".raw")

LOOKED_INTO = 3
"""Number of files with unknown endings in a folder that are opened to detect DICOM slices."""


def fault(root: Path, relative: str, *, follow_symlinks: bool, real: str | None = None) -> str | None:
    """Reason why the file or folder ``root/relative`` must not be read; ``None`` if there is none.

    Args:
        root: folder of the cohort.
        relative: a path from a table of the dataset.
        follow_symlinks: allow links that lead outside ``root``.
        real: ``root/relative`` with links resolved, if the caller knows it.
    """
    return _check_path(root, relative, follow_symlinks, real)[0]


def volume_fault(root: Path, relative: str, *, follow_symlinks: bool, real: str | None = None) -> str | None:
    """Reason as in :func:`fault` for a volume, which must not be an empty file either."""
    reason, status = _check_path(root, relative, follow_symlinks, real)
    empty = status is not None and stat.S_ISREG(status.st_mode) and status.st_size == 0
    return EMPTY if reason is None and empty else reason


def missing(root: Path, relative: str) -> str:
    """:data:`MISSING`, or :data:`OTHER_NAME` if the row has ``a.nii`` or ``A.NII.GZ`` and ``a.nii.gz`` exists."""
    stem = without_ending(relative)
    names = {f"{one}{ending}" for one in (stem, stem.lower()) for ending in (*VOLUMES, ".NII.GZ", ".NII")} - {relative}
    exists = bool(relative) and any(fault(root, name, follow_symlinks=True) is None for name in names)
    return OTHER_NAME if exists else MISSING


def _check_path(
    root: Path, relative: str, follow_symlinks: bool, real: str | None
) -> tuple[str | None, os.stat_result | None]:
    if not relative:
        return MISSING, None
    if relative.startswith("/") or ".." in relative.split("/") or "\0" in relative or _is_windows_path(relative):
        return OUTSIDE, None
    path = f"{root}/{relative}"
    try:
        status = os.stat(path)  # noqa: PTH116 - for 40,000 files, Path would take longer than the call itself
    except (FileNotFoundError, NotADirectoryError):
        return MISSING, None
    except (OSError, ValueError):  # too long a name, a loop of links, a folder without permission
        return UNREADABLE, None
    if not follow_symlinks and not _inside(real or os.path.realpath(path), os.path.realpath(root)):
        return OUTSIDE, None
    return None if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) else UNREADABLE, status


def _is_windows_path(relative: str) -> bool:
    r"""Whether this is an absolute Windows path, ``C:\scans`` or a share."""
    return ("\\" in relative or ":" in relative) and PureWindowsPath(relative).is_absolute()


def as_written(root: Path, text: str) -> str:
    r"""Convert a path of a table to this system: ``./a//b`` and, if no such file exists, ``a\b`` become ``a/b``."""
    if "\\" in text and not os.path.lexists(root / text):
        text = text if _is_windows_path(text) else text.replace("\\", "/")
    return PurePosixPath(text).as_posix() if text else ""


def without_ending(name: str, endings: tuple[str, ...] = VOLUMES) -> str:
    """Remove the ending, in upper or lower case, from a file name."""
    return next((name[: -len(ending)] for ending in endings if name.lower().endswith(ending)), name)


def _inside(real: str, root: str) -> bool:
    return real == root or real.startswith(root.rstrip("/") + "/")


@dataclass(frozen=True)
class OnDisk:
    """A volume in a folder, with or without a table row.

    Attributes:
        path: path below the searched folder.
        real: the path with links resolved, to compare with those of a table.
        fault: reason why it must not be read, such as a link that leads outside; ``None`` if there is none.
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
    """Yield every volume below ``root``, folder by folder; each folder is listed once.

    Linked folders are searched too, unless they lead outside ``root``; then the link itself is yielded. The additional
    files of macOS (``._name``) are ignored.

    Args:
        root: the folder; if it does not exist, nothing is yielded.
        suffixes: endings of volumes in lower case; they match in any case.
        dicom: whether to yield folders of DICOM slices too.
        follow_symlinks: whether to search linked folders outside ``root``.
        skip: files and folders, with links resolved, that are neither yielded nor searched.
    """
    top = OnDisk(root, os.path.realpath(root))
    waiting, visited = [top] if root.is_dir() and top.real not in skip else [], {top.real}
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder.path) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError:
            yield OnDisk(folder.path, folder.real, UNREADABLE)
            continue
        below = [_inner(folder, entry, None if follow_symlinks else top.real) for entry in entries]
        yield from (
            f for f, e in zip(below, entries, strict=True) if _is_reported(f, e, suffixes) and f.real not in skip
        )
        folders = {f.real: f for f, e in zip(below, entries, strict=True) if _is_folder(e) and not f.fault}
        waiting += [inner for real, inner in folders.items() if real not in visited and real not in skip]
        visited.update(folders)
        if dicom and _holds_slices(entries):
            yield folder


def _inner(folder: OnDisk, entry: "os.DirEntry[str]", allowed_root: str | None) -> OnDisk:
    """One entry of a folder; a linked folder outside ``allowed_root`` has a fault."""
    linked = entry.is_symlink()
    real = os.path.realpath(entry.path) if linked else f"{folder.real.rstrip('/')}/{entry.name}"
    out = linked and allowed_root is not None and not _inside(real, allowed_root) and _is_folder(entry)
    return OnDisk(folder.path / entry.name, real, LINKED_OUT if out else None)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_file()  # not a pipe, which would block
    except OSError:
        return False


def _is_reported(volume_on_disk: OnDisk, entry: "os.DirEntry[str]", suffixes: tuple[str, ...]) -> bool:
    volume = entry.name.lower().endswith(suffixes) and not entry.name.startswith("._")
    return volume_on_disk.fault is not None or (volume and not _is_folder(entry))


def _holds_slices(entries: "list[os.DirEntry[str]]") -> bool:
    """Whether a folder has DICOM slices, by file endings, or else by the first few files with unknown endings."""
    names = [entry for entry in entries if not entry.name.startswith(".")]
    if any(entry.name.lower().endswith(DICOM) for entry in names):
        return True
    unknown = (e.path for e in names if not e.name.lower().endswith((*NOT_SLICES, *VOLUMES)) and _is_file(e))
    return any(has_dicom_preamble(Path(path)) for path in islice(unknown, LOOKED_INTO))
