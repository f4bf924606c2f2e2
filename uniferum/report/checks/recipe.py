"""Compare the recorded config of a cell with the recipe of the paper's row, key by key.

Only keys are compared whose value the paper's text or its released configuration gives; the sources stand beside these
values in ``configs/base.yaml``. Sizes of the model and its input are compared in :mod:`uniferum.report.systems`. A
record without the section ``optim`` is not the complete config of a run, and is not compared.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from uniferum.report.records import CellRecord
from uniferum.report.systems import section
from uniferum.systems import UNIFERUM, trained_by_paper

DATA: dict[str, dict[str, Any]] = {
    "sampling": {"balance": True, "label_count": None, "labels": "paper"},
    "augmentation": {"probability": 0.5, "rotation_deg": 15.0, "zoom": 0.1, "noise": 0.01, "offset": 0.01},
}
"""For every system that the paper trained: rows (3.3) and augmentation (3.5)."""
TRAINING: dict[str, dict[str, Any]] = {
    "training": {"batch": 64},
    "optim": {"lr": 5e-5, "weight_decay": 1e-4, "warmup_steps": 25, "schedule": "linear"},
}
"""For Uniferum (3.6, released configuration); the paper does not state those of its CNN."""
WITH_MASKS: dict[str, dict[str, Any]] = {
    "sampling": {"organ_share": 0.1, "luna_factor": 10},
    "optim": {"segmentation_weight": 10.0, "focal_alpha": 0.25, "focal_gamma": 2.0},
}
"""For Uniferum with ``SEG`` (3.2, 3.3, released configuration)."""
STEPS, STEPS_OF_ONE = 25_000, 10_000
"""Steps (3.6), and those of a training on INSPECT or RADCHEST alone (4)."""
ONE = ("INSPECT", "RADCHEST")


def recipe_differences(record: CellRecord) -> list[str]:
    """The keys of a cell that differ from the recipe of the paper's row, as ``optim.lr 0.0001``; often empty."""
    config = record.config
    if not trained_by_paper(record.model) or not section(config, "optim"):
        return []
    wanted = [DATA]
    if record.model == UNIFERUM:
        wanted += [TRAINING, {"training": {"steps": STEPS_OF_ONE if record.mix in ONE else STEPS}}]
        wanted += [WITH_MASKS] if "SEG" in record.train_on else []
    return [line for keys in wanted for line in _differing(config, keys)]


def volume_batch(record: CellRecord) -> str:
    """A remark on a batch that is counted in volumes; empty for one that is counted in rows, as the paper's."""
    training = section(record.config, "training")
    return f"batch of {training.get('batch')} volumes; the paper's is 64 rows" if _by_volumes(training) else ""


def _by_volumes(training: Mapping[str, Any]) -> bool:
    return bool(training.get("micro_batch_volumes"))


def _differing(config: Mapping[str, Any], wanted: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, keys in wanted.items():
        own = section(config, name)
        for key, value in keys.items():
            counted_otherwise = (name, key) == ("training", "batch") and _by_volumes(own)
            if key in own and own[key] != value and not counted_otherwise:
                yield f"{name}.{key} {own[key]}"
