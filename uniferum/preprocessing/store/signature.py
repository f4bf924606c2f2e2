"""What a prepared scan was made from, so that a second run does again only what has changed.

Invariant: the content of every file that is read decides, whatever its ending: voxel files that a MetaImage header
names, slices in nested folders, class files. Names, sizes and times only spare the reading: where they are as they were
the content is taken to be too, where they differ it is read and compared. Only digests are kept, so no file name leaves
the disk.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.fence import allowed
from uniferum.preprocessing.formats.scan_files import files_of
from uniferum.preprocessing.formats.source import ScanSource


def signature(source: ScanSource) -> dict[str, str]:
    """Digests of a scan's files: ``declared`` (what the cohort says), ``stat`` (names, sizes, times), ``sha256``.

    Raises:
        UniferumError: a file is missing, or lies outside the dataset's folder.
    """
    files = _files(source)
    return {"declared": _declared(source), "stat": _stat(files), "sha256": _content(files)}


def unchanged(source: ScanSource, known: Mapping[str, Any]) -> bool:
    """Whether ``known``, a signature taken earlier, still describes the source."""
    if known.get("declared") != _declared(source):
        return False
    try:
        files = _files(source)
        return known.get("stat") == _stat(files) or known.get("sha256") == _content(files)
    except OSError:
        return False


def _files(source: ScanSource) -> list[tuple[str, Path]]:
    """Every file that is read, under a name that does not depend on where the dataset lies."""
    files: list[tuple[str, Path]] = []
    for label, path in [("scan", source.path), *((mask.layer, mask.path) for mask in source.masks)]:
        if path is None:
            continue
        if not path.exists():
            raise UniferumError(str(path), must="exist")
        base = path if path.is_dir() else path.parent
        # A voxel file that its header names and that is missing is no fault here: reading the scan tells it.
        found = [file for file in files_of(allowed(path, source.root)) if file.is_file()]
        files += [(f"{label}/{file.relative_to(base).as_posix()}", file) for file in found]
    return files


def _declared(source: ScanSource) -> str:
    masks = [
        (mask.layer, mask.value, mask.threshold, mask.class_names, [asdict(sphere) for sphere in mask.spheres])
        for mask in source.masks
    ]
    said = (source.scan_id, source.intensity, source.affine, source.known_hu_clip, masks)
    return hashlib.sha256(repr(said).encode()).hexdigest()[:32]


def _stat(files: list[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, path in files:
        found = path.stat()
        digest.update(os.fsencode(f"{name}:{found.st_size}:{found.st_mtime_ns};"))
    return digest.hexdigest()[:32]


def _content(files: list[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, path in files:
        digest.update(os.fsencode(f"{name};"))
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
