"""The files of a scan: every one below its folder, to a bounded depth and number, and no link that leads out of it."""

import os
from pathlib import Path

from uniferum.errors import UniferumError

# A study folder nests patient, study, series and sometimes a folder a day or a station; the rest is another dataset.
MAX_DEPTH = 8
# The largest dynamic study known to us has fewer than 10,000 slices.
MAX_FILES = 20_000


def files_below(folder: Path) -> tuple[list[Path], int]:
    """All files of a folder and its sub-folders in the order of their names; the second is links that lead out of it.

    Linked folders are not entered. Hidden files and folders are left out.

    Raises:
        UniferumError: it nests deeper than ``MAX_DEPTH`` or holds more than ``MAX_FILES``, or cannot be listed.
    """
    found: list[Path] = []
    outside, home = 0, Path(os.path.realpath(folder))
    for where, names, files in os.walk(folder, onerror=_raise, followlinks=False):
        if len(Path(where).relative_to(folder).parts) >= MAX_DEPTH and names:
            raise UniferumError(str(folder), must=f"nest at most {MAX_DEPTH} folders deep", cure="name the scan's own")
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            path = Path(where, name)
            # Not Path.resolve, which raises for a link that leads to itself.
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(home):
                outside += 1
            elif path.is_file():
                found.append(path)
        if len(found) > MAX_FILES:
            raise UniferumError(str(folder), must=f"hold at most {MAX_FILES} files", cure="name the scan's own folder")
    return found, outside


def _raise(error: OSError) -> None:
    raise UniferumError(str(error.filename), must="be a folder that can be listed", cure=error.strerror or "")
