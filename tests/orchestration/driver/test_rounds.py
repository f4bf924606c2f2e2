"""One run of a grid trains the cells that others start from, and then the others."""

from pathlib import Path

from orchestration.driver.rounds import first_state, second_round, still_waiting
from orchestration.grid.cells import expand
from orchestration.grid.config import GridConfig
from orchestration.grid.plan import make_plan
from orchestration.grid.states import CellState, PlanState
from orchestration.ledger.summary import GridSummary
from tests.support.started_cells import identity_by_seed, started_grid, train


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
