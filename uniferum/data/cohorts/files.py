"""Finding a cohort's files without leaving its folder: no absolute path, no ``..``, no link that leads outside."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

OUTSIDE = "path leaves the cohort's folder"
MISSING = "volume file missing"
UNREADABLE = "path cannot be read"


def fault(root: Path, relative: str, *, follow_symlinks: bool) -> str | None:
    """Why the file or folder ``root/relative`` is not to be read; ``None`` where all is well.

    Args:
        root: the cohort's folder.
        relative: a path from a table of the dataset.
        follow_symlinks: allow links that lead outside ``root``.
    """
    pure = PurePosixPath(relative)
    if not relative or pure.is_absolute() or ".." in pure.parts or "\0" in relative:
        return OUTSIDE if relative else MISSING
    path = root / relative
    try:
        if not path.exists():
            return MISSING
    except OSError:  # a name that is too long, a folder that may not be entered
        return UNREADABLE
    if not follow_symlinks and not path.resolve().is_relative_to(root.resolve()):
        return OUTSIDE
    return None


def files_below(root: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Every file below ``root`` whose name ends in one of ``suffixes``, folder by folder; links are not followed."""
    if not root.is_dir():
        return
    folders = [root]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif entry.name.endswith(suffixes):
                    yield Path(entry.path)
