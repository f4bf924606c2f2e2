"""No file outside a dataset's folder is read, whatever links and ``..`` say."""

import os
from pathlib import Path

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.scan_files import files_of


def allowed(path: Path, root: Path | None) -> Path:
    """The path, unless it or a file that is read with it (voxels, slices) leads out of the dataset's folder.

    Only the files that are read are looked at, so that the size of their folder does not matter.

    Raises:
        UniferumError: it does, by ``..`` or by a link.
    """
    if root is None:
        return path
    if "\0" in str(path):
        raise UniferumError(repr(str(path)), must="be a file name")
    home = Path(os.path.realpath(root))
    parents: dict[Path, Path] = {}
    _check(path, home, parents)
    for file in files_of(path):
        _check(file, home, parents)
    return path


def _check(file: Path, home: Path, parents: dict[Path, Path]) -> None:
    parent = parents.get(file.parent)
    if parent is None:
        parent = parents[file.parent] = Path(os.path.realpath(file.parent))
    real = Path(os.path.realpath(file)) if file.is_symlink() or file.name == ".." else parent / file.name
    if not real.is_relative_to(home):
        cure = "links and '..' that lead out of the dataset's folder are not followed"
        raise UniferumError(str(file), must="lie inside its dataset's folder", cure=cure)
