"""List every file that is read for a scan or a mask, for its signature and the check of the dataset's folder.

Invariant: for a single file its folder is not listed, however many files are in it. Only a folder that is itself a scan
(DICOM slices) or a mask (class files) is listed, once.
"""

import os
from pathlib import Path

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.metaimage_header import ENDINGS, parse_header


def files_of(path: Path) -> list[Path]:
    """List the file and the voxel files that a MetaImage header names, or all files below a folder, sorted.

    Links to folders are listed but not followed, as in the readers. A header that cannot be parsed names no voxel file:
    the reader reports the error. Files that a header names need not exist.
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
    files: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders.sort()
        linked = [name for name in folders if Path(parent, name).is_symlink()]
        files += [Path(parent, name) for name in sorted((*names, *linked))]
    return files
