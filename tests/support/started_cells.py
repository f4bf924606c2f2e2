"""A grid whose fine-tuning starts from a pretraining of the same seed, without stores: plans and finished records."""

from pathlib import Path
from typing import Any

from orchestration.grid.cells import expand
from orchestration.grid.config import GridConfig
from orchestration.grid.records import cell_folder
from tests.support.small_grids import finish, grid
from uniferum.run import RunConfig
from uniferum.run_files import RunFiles


def started_grid(root: Path, start: str = "cell:first", **changes: Any) -> GridConfig:
    """Two seeds of a pretraining, and of a fine-tuning that starts from it."""
    tuned = {"model": {"ct_clip": {"way": "vocabfine", "checkpoint": start}}}
    pretrained = {"model": {"ct_clip": {"way": "contrastive"}}}
    common = {"model": "ct_clip", "text_encoder": "small", "train_on": "CTRATE"}
    cells = [{"name": "first", "set": pretrained, **common}, {"name": "second", "set": tuned, **common}]
    return grid(root, seeds=(0, 1), cells=cells, **changes)


def identity_by_seed(config: RunConfig, stores: object) -> tuple[str, str]:
    """Fingerprints for training and evaluation that need no store."""
    training = f"{config.seed:04x}{len(config.model.ct_clip.way):04x}"
    return training, f"{training}-scored"


def train(grid: GridConfig, name: str) -> Path:
    """Write the record and the weights of a finished cell, and return the path of the weights."""
    (cell,) = (cell for cell in expand(grid) if cell.name == name)
    training, evaluation = identity_by_seed(cell.config, {})
    folder = cell_folder(grid.cells_folder, name, training)
    finish(folder, training, evaluation, name=name)
    RunFiles(folder).best.mkdir(parents=True)
    weights = RunFiles(folder).best / "model.safetensors"
    weights.write_bytes(b"weights")
    return weights
