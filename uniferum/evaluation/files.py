"""The files of a cell's folder, named once for those who write them and those who read them.

The folder is the truth about a run. Every file is whole or absent (written beside its place, synced, renamed), and
``result.json`` is written last: it is the only mark of "done".
"""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULT_FORMAT = 1


@dataclass(frozen=True)
class CellFiles:
    """Where everything of one run lies, under its folder."""

    root: Path

    @property
    def config(self) -> Path:
        """The resolved RunConfig as YAML."""
        return self.root / "config.yaml"

    @property
    def identity(self) -> Path:
        """What the training fingerprint is made of: config, data digests, prompts, version of the code's results."""
        return self.root / "identity.json"

    @property
    def steps(self) -> Path:
        """One JSON object a line: ``{"step": int, "<metric>": float, ...}``."""
        return self.root / "steps.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints; ``last`` and ``best`` point into it."""
        return self.root / "checkpoints"

    @property
    def last(self) -> Path:
        """The checkpoint that training goes on from."""
        return self.checkpoints / "last"

    @property
    def best(self) -> Path:
        """The checkpoint with the highest selection metric; predictions are made with it."""
        return self.checkpoints / "best"

    @property
    def predictions(self) -> Path:
        """One row a test volume and known label: cohort, split, ids, label, group, kind, target, score (a logit)."""
        return self.root / "predictions.parquet"

    @property
    def metrics(self) -> Path:
        """One row a label: AUROC and AUPR with their intervals."""
        return self.root / "metrics.parquet"

    @property
    def masks(self) -> Path:
        """One row a test scan and structure, with ``SEG``: voxels of the stored mask, the model's, and both."""
        return self.root / "masks.parquet"

    @property
    def mask_metrics(self) -> Path:
        """One row a structure: Dice, sensitivity and volume error of the masks."""
        return self.root / "mask_metrics.parquet"

    @property
    def environment(self) -> Path:
        """Versions, commit, devices."""
        return self.root / "environment.json"

    @property
    def result(self) -> Path:
        """The record of a finished run, written last."""
        return self.root / "result.json"

    @property
    def done(self) -> bool:
        """Whether the run has finished."""
        return self.result.exists()


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file whole or not at all: ``write`` fills a file beside ``path``, which is synced, then renamed."""
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
    """Write one JSON document atomically, keys in the given order; NaN is refused."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write_atomically(path, lambda draft: _write_text(draft, text))


def write_text(path: Path, text: str) -> None:
    """Write one UTF-8 text atomically."""
    write_atomically(path, lambda draft: _write_text(draft, text))


def sync(path: Path) -> None:
    """Force a file's, or a folder's, content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
