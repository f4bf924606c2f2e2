"""Cells that start from the weights of another cell, and cells that wait for reports or a checkpoint."""

import json
from pathlib import Path

import pytest

from orchestration.grid.cells import expand, select
from orchestration.grid.config import GridConfig
from orchestration.grid.plan import make_plan, startable
from orchestration.grid.planned import PlannedCell
from orchestration.grid.states import PlanState
from tests.support.started_cells import identity_by_seed, started_grid, train
from uniferum.errors import UniferumError


def _plan(grid: GridConfig) -> dict[str, PlannedCell]:
    return {planned.cell.name: planned for planned in make_plan(grid, expand(grid), identity_by_seed)}


def test_a_cell_waits_for_the_cell_whose_weights_it_starts_from(tmp_path: Path) -> None:
    grid = started_grid(tmp_path)
    (tmp_path / "store" / "reports.parquet").touch()
    planned = _plan(grid)
    assert (planned["first"].state, planned["second"].state) == (PlanState.DUE, PlanState.NO_DATA)
    assert planned["second-seed1"].why == "waits for the cell first-seed1"


def test_it_starts_from_the_best_checkpoint_of_its_own_seed(tmp_path: Path) -> None:
    grid = started_grid(tmp_path)
    (tmp_path / "store" / "reports.parquet").touch()
    weights = train(grid, "first-seed1")
    planned = _plan(grid)
    assert planned["second-seed1"].state == PlanState.DUE
    assert planned["second-seed1"].cell.config.model.ct_clip.checkpoint == str(weights)
    assert planned["second"].state == PlanState.NO_DATA


def test_cells_that_waited_can_start_once_the_other_is_trained(tmp_path: Path) -> None:
    grid = started_grid(tmp_path)
    (tmp_path / "store" / "reports.parquet").touch()
    planned = list(_plan(grid).values())
    assert startable(grid, planned, identity_by_seed) == []
    train(grid, "first-seed1")
    assert [p.cell.name for p in startable(grid, planned, identity_by_seed)] == ["second-seed1"]


@pytest.mark.parametrize(
    ("start", "fault"),
    [
        (
            "cell:frist",
            r"second: model\.ct_clip\.checkpoint \(frist\) must be a cell .* did you mean 'first'",
        ),
        ("cell:second", r"\(second\) must be a cell that starts from no other cell"),
    ],
)
def test_a_start_that_cannot_be_is_refused_with_the_cell(tmp_path: Path, start: str, fault: str) -> None:
    with pytest.raises(UniferumError, match=fault):
        expand(started_grid(tmp_path, start), source="grid.yaml")


def test_a_training_on_reports_waits_for_them_with_the_command(tmp_path: Path) -> None:
    planned = _plan(started_grid(tmp_path))
    assert planned["first"].state == PlanState.NO_DATA
    assert "reports of CTRATE (uniferum data reports configs/cohorts/ct_rate.yaml --store" in planned["first"].why


def test_the_command_for_reports_names_the_file_and_folder_that_the_store_was_prepared_from(tmp_path: Path) -> None:
    grid = started_grid(tmp_path)
    cohort = {"name": "CTRATE", "config": "configs/cohorts/demo_ct_rate.yaml", "root": "demo/phantoms/ct rate"}
    (tmp_path / "store" / "store.json").write_text(json.dumps({"cohort": cohort}))
    command = "uniferum data reports configs/cohorts/demo_ct_rate.yaml --root 'demo/phantoms/ct rate' --store"
    assert command in _plan(grid)["first"].why


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    planned = _plan(started_grid(tmp_path, "weights/clip.pt"))
    assert planned["second"].why == "data absent: checkpoint weights/clip.pt"


def test_cells_are_selected_by_a_pattern_of_their_names(tmp_path: Path) -> None:
    cells = expand(started_grid(tmp_path))
    assert [cell.name for cell in select(cells, ["second*"])] == ["second", "second-seed1"]
    with pytest.raises(UniferumError, match="must be a cell of the grid"):
        select(cells, ["third*"])
