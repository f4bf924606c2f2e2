"""Where a grid's records and prepared stores lie on a cluster: relative places of its file, under ``storage``.

On the machine that the file was written on, a relative root means a folder of the checkout. On a cluster that would be
a folder of the image, which no other node sees and which ends with its container.
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from orchestration.infra.settings import PLAIN, InfraSettings
from uniferum.errors import UniferumError

STORE = r"[A-Za-z0-9_-]+"  # a dot would walk into another key


def grid_overrides(settings: InfraSettings, root: Path, stores: Mapping[str, Path | str]) -> list[str]:
    """``key=value`` for every place of the grid that is no absolute path and no URL.

    Args:
        settings: the cluster.
        root: of the records, as ``settings.grid`` has it.
        stores: of the cohorts, as ``settings.grid`` has them.

    Raises:
        UniferumError: a name of a store is no plain word, or a place leaves ``storage``.
    """
    for name in stores:
        if not re.fullmatch(STORE, name):
            raise UniferumError(f"{settings.grid}: stores", name, must="be named with letters, digits, '_' and '-'")
    places = {"root": root, **{f"stores.{name}": store for name, store in stores.items()}}
    relative = {key: PurePosixPath(place) for key, place in places.items() if "://" not in str(place)}
    return [
        f"{key}={_under(settings.storage, place, f'{settings.grid}: {key}')}"
        for key, place in relative.items()
        if not place.is_absolute()
    ]


def _under(storage: str, place: PurePosixPath, where: str) -> PurePosixPath:
    if ".." in place.parts or not re.fullmatch(PLAIN, str(place)):
        must = "be a path of letters, digits and ._:/@=- without '..', so that it lies under storage"
        raise UniferumError(where, place, must=must)
    return PurePosixPath(storage) / place
