"""One entry in the table of systems is all that a new system needs: grid, report, verdict and MLflow tags find it."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor

from orchestration.grid.cells import expand
from orchestration.grid.config import load_grid
from orchestration.grid.planned import PlannedCell
from orchestration.tracking.sync import tags_of
from uniferum.errors import UniferumError
from uniferum.model.base import Model, RowOutput
from uniferum.model.registry import build_model, builder_of
from uniferum.preprocessing.geometry import Geometry
from uniferum.report.read_records import read_cell
from uniferum.report.records import row_order
from uniferum.report.tables.rendering import row_names
from uniferum.report.unfinished import unfinished
from uniferum.systems import SYSTEMS, System

TOY = System("toy", "Toy Net", f"{__name__}:build_toy", text=True, trained_by_paper=True)


class ToyNet(Model):
    """Answers with the mean intensity."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.tokens_shape, self.patch = shape, 1

    def encode(self, volume: Tensor) -> Tensor:
        return volume.mean(dim=(1, 2, 3, 4))

    def read(self, visual, row_volume, prompts, labels, mask_rows=None) -> RowOutput:
        return RowOutput(visual[row_volume], None)


def build_toy(config, model_shape, labels, weights_dir, *, pretrained=True):
    return ToyNet(model_shape)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(SYSTEMS, TOY.name, TOY)
    return TOY.name


def _grid(folder: Path, **group: object) -> Path:
    grid = {
        "name": "g",
        "root": str(folder / "runs"),
        "stores": {"CTRATE": "a"},
        "evaluate_on": ["CTRATE"],
        "text_encoders": {"small": {"name": "tiny", "hidden": 32}},
        "cells": [{"train_on": "CTRATE", **group}],
    }
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid))
    return folder / "grid.yaml"


def test_a_grid_names_it_and_its_tags_say_so(tmp_path: Path, toy: str) -> None:
    (cell,) = expand(load_grid(_grid(tmp_path, model=toy, text_encoder="small")))
    assert (cell.name, cell.config.model.kind) == ("toy-small-CTRATE", "toy")
    tags = tags_of(PlannedCell(cell, "new", "", None, None, None, None))
    assert (tags["uniferum.model"], tags["uniferum.text_encoder"]) == ("toy", "tiny-32")


def test_it_is_built_from_its_config(tmp_path: Path, toy: str) -> None:
    (cell,) = expand(load_grid(_grid(tmp_path, model=toy)))
    model = build_model(cell.config.model, Geometry(), ("emphysema",), 0)
    assert model(torch.full((1, 1, 2, 2, 2), 0.25), ["Is it there?"]).tolist() == [[0.25]]


def test_the_report_shows_its_title_and_holds_it_against_the_papers_row(tmp_path: Path, toy: str) -> None:
    config = {"name": "toy-CTRATE", "train_on": ["CTRATE"], "model": {"kind": toy, "text": {"name": "tiny"}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (waiting,) = unfinished(tmp_path)
    (tmp_path / "result.json").write_text(json.dumps({**config, "model": toy, "groups": []}))
    done = read_cell(tmp_path)
    assert row_names(done.row) == row_names(waiting.row) == ["Toy Net", "tiny", "CTRATE"]
    assert done.other_system == "its config is not recorded"  # a system of the paper, so its config is compared
    assert sorted([done.row, ("absent", "", "CTRATE"), ("cnn", "", "CTRATE")], key=row_order)[1] == done.row


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_registered_builder_exists_under_the_name_of_its_entry(name: str) -> None:
    assert SYSTEMS[name].name == name
    assert callable(builder_of(SYSTEMS[name]))


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_cell_group_may_name_any_system(tmp_path: Path, name: str) -> None:
    (cell,) = expand(load_grid(_grid(tmp_path, model=name)))
    assert (cell.name, cell.config.model.kind) == (f"{name}-CTRATE", name)


def test_an_unknown_system_is_refused_with_the_closest_name(tmp_path: Path) -> None:
    with pytest.raises(UniferumError, match=r"cells\.0\.model.*did you mean 'ct_net'"):
        load_grid(_grid(tmp_path, model="ctnet"))


def test_a_set_that_changes_the_system_is_refused_with_what_to_write_instead(tmp_path: Path) -> None:
    path = _grid(tmp_path, model="cnn", set={"model": {"kind": "ct_net"}})
    with pytest.raises(UniferumError) as refused:
        expand(load_grid(path), source="grid.yaml")
    assert str(refused.value) == (
        "grid.yaml: cell cnn-CTRATE: model.kind in set (ct_net) must be the system that the cell group names (cnn); "
        "write `model: ct_net` in a cell group instead"
    )
    (same,) = expand(load_grid(_grid(tmp_path, model="cnn", set={"model": {"kind": "cnn"}})))
    assert same.name == "cnn-CTRATE"
