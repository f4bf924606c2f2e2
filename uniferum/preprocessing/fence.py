"""No file outside a dataset's folder is read, whatever links and ``..`` say."""

from pathlib import Path

from uniferum.errors import UniferumError


def allowed(path: Path, root: Path | None) -> Path:
    """The path, unless it leads out of the dataset's folder.

    Raises:
        UniferumError: it does, by ``..`` or by a link.
    """
    beside = path.iterdir() if path.is_dir() else path.parent.glob(f"{path.stem}.*")
    for file in (path, *(entry for entry in beside if entry.is_symlink())):
        if root is not None and not file.resolve().is_relative_to(root.resolve()):
            cure = "links and '..' that lead out of the dataset's folder are not followed"
            raise UniferumError(str(file), must="lie inside its dataset's folder", cure=cure)
    return path
