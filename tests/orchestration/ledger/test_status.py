"""Rows of `grid status`: step, speed, metric and time left of a running cell; a note on a silent one."""

import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from orchestration.attempt.spool import ProgressReporter, append
from orchestration.grid import plan_table
from orchestration.grid.plan import make_plan
from orchestration.grid.planned import PlannedCell
from orchestration.grid.records import CellFolder, CellProgress, Failure
from orchestration.grid.states import Phase, PlanState
from orchestration.ledger import status
from orchestration.ledger import summary as ended
from orchestration.ledger.ledger import CellEntry, Ledger
from orchestration.ledger.summary import GridSummary
from tests.support.small_grids import cell, finish, grid


@pytest.fixture
def planned(tmp_path: Path) -> PlannedCell:
    """A cell whose worker has started."""
    (planned,) = make_plan(grid(tmp_path), [cell()], lambda config, stores: ("a" * 16, "b" * 16))
    assert planned.folder is not None
    planned.folder.mkdir(parents=True)
    return planned


def _entry(planned: PlannedCell) -> CellEntry:
    return CellEntry(planned.cell.name, str(planned.folder), "running", 1, None, None, None, None, time.time(), 0.0)


def test_a_running_cell_shows_step_speed_metric_and_time_left(planned: PlannedCell) -> None:
    assert planned.folder is not None
    reporter = ProgressReporter(planned.folder, steps=4)
    reporter.phase(Phase.TRAINING)
    reporter.metrics(2, {"loss": 0.5, "volumes_per_second": 12.345, "validation/auroc": 0.75})
    reporter.phase(Phase.TRAINING)
    (row,) = status.rows([planned], {planned.cell.name: _entry(planned)})
    assert isinstance(row.state, Phase)
    assert json.loads(json.dumps(row.to_dict()))["state"] == "training"
    shown = dict(zip(status.COLUMNS, row.texts, strict=True))
    assert shown | {"left": ""} == {
        "cell": planned.cell.name,
        "state": "training",
        "step": "2 / 4",
        "volumes/s": "12.3",
        "metric": "0.7500",
        "left": "",
        "note": "",
    }


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, ""), (0.9, "0 s"), (59, "59 s"), (60, "1 min 00 s"), (3599, "59 min 59 s"), (7500, "2 h 05 min")],
)
def test_a_length_of_time_is_shown_in_its_largest_two_units(seconds: float | None, shown: str) -> None:
    assert status.span(seconds) == shown


def test_the_time_left_follows_from_the_pace_of_this_attempt(planned: PlannedCell) -> None:
    assert planned.folder is not None
    now = time.time()
    # From step 20 to step 30 of 100 in 50 seconds: 70 steps of 5 seconds are left.
    progress = CellProgress(30, 100, None, None, None, now - 90, now, base_step=20, base_time=now - 50)
    (planned.folder / "progress.json").write_text(json.dumps(asdict(progress)))
    (row,) = status.rows([planned], {planned.cell.name: _entry(planned)})
    assert dict(zip(status.COLUMNS, row.texts, strict=True))["left"] == "5 min 50 s"


def test_a_cell_after_its_first_step_shows_no_time_left(planned: PlannedCell) -> None:
    assert planned.folder is not None
    reporter = ProgressReporter(planned.folder, steps=4)
    reporter.metrics(1, {"loss": 0.5})
    (row,) = status.rows([planned], {planned.cell.name: _entry(planned)})
    assert dict(zip(status.COLUMNS, row.texts, strict=True))["left"] == ""


