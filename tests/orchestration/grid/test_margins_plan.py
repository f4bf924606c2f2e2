"""A plan names the columns whose declared margin the test scans and seeds cannot decide."""

from pathlib import Path

from orchestration.grid.config import GridConfig
from orchestration.grid.margins_plan import margin_lines
from tests.support.small_stores import SMALL, write_store

SPLITS = ("train",) * 2 + ("validation",) * 2 + ("test",) * 4
EMBOLISM = [0, 1, 0, 1, 1, 1, 0, 1]


def _grid(root: Path, **facts: object) -> GridConfig:
    return GridConfig.model_validate(
        {
            "name": "g",
            "root": root / "runs",
            "stores": {"INSPECT": root / "inspect", "CTRATE": root / "absent"},
            "evaluate_on": ["INSPECT", "CTRATE"],
            "text_encoders": {"small": {"name": "tiny"}},
            "cells": [{"text_encoder": "small", "train_on": ["INSPECT"]}],
            "defaults": {"geometry": SMALL.model_dump(mode="json")},
            "margins": {"auroc": 0.02},
            **facts,
        }
    )


def test_undecidable_margins_are_named_with_scans_positives_and_seeds(tmp_path: Path) -> None:
    write_store(tmp_path / "inspect", "INSPECT", SPLITS, {"pulmonary_embolism": EMBOLISM})
    (line,) = margin_lines(_grid(tmp_path))
    assert line.startswith("INSPECT unique: ±0.02 cannot be decided with 4 scans, 3 positives and one seed; ±")
    assert "3 seeds" in margin_lines(_grid(tmp_path, seeds=[0, 1, 2]))[0]
    assert margin_lines(_grid(tmp_path, margins={"INSPECT unique": 5.0})) == []
    assert margin_lines(_grid(tmp_path, synthetic=True)) == []
