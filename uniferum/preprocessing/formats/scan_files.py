"""Every file that reading a scan or a mask touches: what its signature covers and what the fence looks at.

Invariant: a single file costs no listing of its folder, however many neighbours it has; only a folder that is itself a
scan (DICOM slices) or a mask (class files) is listed, once.
"""

import os
from pathlib import Path

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.metaimage_header import ENDINGS, parse_header


def files_of(path: Path) -> list[Path]:
    """The file, and the voxel files that a MetaImage header names; of a folder all files below it, sorted.

    Links to folders are not followed, as the readers do not follow them, but are among the files. A header that cannot
    be understood names no voxel file: reading it will say why. Files that a header names need not exist.
    """
    if path.is_dir():
        return _below(path)
    if not path.name.lower().endswith(ENDINGS):
        return [path]
    try:
        return [path, *(file for file in parse_header(path).files if file != path)]
    except UniferumError:
        return [path]


def _below(folder: Path) -> list[Path]:
    found: list[Path] = []
    for here, folders, names in os.walk(folder):
        folders.sort()
        linked = [name for name in folders if Path(here, name).is_symlink()]
        found += [Path(here, name) for name in sorted((*names, *linked))]
    return found
