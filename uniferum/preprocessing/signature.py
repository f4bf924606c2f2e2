"""What a prepared scan was made from, so that a second run does again only what has changed.

Invariant: the content decides. Names, sizes and times only spare the reading: where they are as they were the content
is taken to be too, where they differ it is read and compared. Only digests are kept, so no file name leaves the disk.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from uniferum.errors import UniferumError
from uniferum.preprocessing.source import ScanSource


def signature(source: ScanSource) -> dict[str, str]:
    """Digests of a scan's files: ``declared`` (what the cohort says), ``stat`` (names, sizes, times), ``sha256``."""
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
        inside = sorted(entry for entry in path.iterdir() if entry.is_file()) if path.is_dir() else [path]
        files += [(f"{label}/{entry.name}", entry) for entry in inside]
        raw = path.with_suffix(".raw")
        if path.suffix.lower() == ".mhd" and raw.is_file():
            files.append((f"{label}/{raw.name}", raw))
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
        digest.update(f"{name}:{found.st_size}:{found.st_mtime_ns};".encode())
    return digest.hexdigest()[:32]


def _content(files: list[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, path in files:
        digest.update(f"{name};".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
