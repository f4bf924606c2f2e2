"""Open the prepared stores of a run; a store that changes is read again.

Fingerprints and plans read only the part of a store that they need.
"""

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from uniferum.data.content import Content
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.errors import UniferumError, near_miss
from uniferum.run.config import NODULE_COHORT

# A cohort's prepared store: a folder, or a URL that fsspec knows.
Stores = Mapping[str, Path | str]
Stamp = tuple[tuple[str, int, int], ...]
Opened = TypeVar("Opened", Content, PreparedCohort)
TEST_SPLIT, SELECTION_SPLIT, TRAINING_SPLIT = "test", "validation", "train"


def open_cohort(stores: Stores, cohort: str) -> PreparedCohort:
    """Open the prepared store of a cohort.

    Raises:
        UniferumError: no store is given for it, the store cannot be read, or it belongs to another cohort.
    """
    path = _path(stores, cohort)
    opened = _opened(str(path), _stamp(path)) if Path(path).is_dir() else PreparedCohort.open(path)
    return _of(cohort, opened, path)


def read_content(stores: Stores, cohort: str) -> Content | PreparedCohort:
    """Read the part of a cohort's store that fingerprints need; raises like :func:`open_cohort`."""
    path = _path(stores, cohort)
    content = _content_of(str(path), _stamp(path)) if Path(path).is_dir() else None
    return open_cohort(stores, cohort) if content is None else _of(cohort, content, path)


@lru_cache(maxsize=32)
def _opened(path: str, stamp: Stamp) -> PreparedCohort:
    """Open a local store, cached until its files change."""
    assert stamp is not None, "part of the cache key: a store that changes is read again"
    return PreparedCohort.open(path)


@lru_cache(maxsize=32)
def _content_of(path: str, stamp: Stamp) -> Content | None:
    """Like :func:`_opened`, for fingerprints only; watching a grid calls it once a second."""
    assert stamp is not None, "part of the cache key: a store that changes is read again"
    return Content.read(Path(path))


def _stamp(path: Path | str) -> Stamp:
    with os.scandir(path) as entries:
        files = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
    return tuple(sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in files))


def _path(stores: Stores, cohort: str) -> Path | str:
    if cohort not in stores:
        nodules = ", or set sampling.luna_factor=0 to train without nodules" if cohort == NODULE_COHORT else ""
        raise UniferumError("stores", cohort, must="have a path", cure=near_miss(cohort, stores) + nodules)
    return stores[cohort]


def _of(cohort: str, opened: Opened, path: Path | str) -> Opened:
    if opened.name != cohort:
        raise UniferumError(f"store {path}", opened.name, must=f"be that of cohort {cohort}")
    return opened
