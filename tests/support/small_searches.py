"""A search of a tiny cell, on a grid with an empty stand-in store or on a store of noise volumes."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from orchestration.search.config import Search, load_search
from tests.support.small_grids import grid, tiny_settings
from tests.support.small_stores import write_store

SPLITS = ("train",) * 8 + ("validation",) * 6 + ("test",) * 4
SPACE = {"optim.lr": {"float": [1e-4, 1e-2], "log": True}}

AXES = {
    "lr": {"key": "optim.lr", "values": [1e-4, 1e-3]},
    "freeze": {"key": "model.text.freeze", "values": [True, False]},
    "size": {
        "values": {"s": {"model": {"text": {"hidden": 32, "layers": 1}}}, "m": {"model": {"text": {"hidden": 64}}}}
    },
    "luna": {"key": "sampling.luna_factor", "values": [0, 10]},
    "bad": {"key": "optim.weight_decay", "values": [0.1, -1]},
}
"""Axes of a grid file: a number, a truth value, bundles of keys, one without effect without masks, one with a fault."""


def grid_with_axes(**changes: Any) -> dict[str, Any]:
    """Keys of a grid file whose only entry varies two of :data:`AXES`."""
    entry = {"text_encoder": "small", "train_on": "CTRATE", "vary": ["lr", "freeze"]}
    return {"axes": AXES, "cells": [entry], **changes}


def search_file(folder: Path, grid_keys: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Write a search file beside its grid file."""
    keys = {**grid(folder).model_dump(mode="json"), **(grid_keys or {})}
    (folder / "grid.yaml").write_text(yaml.safe_dump(keys))
    search = {"name": "s", "grid": "grid.yaml", "cell": "uniferum-small-CTRATE", "trials": 3, "space": SPACE}
    path = folder / "search.yaml"
    path.write_text(yaml.safe_dump({**search, **changes}, sort_keys=False))
    return path


def noise_store(folder: Path) -> str:
    """Write a store of noise volumes with three labels."""
    from uniferum.data.vocabulary import Vocabulary

    random = np.random.default_rng(0)
    names = sorted(
        {label for (owner, _), all_ in Vocabulary.load().groups.items() if owner == "CTRATE" for label in all_}
    )
    values = {name: [int(value) for value in random.integers(0, 2, len(SPLITS))] for name in names[:3]}
    write_store(folder, "CTRATE", SPLITS, values)
    return str(folder)


def tiny_search(folder: Path, store: str, grid_keys: dict[str, Any] | None = None, **changes: Any) -> Search:
    """A search whose trials take one second each."""
    keys = {
        "stores": {"CTRATE": store},
        "defaults": tiny_settings(6),
        "text_encoders": {"small": {"name": "tiny", "layers": 1, "hidden": 32}},
        "resources": {"checkpoint_gib": 0.01},
        "policy": {"free_gib": 0.01},
        **(grid_keys or {}),
    }
    return load_search(search_file(folder, keys, **changes))
