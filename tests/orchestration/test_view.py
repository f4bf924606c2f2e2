"""The rows that people watch: a cell under way with its step, speed, metric and time left; a silent one is named."""

import time
from pathlib import Path

import pytest

from orchestration import view
from orchestration.plan import Planned, make_plan
from orchestration.records import CellRecord
from orchestration.spool import ProgressReporter
from tests.orchestration.worlds import cell, grid


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    """A cell whose worker has begun."""
    (found,) = make_plan(grid(tmp_path), [cell()], lambda config, stores: ("a" * 16, "b" * 16))
    assert found.folder is not None
    found.folder.mkdir(parents=True)
    return found


def _entry(planned: Planned) -> view.Entry:
    return view.Entry(planned.cell.name, str(planned.folder), "running", 1, None, None, None, None, time.time(), 0.0)


def test_a_running_cell_shows_step_speed_metric_and_time_left(planned: Planned) -> None:
    assert planned.folder is not None
    reporter = ProgressReporter(planned.folder, steps=4)
    reporter.phase("training")
    reporter.metrics(2, {"loss": 0.5, "volumes_per_second": 12.345, "validation/auroc": 0.75})
    reporter.phase("training")
    (row,) = view.rows([planned], {planned.cell.name: _entry(planned)})
    shown = dict(zip(view.COLUMNS, row.texts, strict=True))
    assert shown | {"left": ""} == {
        "cell": planned.cell.name,
        "state": "training",
        "step": "2 / 4",
        "volumes/s": "12.3",
        "metric": "0.7500",
        "left": "",
        "note": "",
    }


def test_a_silent_cell_is_named(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    assert planned.folder is not None
    ProgressReporter(planned.folder, steps=4).phase("training")
    assert CellRecord(planned.folder).progress() is not None
    now = time.time()
    monkeypatch.setattr(view.time, "time", lambda: now + 125)
    (row,) = view.rows([planned], {planned.cell.name: _entry(planned)})
    assert row.note == "silent for 2 min 05 s"
