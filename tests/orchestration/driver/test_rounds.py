"""One run of a grid trains the cells that others start from, and then the others."""

from pathlib import Path

import pytest

from orchestration.cluster.preflight import check_space
from orchestration.driver.rounds import first_state, second_round, still_waiting, waiting_for
from orchestration.grid.cells import expand
from orchestration.grid.config import GridConfig
from orchestration.grid.plan import make_plan
from orchestration.grid.states import CellState, PlanState
from orchestration.ledger.summary import GridSummary
from tests.support.started_cells import identity_by_seed, started_grid, train
from uniferum.errors import StateError


def _grid(root: Path) -> GridConfig:
    made = started_grid(root)
    (root / "store" / "reports.parquet").touch()
    return made


def _begun(grid: GridConfig) -> GridSummary:
    planned = make_plan(grid, expand(grid), identity_by_seed)
    return GridSummary({p.cell.name: first_state(p, only_scores=False) for p in planned}, planned)


def test_a_cell_runs_after_the_one_it_waited_for_and_the_other_seed_is_told(tmp_path: Path) -> None:
    grid = _grid(tmp_path)
    summary = _begun(grid)
    assert (summary.states["first"], summary.states["second"]) == (CellState.PENDING, PlanState.NO_DATA)
    train(grid, "first")
    summary.states |= {"first": CellState.DONE, "first-seed1": CellState.FAILED}
    due = second_round(grid, summary, only_scores=False, identity=identity_by_seed)
    assert [p.cell.name for p in due] == ["second"]
    assert summary.states["second"] == CellState.PENDING
    assert still_waiting(summary.planned) == ["second-seed1 was not started: it waits for the cell first-seed1"]
    assert [p.cell.name for p in summary.planned] == [p.cell.name for p in _begun(grid).planned]
    summary.states["second"] = CellState.DONE
    assert summary.exit_code == 1


def test_no_second_round_without_a_finished_start(tmp_path: Path) -> None:
    grid = _grid(tmp_path)
    summary = _begun(grid)
    before = dict(summary.states)
    assert second_round(grid, summary, only_scores=False, identity=identity_by_seed) == []
    assert summary.states == before


def test_a_run_that_only_scores_trains_no_waiting_cell(tmp_path: Path) -> None:
    grid = _grid(tmp_path)
    summary = _begun(grid)
    train(grid, "first")
    assert second_round(grid, summary, only_scores=True, identity=identity_by_seed) == []
    assert summary.states["second"] == CellState.UNTRAINED


def test_what_waiting_cells_need_is_looked_for_if_their_start_is_due(tmp_path: Path) -> None:
    grid = _grid(tmp_path)
    planned = make_plan(grid, expand(grid), identity_by_seed)
    due = [p for p in planned if p.state == PlanState.DUE]
    later = waiting_for(due, planned)
    assert [(p.cell.name, p.state) for p in later] == [("second", PlanState.DUE), ("second-seed1", PlanState.DUE)]
    assert [p.cell.name for p in waiting_for(due[:1], planned)] == ["second"]
    small = grid.replace(resources=grid.resources.replace(checkpoint_gib=1e9))
    with pytest.raises(StateError, match="4 cells of two checkpoints need"):
        check_space(small, [*due, *later])