def test_a_silent_cell_is_named(planned: PlannedCell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert planned.folder is not None
    ProgressReporter(planned.folder, steps=4).phase(Phase.TRAINING)
    assert CellFolder(planned.folder).progress() is not None
    now = time.time()
    monkeypatch.setattr(status.time, "time", lambda: now + 125)
    (row,) = status.rows([planned], {planned.cell.name: _entry(planned)})
    assert row.note == "silent for 2 min 05 s"


def test_a_cell_whose_masks_stay_empty_says_so_in_status_and_at_the_end(planned: PlannedCell) -> None:
    assert planned.folder is not None
    masks = [{"cohort": "CTRATE", "n_structures": 60, "n_empty": 60}]
    finish(planned.folder, "a" * 16, "b" * 16, masks=masks)
    (row,) = status.rows([planned], {})
    assert row.note == "masks stay empty: nothing is drawn on CTRATE"
    summary = GridSummary(planned=[planned])
    assert ended.mask_notes(summary) == [f"{planned.cell.name}: masks stay empty: nothing is drawn on CTRATE"]


def test_the_failed_table_names_each_failed_cell_why_and_its_log(planned: PlannedCell) -> None:
    planned.record.write_failure(Failure("user error", "NaN loss at step 3", 1, time.time()))
    done, absent = cell("uniferum-small-CTRATE-seed1"), cell("uniferum-small-CTRATE-seed2")
    others = [
        PlannedCell(done, PlanState.DONE, "finished at step 4", planned.folder, None, None, None),
        PlannedCell(absent, PlanState.NO_DATA, "data absent: CTRATE", None, None, None, None),
    ]
    states = {planned.cell.name: "failed", done.name: "done", absent.name: PlanState.NO_DATA}
    assert ended.failures(GridSummary(states=states, planned=[planned, *others])) == [
        (planned.cell.name, "user error: NaN loss at step 3", str(planned.record.log)),
        (absent.name, "data absent: CTRATE", ""),
    ]


def test_cells_without_a_result_are_listed_apart_from_those_to_be_scored_again(tmp_path: Path) -> None:
    states = (PlanState.DONE, PlanState.RESCORE, PlanState.DUE, PlanState.RESUMABLE, PlanState.NO_DATA)
    planned = [PlannedCell(cell(state), state, "", tmp_path, None, None, None) for state in states]
    assert ended.untrained(GridSummary(planned=planned)) == [PlanState.DUE, PlanState.RESUMABLE]


@pytest.mark.parametrize(
    ("resources", "row", "total"),
    [
        ({"gpus": 4, "workers": 4}, "6.00 (declared)", "6.0 GPU-hours left"),
        ({"gpus": 0.5}, "0.75 (declared)", "0.8 GPU-hours left"),
        ({"cpus": 4, "workers": 4}, "1.50 (declared)", "1.5 hours left"),
    ],
)
def test_rows_and_total_count_the_hours_of_every_gpu_of_a_cell(
    tmp_path: Path, resources: dict[str, float], row: str, total: str
) -> None:
    where = grid(tmp_path, resources=resources)
    planned = [PlannedCell(cell(), PlanState.DUE, "never ran", tmp_path, None, None, 1.5)]
    shown = dict(zip(plan_table.plan_columns(where), plan_table.plan_rows(where, planned)[0], strict=True))
    assert shown["GPU-hours" if "gpus" in resources else "hours"] == row
    assert total in plan_table.plan_totals(where, planned)


def test_scoring_again_counts_no_hours_of_training(tmp_path: Path) -> None:
    planned = [
        PlannedCell(cell("a"), PlanState.RESCORE, "", tmp_path, None, None, 0.5),
        PlannedCell(cell("b"), PlanState.DUE, "", tmp_path, None, None, 100.0),
    ]
    assert plan_table.score_totals(grid(tmp_path), planned) == "1 of 2 cells would be scored again; 0.5 hours"


def test_a_grid_has_ended_when_no_driver_is_alive(tmp_path: Path) -> None:
    driven = grid(tmp_path)
    assert status.ended(driven)
    assert not driven.root.exists(), "looking makes nothing"
    ledger = Ledger.of(driven)
    token = ledger.take_lease()
    assert token is not None
    assert not status.ended(driven)
    ledger.release(token)
    assert status.ended(driven)


def test_a_ledger_that_does_not_answer_does_not_mean_the_grid_has_ended(tmp_path: Path) -> None:
    assert not status.ended(grid(tmp_path, ledger="postgresql://grid@127.0.0.1:1/grids"))


@pytest.mark.parametrize(("tracking", "shown"), [({}, True), ({"enabled": False}, False)])
def test_a_finished_cell_whose_records_are_not_in_mlflow_is_marked_until_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracking: dict[str, object], shown: bool
) -> None:
    made = grid(tmp_path, tracking=tracking)
    (planned,) = make_plan(made, [cell()], lambda config, stores: ("a" * 16, "b" * 16))
    assert planned.folder is not None
    finish(planned.folder, "a" * 16, "b" * 16)
    append(planned.folder, {"params": {}})
    planned = replace(planned, state=PlanState.DONE)
    monkeypatch.setattr(status, "plan_states", lambda grid, cells: [planned])
    (row,), headline = status.status_of(made, [cell()])
    assert (row.note == "not all records are in MLflow") is shown
    assert ("1 not all in MLflow (grid run or grid evaluate sends the rest)" in headline) is shown
    sent = {"uri": "s", "run_id": "r", "offset": planned.record.spool.stat().st_size, "last_step": {}}
    planned.record.spool.with_name("spool.sent.json").write_text(json.dumps(sent))
    at = int(planned.record.files.result.stat().st_mtime * 1000)
    planned.record.spool.with_name("spooled.json").write_text(json.dumps({"result_time": at}))
    (row,), headline = status.status_of(made, [cell()])
    assert (row.note, "MLflow" in headline) == ("", False)
