"""The files of a run's folder, named once for those who write them and those who read them.

The folder is the truth about a run. Every file is whole or absent (:mod:`uniferum.atomic`), and ``result.json`` is
written last: it is the only mark of "done".
"""

from dataclasses import dataclass
from pathlib import Path

RESULT_FORMAT = 1


@dataclass(frozen=True)
class RunFiles:
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
