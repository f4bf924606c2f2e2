"""Check that the files of a scan are inside its dataset's folder, links and ``..`` resolved."""

import os
from pathlib import Path

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.scan_files import files_of


def check_contained(path: Path, root: Path | None) -> Path:
    """Return the path if it and every file that is read with it (voxels, slices) are inside the dataset's folder.

    Only the files that are read are checked, so the size of their folder does not matter.

    Raises:
        UniferumError: a file is outside, through ``..`` or a link.
    """
    if root is None:
        return path
    if "\0" in str(path):
        raise UniferumError(repr(str(path)), must="be a file name")
    real_root = Path(os.path.realpath(root))
    parents: dict[Path, Path] = {}
    _check(path, real_root, parents)
    for file in files_of(path):
        _check(file, real_root, parents)
    return path


def _check(file: Path, real_root: Path, parents: dict[Path, Path]) -> None:
    parent = parents.get(file.parent)
    if parent is None:
        parent = parents[file.parent] = Path(os.path.realpath(file.parent))
    real = Path(os.path.realpath(file)) if file.is_symlink() or file.name == ".." else parent / file.name
    if not real.is_relative_to(real_root):
        cure = "links and '..' that lead out of the dataset's folder are not followed"
        raise UniferumError(str(file), must="be inside its dataset's folder", cure=cure)
