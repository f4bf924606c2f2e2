"""Paths of the files in a run's folder.

The folder is the only record of a run. Every file is complete or absent (:mod:`uniferum.atomic`), and ``result.json``
is written last: only this file marks a run as finished.
"""

from dataclasses import dataclass
from pathlib import Path

RESULT_FORMAT = 1


@dataclass(frozen=True)
class RunFiles:
    """Paths of one run's files, under its folder ``root``."""

    root: Path

    @property
    def config(self) -> Path:
        """The resolved RunConfig as YAML."""
        return self.root / "config.yaml"

    @property
    def axes(self) -> Path:
        """Of a cell of a grid: the label of its value on each axis, ``{"lr": "1e-4"}``; absent without axes."""
        return self.root / "axes.json"

    @property
    def identity(self) -> Path:
        """Inputs of the training fingerprint: config, data digests, prompts, version of the code's results."""
        return self.root / "identity.json"

    @property
    def steps(self) -> Path:
        """Training metrics, one JSON object per line: ``{"step": int, "<metric>": float, ...}``."""
        return self.root / "steps.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints, with the links ``last`` and ``best``."""
        return self.root / "checkpoints"

    @property
    def last(self) -> Path:
        """The newest checkpoint, from which training resumes."""
        return self.checkpoints / "last"

    @property
    def best(self) -> Path:
        """The checkpoint with the highest selection metric, used for predictions."""
        return self.checkpoints / "best"

    @property
    def predictions(self) -> Path:
        """One row per test volume and known label: cohort, split, ids, label, group, kind, target, score (a logit)."""
        return self.root / "predictions.parquet"

    @property
    def validation_predictions(self) -> Path:
        """Like ``predictions`` for the validation splits, on which thresholds are chosen; absent in older folders."""
        return self.root / "validation_predictions.parquet"

    @property
    def metrics(self) -> Path:
        """One row per label: AUROC and AUPR with their intervals."""
        return self.root / "metrics.parquet"

    @property
    def masks(self) -> Path:
        """One row per test scan and structure with ``SEG``: voxels of the stored mask, of the model's, and of both."""
        return self.root / "masks.parquet"

    @property
    def mask_metrics(self) -> Path:
        """One row per structure: Dice, sensitivity and volume error of the masks."""
        return self.root / "mask_metrics.parquet"

    @property
    def environment(self) -> Path:
        """Versions of the software, the commit and the devices."""
        return self.root / "environment.json"

    @property
    def result(self) -> Path:
        """The record of a finished run, which is written last."""
        return self.root / "result.json"

    @property
    def done(self) -> bool:
        """Whether the run is finished."""
        return self.result.exists()
