"""Steering from another shell: wishes where a driver lives, files where none does."""

from pathlib import Path
from threading import Timer

import pytest

from orchestration.ledger import Ledger
from orchestration.records import CellRecord, Failure, cell_folder
from orchestration.spool import ProgressReporter
from orchestration.steering import Desk, follow_log, last_lines
from tests.orchestration.worlds import cell, grid
from uniferum.errors import UniferumError


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(grid(tmp_path), (cell().name,))


@pytest.fixture
def record(desk: Desk) -> CellRecord:
    folder = cell_folder(desk.grid.cells_folder, cell().name, "aaaaaaaa")
    folder.mkdir(parents=True)
    return CellRecord(folder)


def test_a_wish_reaches_the_living_driver(desk: Desk) -> None:
    driver = Ledger.of(desk.grid)
    driver.take_lease()
    assert "asked of" in desk.wish("parallel", value="3")
    assert [(wish.verb, wish.value) for wish in driver.take_wishes()] == [("parallel", "3")]


def test_without_a_driver_a_cancellation_still_reaches_an_orphan(desk: Desk, record: CellRecord) -> None:
    ProgressReporter(record.folder, steps=4).phase("training")
    assert "1 cells are told to stop" in desk.wish("cancel", cell().name)
    assert record.stop_reason() == "cancelled by hand"


def test_without_a_driver_a_retry_is_left_for_the_next_run(desk: Desk, record: CellRecord) -> None:
    record.write_failure(Failure("user error", "x", 1, 0.0))
    assert "the next uniferum grid run" in desk.wish("retry", cell().name)
    assert record.failure() is None


def test_without_a_driver_there_is_nothing_to_pause(desk: Desk) -> None:
    assert "nothing to pause" in desk.wish("pause")


def test_an_unknown_cell_is_named_with_the_nearest(desk: Desk) -> None:
    with pytest.raises(UniferumError, match="did you mean"):
        desk.wish("cancel", "uniferum-small-CTRAT")


def test_logs_end_where_asked_and_follow_what_comes(record: CellRecord) -> None:
    record.log.write_text("a\nb\nc\n")
    assert last_lines(record.log, 2) == "b\nc"
    following = follow_log(record.log, every_s=0.01)
    writer = Timer(0.3, lambda: record.log.write_text("a\nb\nc\nd\n"))
    writer.start()
    assert next(following) == "d\n"


def test_history_is_one_line_an_event(desk: Desk) -> None:
    ledger = Ledger.of(desk.grid)
    ledger.note("a", "running", attempt=1)
    ledger.note("a", "failed", fault="storage", reason="disk full")
    lines = desk.history("a")
    assert len(lines) == 2
    assert "fault=storage" in lines[1]
