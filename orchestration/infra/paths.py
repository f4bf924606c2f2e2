"""Map the relative paths of a grid file to folders below ``storage``, the shared storage of a cluster.

On one machine a relative root is a folder of the checkout. On a cluster that would be a folder of the image, which
other nodes cannot see and which is deleted with its container.
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from orchestration.infra.settings import PLAIN, InfraSettings
from uniferum.errors import UniferumError

STORE = r"[A-Za-z0-9_-]+"  # a dot would separate keys


def grid_overrides(settings: InfraSettings, root: Path, stores: Mapping[str, Path | str]) -> list[str]:
    """Make the overrides ``key=value`` for each relative path of a grid file.

    Args:
        settings: the cluster.
        root: ``root`` of the grid file, see :func:`orchestration.grid.config.paths_from`.
        stores: ``stores`` of the grid file.

    Raises:
        UniferumError: the name of a store has other characters than letters, digits, ``_`` and ``-``, or a path has
            characters that a shell interprets, or ``..``.
    """
    for name in stores:
        if not re.fullmatch(STORE, name):
            raise UniferumError(f"{settings.grid}: stores", name, must="be named with letters, digits, '_' and '-'")
    locations = {"root": root, **{f"stores.{name}": store for name, store in stores.items()}}
    paths = {key: PurePosixPath(location) for key, location in locations.items() if "://" not in str(location)}
    return [
        f"{key}={_under(settings.storage, path, f'{settings.grid}: {key}')}"
        for key, path in paths.items()
        if not path.is_absolute()
    ]


def _under(storage: str, path: PurePosixPath, key: str) -> PurePosixPath:
    if ".." in path.parts or not re.fullmatch(PLAIN, str(path)):
        must = "be a path of letters, digits and ._:/@=- without '..', so that it is below storage"
        raise UniferumError(key, path, must=must)
    return PurePosixPath(storage) / path
