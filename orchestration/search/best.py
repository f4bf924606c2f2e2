"""The best trial of a search as a grid file of its own."""

from collections.abc import Mapping
from typing import Any

from orchestration.grid.cells import expand
from orchestration.grid.config import GridConfig
from orchestration.search.config import Search
from uniferum.config import parse
from uniferum.errors import UniferumError

_NAMED = ("name", "seed", "train_on", "evaluate_on")  # keys that a grid file sets elsewhere, not in ``set``


def best_grid(search: Search, params: Mapping[str, Any]) -> dict[str, Any]:
    """Make a grid file with one cell: the best trial, with the test sets of the searched cell.

    ``set`` holds every key in which the trial differs from a cell without ``set``. The keys that the searched cell got
    from its own ``set`` and from ``overrides`` are among them, so the grid file needs no ``overrides``.
    """
    trial = search.trial_config(params)
    test_cohorts = list(search.cell.config.evaluate_on)
    group = {
        "model": trial.model.kind,
        "text_encoder": search.cell.text_encoder,
        "train_on": ["+".join(trial.train_on)],
        "evaluate_on": test_cohorts,
    }
    left_out = {"cells", "name", "root", "seeds", "overrides", "axes", "exclude", "other_recipes", "folds", "ensembles"}
    common = search.grid.model_dump(mode="json", exclude=left_out) | {"stores": search.grid.store_addresses}
    head = {"name": f"{search.config.name}-best", "root": str((search.root / "best").resolve())}
    best = {**head, **common, "seeds": [trial.seed], "cells": [group]}
    keys = difference(_default_keys(best), trial.model_dump(mode="json"))
    group["set"] = {key: value for key, value in keys.items() if key not in _NAMED}
    return best


def _default_keys(grid: Mapping[str, Any]) -> dict[str, Any]:
    """RunConfig keys of the grid's one cell without ``set``; empty if they are no valid RunConfig."""
    try:
        (cell,) = expand(parse(GridConfig, grid, source="best"), source="best")
    except UniferumError:
        return {}
    return cell.config.model_dump(mode="json")


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of ``new`` that differ from ``old``; merged into ``old`` they give ``new``."""
    changed: dict[str, Any] = {}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            deeper = difference(before, value)
            changed |= {key: deeper} if deeper else {}
        elif value != before:
            changed[key] = value
    return changed
