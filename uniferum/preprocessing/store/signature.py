"""Signature of the files from which a scan was prepared, so that a second run repeats only what has changed.

Invariant: the content of every file that is read decides: voxel files that a MetaImage header names, slices in nested
folders, class files. Names, sizes and times only save reading: if they are unchanged, the content is assumed to be
unchanged too; otherwise it is read and compared. Only digests are stored, so no file name leaves the disk.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.containment import check_contained
from uniferum.preprocessing.formats.scan_files import files_of
from uniferum.preprocessing.formats.source import ScanSource


def signature(source: ScanSource) -> dict[str, str]:
    """Digests of a scan's files: ``declared`` (the cohort's settings), ``stat`` (names, sizes, times), ``sha256``.

    Raises:
        UniferumError: a file is missing, or is outside the dataset's folder.
    """
    files = _files(source)
    return {"declared": _declared(source), "stat": _stat(files), "sha256": _content(files)}


def unchanged(source: ScanSource, known: Mapping[str, Any]) -> bool:
    """Whether ``known``, an earlier signature, still describes the source."""
    if known.get("declared") != _declared(source):
        return False
    try:
        files = _files(source)
        return known.get("stat") == _stat(files) or known.get("sha256") == _content(files)
    except OSError:
        return False


def _files(source: ScanSource) -> list[tuple[str, Path]]:
    """Every file that is read, under a name that does not depend on the dataset's location."""
    files: list[tuple[str, Path]] = []
    for label, path in [("scan", source.path), *((mask.layer, mask.path) for mask in source.masks)]:
        if path is None:
            continue
        if not path.exists():
            raise UniferumError(str(path), must="exist")
        base = path if path.is_dir() else path.parent
        # A missing voxel file that a header names is ignored here: the reader of the scan reports it.
        existing = [file for file in files_of(check_contained(path, source.root)) if file.is_file()]
        files += [(f"{label}/{file.relative_to(base).as_posix()}", file) for file in existing]
    return files


def _declared(source: ScanSource) -> str:
    masks = [
        (mask.layer, mask.value, mask.threshold, mask.class_names, [asdict(sphere) for sphere in mask.spheres])
        for mask in source.masks
    ]
    declared = (source.scan_id, source.intensity, source.affine, source.known_hu_clip, masks)
    return hashlib.sha256(repr(declared).encode()).hexdigest()[:32]


def _stat(files: list[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, path in files:
        status = path.stat()
        digest.update(os.fsencode(f"{name}:{status.st_size}:{status.st_mtime_ns};"))
    return digest.hexdigest()[:32]


def _content(files: list[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, path in files:
        digest.update(os.fsencode(f"{name};"))
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
