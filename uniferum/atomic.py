"""Atomic file writes: write a temporary file in the same folder, sync it, then rename it."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file completely or not at all: ``write`` fills a temporary file, which is synced and renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    draft = Path(name)
    try:
        write(draft)
        sync(draft)
        draft.chmod(0o644)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document atomically, keys in the given order; NaN is refused."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write_atomically(path, lambda draft: _write_text(draft, text))


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text atomically."""
    write_atomically(path, lambda draft: _write_text(draft, text))


def sync(path: Path) -> None:
    """Flush the content of a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
