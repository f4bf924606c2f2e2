"""List the files of a scan: all below its folder, limited in depth and number, without links that lead out of it."""

import os
from pathlib import Path

from uniferum.errors import UniferumError

# A study folder nests patient, study, series and sometimes day or station; deeper folders are another dataset.
MAX_DEPTH = 8
# The largest dynamic study that we know has fewer than 10,000 slices.
MAX_FILES = 20_000


def files_below(folder: Path) -> tuple[list[Path], int]:
    """List all files of a folder and its sub-folders in the order of their names, and count links that lead out of it.

    Linked folders are not entered. Hidden files and folders are ignored.

    Raises:
        UniferumError: it is nested deeper than ``MAX_DEPTH``, holds more than ``MAX_FILES``, or cannot be listed.
    """
    listed: list[Path] = []
    outside, home = 0, Path(os.path.realpath(folder))
    for where, names, files in os.walk(folder, onerror=_raise, followlinks=False):
        if len(Path(where).relative_to(folder).parts) >= MAX_DEPTH and names:
            cure = "name the scan's own folder"
            raise UniferumError(str(folder), must=f"have at most {MAX_DEPTH} levels of folders", cure=cure)
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            path = Path(where, name)
            # Path.resolve would raise for a link that leads to itself.
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(home):
                outside += 1
            elif path.is_file():
                listed.append(path)
        if len(listed) > MAX_FILES:
            raise UniferumError(str(folder), must=f"hold at most {MAX_FILES} files", cure="name the scan's own folder")
    return listed, outside


def _raise(error: OSError) -> None:
    raise UniferumError(str(error.filename), must="be a folder that can be listed", cure=error.strerror or "")
