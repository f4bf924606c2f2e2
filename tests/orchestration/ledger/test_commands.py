"""Steering from another shell: wishes where a driver lives, files where none does."""

from pathlib import Path
from threading import Timer

import pytest
import yaml

from orchestration.attempt.spool import ProgressReporter
from orchestration.grid.plan import make_plan
from orchestration.grid.records import CellFolder, Failure, cell_folder
from orchestration.ledger import commands
from orchestration.ledger.commands import EVENT_COLUMNS, GridClient, follow_log, last_lines
from orchestration.ledger.ledger import Ledger
from tests.orchestration.worlds import cell, finish, grid
from uniferum.errors import UniferumError

TRAINING, EVALUATION = "aaaaaaaa11111111", "bbbbbbbb22222222"
OTHER = "uniferum-small-CTRATE-seed1"


@pytest.fixture(autouse=True)
def identities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell has the same fingerprints, since the store holds nothing."""
    known = lambda config, stores: (TRAINING, EVALUATION)  # noqa: E731
    monkeypatch.setattr(commands, "make_plan", lambda grid, cells: make_plan(grid, cells, known))


@pytest.fixture
def desk(tmp_path: Path) -> GridClient:
    return GridClient(grid(tmp_path), (cell(), cell(OTHER)))


@pytest.fixture
def driver(desk: GridClient) -> Ledger:
    """A driver that lives, and whose run has the first cell only."""
    ledger = Ledger.of(desk.grid)
    ledger.take_lease()
    ledger.note(cell().name, "failed", fault="user error", reason="x")
    return ledger


@pytest.fixture
def record(desk: GridClient) -> CellFolder:
    folder = cell_folder(desk.grid.cells_folder, cell().name, TRAINING)
    folder.mkdir(parents=True)
    return CellFolder(folder)


def test_a_grid_is_steered_with_the_settings_that_it_is_run_with(tmp_path: Path) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text(yaml.safe_dump(grid(tmp_path).model_dump(mode="json", exclude_none=True)))
    elsewhere = GridClient.open(file, [f"root={tmp_path / 'elsewhere'}"])
    assert elsewhere.grid.root == tmp_path / "elsewhere"
    assert elsewhere.names == [cell().name]


def test_a_wish_reaches_the_living_driver(desk: GridClient, driver: Ledger) -> None:
    assert "asked of" in desk.wish("parallel", value="3")
    assert [(wish.verb, wish.value) for wish in driver.take_wishes()] == [("parallel", "3")]


def test_without_a_driver_a_cancellation_still_reaches_an_orphan(desk: GridClient, record: CellFolder) -> None:
    ProgressReporter(record.folder, steps=4).phase("training")
    assert "1 cells are told to stop" in desk.wish("cancel", cell().name)
    assert record.stop_reason() == "cancelled by hand"


def test_without_a_driver_a_retry_is_left_for_the_next_run(desk: GridClient, record: CellFolder) -> None:
    record.write_failure(Failure("user error", "x", 1, 0.0))
    assert "the next uniferum grid run" in desk.wish("retry", cell().name)
    assert record.failure() is None


def test_a_retry_of_a_failed_cell_reaches_the_driver(desk: GridClient, driver: Ledger) -> None:
    assert "asked of" in desk.wish("retry", cell().name)
    assert [(wish.verb, wish.cell) for wish in driver.take_wishes()] == [("retry", cell().name)]


@pytest.mark.parametrize("verb", ["retry", "cancel", "priority"])
def test_a_cell_that_the_driver_does_not_have_is_answered_with_its_state(
    desk: GridClient, driver: Ledger, verb: str
) -> None:
    with pytest.raises(UniferumError, match=r"be among the cells that .* runs; it is due: never ran"):
        desk.wish(verb, OTHER, "1")
    assert not driver.take_wishes()


def test_a_cell_of_an_earlier_run_is_not_taken_for_one_of_this(desk: GridClient, driver: Ledger) -> None:
    finish(cell_folder(desk.grid.cells_folder, OTHER, TRAINING), TRAINING, EVALUATION)
    driver.note(OTHER, "stopped")
    driver.set_fact("began", str(driver.entries()[OTHER].updated + 0.001))
    with pytest.raises(UniferumError, match="it is done: finished at step 4"):
        desk.wish("retry", OTHER)


@pytest.mark.parametrize("state", ["pending", "running", "done"])
def test_a_cell_that_has_not_failed_is_not_tried_again(desk: GridClient, driver: Ledger, state: str) -> None:
    driver.note(cell().name, state)
    with pytest.raises(UniferumError, match=f"it is {state}"):
        desk.wish("retry", cell().name)
    assert not driver.take_wishes()


def test_without_a_driver_a_done_cell_is_not_tried_again(desk: GridClient) -> None:
    finish(cell_folder(desk.grid.cells_folder, cell().name, TRAINING), TRAINING, EVALUATION)
    with pytest.raises(UniferumError, match="it is done: finished at step 4"):
        desk.wish("retry", cell().name)


def test_without_a_driver_a_cell_without_its_data_says_so(desk: GridClient, tmp_path: Path) -> None:
    (tmp_path / "store" / "store.json").unlink()
    with pytest.raises(UniferumError, match="it is no data: data absent: CTRATE"):
        desk.wish("retry", cell().name)


def test_without_a_driver_there_is_nothing_to_pause(desk: GridClient) -> None:
    assert "nothing to pause" in desk.wish("pause")


def test_looking_and_wishing_make_no_ledger_where_there_is_none(desk: GridClient) -> None:
    desk.wish("pause")
    assert desk.history(None) == []
    assert not desk.grid.root.exists()


def test_an_unknown_cell_is_named_with_the_nearest(desk: GridClient) -> None:
    with pytest.raises(UniferumError, match="did you mean"):
        desk.wish("cancel", "uniferum-small-CTRAT")


def _append(log: Path, text: str) -> None:
    with log.open("a", encoding="utf-8") as end:
        end.write(text)


def test_logs_end_where_asked_and_follow_what_comes(record: CellFolder) -> None:
    record.log.write_text("a\nb\nc\n")
    assert last_lines(record.log, 0) == ("a\nb\nc\n", 6)
    assert last_lines(record.log, 2) == ("b\nc\n", 6)
    following = follow_log(record.log, 6, every_s=0.01)
    Timer(0.3, _append, (record.log, "d\n")).start()
    assert next(following) == "d\n"


def test_following_loses_no_line_that_came_since_the_first_print(record: CellFolder) -> None:
    _append(record.log, "a\n")
    _, end = last_lines(record.log, 0)
    _append(record.log, "é\n")
    assert next(follow_log(record.log, end)) == "é\n"


def test_following_goes_on_when_an_attempt_begins_the_log_anew(record: CellFolder) -> None:
    record.log.write_text("a long first attempt\n")
    following = follow_log(record.log, 0, every_s=0.01)
    assert next(following) == "a long first attempt\n"
    record.log.write_text("cut\n")
    assert next(following) == "cut\n"
    _append(record.log, "last words\n")
    (record.folder / "new").write_text("replaced, and longer than before\n")
    (record.folder / "new").replace(record.log)
    assert next(following) == "last words\n"
    assert next(following) == "replaced, and longer than before\n"


def test_following_waits_while_there_is_no_log(record: CellFolder) -> None:
    record.log.write_text("a\n")
    following = follow_log(record.log, 0, every_s=0.01)
    assert next(following) == "a\n"
    record.log.unlink()
    Timer(0.1, record.log.write_text, ("b\n",)).start()
    assert next(following) == "b\n"


def test_history_lists_the_events_with_the_same_keys_each(desk: GridClient) -> None:
    ledger = Ledger.of(desk.grid)
    ledger.note(cell().name, "running", attempt=1)
    ledger.note(cell().name, "failed", fault="storage", reason="disk full")
    first, second = desk.history(cell().name)
    assert (first["state"], first["attempt"], first["fault"]) == ("running", 1, None)
    assert (second["fault"], second["reason"]) == ("storage", "disk full")
    assert list(first) == list(second) == list(EVENT_COLUMNS)
