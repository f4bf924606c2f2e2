"""Small grids: settings, cells, attempts and recorded results, without stores, Ray or MLflow."""

import json
from pathlib import Path
from typing import Any

from orchestration.attempt.attempt import Attempt
from orchestration.grid.cells import Cell
from orchestration.grid.config import GridConfig
from uniferum.run import RunConfig


def tiny_settings(steps: int) -> dict[str, Any]:
    """Settings of a run on the small stores that takes about a second, with a checkpoint at each step."""
    return {
        "geometry": {"spacing_mm": [4.0, 4.0, 4.0], "model_shape": [48, 40, 32]},
        "model": {"encoder": {"name": "tf_efficientnet_lite0", "weights": "none", "stride": 8}},
        "sampling": {"luna_factor": 0},
        "training": {
            "steps": steps,
            "validate_every": 2,
            "batch": 8,
            "micro_batch": 8,
            "precision": "fp32",
            "checkpoint_every": 1,
            "threads": 1,
        },
    }


def config(name: str = "uniferum-small-CTRATE", **changes: Any) -> RunConfig:
    """A run of four steps."""
    keys = {"name": name, "train_on": ["CTRATE"], "training": {"steps": 4, "validate_every": 2}}
    return RunConfig.model_validate({**keys, **changes})


def cell(name: str = "uniferum-small-CTRATE", **changes: Any) -> Cell:
    """A cell of :func:`config`."""
    return Cell(name, config(name, **changes), "uniferum", "small", "CTRATE", 0)


def attempt(folder: Path, **changes: Any) -> Attempt:
    """An attempt at :func:`cell`."""
    named = cell()
    keys = {"number": 1, "token": "1-1-a", "config": named.config.model_dump(mode="json"), "stores": {}}
    return Attempt(**{"name": named.name, "folder": str(folder), **keys, **changes})


def grid(root: Path, **changes: Any) -> GridConfig:
    """A grid with one cell and a stand-in store."""
    store = root / "store"
    store.mkdir(parents=True, exist_ok=True)
    (store / "store.json").write_text("{}")
    keys = {
        "name": "g",
        "root": root / "runs",
        "stores": {"CTRATE": store},
        "evaluate_on": ["CTRATE"],
        "text_encoders": {"small": {"name": "tiny"}},
        "cells": [{"text_encoder": "small", "train_on": "CTRATE"}],
    }
    return GridConfig.model_validate({**keys, **changes})


def finish(folder: Path, training: str, evaluation: str, **changes: Any) -> None:
    """Write the record of a finished run."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "format": 1,
        "name": "uniferum-small-CTRATE",
        "training_fingerprint": training,
        "evaluation_fingerprint": evaluation,
        "train_on": ["CTRATE"],
        "groups": [{"cohort": "CTRATE", "group": "all", "metric": "auroc", "value": 0.8}],
        "steps": 4,
        "best_step": 4,
        "seconds": 36.0,
        **changes,
    }
    (folder / "result.json").write_text(json.dumps(record))
