"""Folds of a grid file: one cell for each fold, their names, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from orchestration.grid.cells import Cell, expand, select
from orchestration.grid.config import GridConfig
from orchestration.grid.data_plan import DataPlan
from orchestration.grid.folds import GridFolds
from orchestration.grid.plan import make_plan
from orchestration.grid.plan_table import plan_objects
from tests.support.small_grids import grid as small_grid
from tests.support.small_stores import SMALL, write_store
from uniferum.config import parse
from uniferum.data.folds import Folds
from uniferum.errors import UniferumError

LR = {"lr": {"key": "optim.lr", "values": [1.0e-4, 2.0e-4]}}


def cells_of(root: Path, entry: dict[str, Any] | None = None, **changes: Any) -> list[Cell]:
    entry = {"text_encoder": "small", "train_on": "CTRATE", **(entry or {})}
    return expand(small_grid(root, **{"cells": [entry], **changes}), source="grid.yaml")


def names(cells: list[Cell]) -> list[str]:
    return [cell.name.removeprefix("uniferum-small-CTRATE") for cell in cells]


def test_each_fold_and_seed_is_a_cell_named_by_both(tmp_path: Path) -> None:
    cells = cells_of(tmp_path, folds=3, seeds=[0, 2])
    assert names(cells) == ["-fold0", "-fold1", "-fold2", "-fold0-seed2", "-fold1-seed2", "-fold2-seed2"]
    assert [cell.config.folds_of("CTRATE") for cell in cells[:3]] == [Folds(3, fold) for fold in range(3)]
    assert [cell.axes for cell in cells[:2]] == [{"fold": "0"}, {"fold": "1"}]


def test_an_entry_has_folds_of_its_own_and_a_cell_without_folds_stays_as_it_is(tmp_path: Path) -> None:
    folds = {"count": 3, "seed": 7, "nested": True}
    plain = {"text_encoder": "small", "train_on": "CTRATE", "vary": "lr"}
    cells = cells_of(tmp_path, axes=LR, cells=[plain, {**plain, "name": "cross", "folds": folds}])
    assert [cell.name for cell in cells[2:4]] == ["cross-lr1e-4-fold0", "cross-lr1e-4-fold1"]
    assert [cell.config.folds_of("CTRATE") for cell in cells[2:5]] == [Folds(3, fold, 7, True) for fold in range(3)]
    assert cells[:2] == cells_of(tmp_path, {"vary": "lr"}, axes=LR)


def test_the_folds_of_an_entry_replace_those_of_the_grid(tmp_path: Path) -> None:
    assert names(cells_of(tmp_path, {"folds": 2}, folds={"count": 5, "seed": 1})) == ["-fold0", "-fold1"]


def test_conditions_name_the_fold(tmp_path: Path) -> None:
    rule = {"when": {"fold": [0, 2]}, "set": {"optim": {"warmup_steps": 7}}}
    cells = cells_of(tmp_path, folds=4, exclude=[{"fold": 3}], overrides=[rule])
    assert names(cells) == ["-fold0", "-fold1", "-fold2"]
    assert [cell.config.optim.warmup_steps == 7 for cell in cells] == [True, False, True]
    assert names(select(cells, ["fold=1"])) == ["-fold1"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"exclude": [{"fold": 5}]}, "exclude.0 (fold=5) must name values of axis fold; its values: 0, 1"),
        ({"axes": {"fold": {"key": "optim.lr", "values": [1]}}}, "axes.fold must have another name"),
        ({"entry": {"set": {"data": {"fold": 1}}}}, "(data.fold) must be set once, but axis fold and set of the entry"),
    ],
)
def test_what_contradicts_the_folds_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UniferumError) as caught:
        cells_of(tmp_path, **{"folds": 2, **changes})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("folds", "said"),
    [
        (1, "grid.yaml: folds.count (1) must be greater than or equal to 2"),
        ({"count": 2, "nested": True}, "have a count of 3 or more if nested"),
        (True, "be a number of folds, or a mapping of count, seed and nested"),
        ("five", "be a number of folds, or a mapping of count, seed and nested"),
        ({"count": 5, "sed": 1}, "did you mean 'seed'"),
    ],
)
def test_a_wrong_division_is_one_line(tmp_path: Path, folds: object, said: str) -> None:
    keys = small_grid(tmp_path).model_dump(exclude_none=True)
    with pytest.raises(UniferumError) as caught:
        parse(GridConfig, {**keys, "folds": folds}, source="grid.yaml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store") / "ctrate"
    splits = ("train",) * 8 + ("validation",) * 2 + ("test",) * 2
    write_store(root, "CTRATE", splits, {"emphysema": [0, 1] * 6})
    return root


def planned(root: Path, store: Path, folds: int) -> DataPlan:
    defaults = {"geometry": SMALL.model_dump(mode="json"), "model": {"encoder": {"stride": 8}}}
    grid = small_grid(root, stores={"CTRATE": store}, defaults=defaults, folds=folds)
    return DataPlan(grid, make_plan(grid, expand(grid)))


def test_the_plan_shows_each_fold_with_its_scans(tmp_path: Path, store: Path) -> None:
    data = planned(tmp_path, store, 5)
    assert [one["axes"] for one in plan_objects(data.grid, data.planned)] == [{"fold": str(n)} for n in range(5)]
    counted = [one.texts[:3] for one in data.cohort_rows()]
    assert counted == [(f"CTRATE, fold {fold} of 5", "1", "8") for fold in range(5)]
    data.refuse()


def test_more_folds_than_patients_are_refused_before_the_grid_starts(tmp_path: Path, store: Path) -> None:
    with pytest.raises(UniferumError, match=r"patients to divide \(10\) must be at least the number of folds \(11\)"):
        planned(tmp_path, store, 11).refuse()


def test_equal_divisions_have_one_axis() -> None:
    assert GridFolds.model_validate(5) == GridFolds(count=5, seed=0)
