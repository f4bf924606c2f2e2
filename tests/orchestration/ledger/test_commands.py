"""Control a grid from another shell: commands to a live driver, files where there is none."""

from pathlib import Path
from threading import Timer

import pytest
import yaml

from orchestration.attempt.spool import ProgressReporter
from orchestration.grid.plan import make_plan
from orchestration.grid.records import CellFolder, Failure, cell_folder
from orchestration.grid.states import Phase
from orchestration.ledger import commands
from orchestration.ledger.commands import EVENT_COLUMNS, GridClient, follow_log, last_lines
from orchestration.ledger.ledger import Ledger
from tests.support.small_grids import cell, finish, grid
from uniferum.errors import UniferumError

TRAINING, EVALUATION = "aaaaaaaa11111111", "bbbbbbbb22222222"
OTHER = "uniferum-small-CTRATE-seed1"


@pytest.fixture(autouse=True)
def identities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every cell the same fingerprints: the store is empty."""
    known = lambda config, stores: (TRAINING, EVALUATION)  # noqa: E731
    monkeypatch.setattr(commands, "make_plan", lambda grid, cells: make_plan(grid, cells, known))


@pytest.fixture
def client(tmp_path: Path) -> GridClient:
    return GridClient(grid(tmp_path), (cell(), cell(OTHER)))


@pytest.fixture
def driver(client: GridClient) -> Ledger:
    """A live driver that runs only the first cell."""
    ledger = Ledger.of(client.grid)
    ledger.take_lease()
    ledger.note(cell().name, "failed", fault="user error", reason="x")
    return ledger


@pytest.fixture
def record(client: GridClient) -> CellFolder:
    folder = cell_folder(client.grid.cells_folder, cell().name, TRAINING)
    folder.mkdir(parents=True)
    return CellFolder(folder)


def test_a_client_loads_the_grid_with_the_overrides_of_its_run(tmp_path: Path) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text(yaml.safe_dump(grid(tmp_path).model_dump(mode="json", exclude_none=True)))
    elsewhere = GridClient.open(file, [f"root={tmp_path / 'elsewhere'}"])
    assert elsewhere.grid.root == tmp_path / "elsewhere"
    assert elsewhere.names == [cell().name]


def test_the_log_of_a_cell_that_finished_under_another_name_is_found(client: GridClient) -> None:
    with pytest.raises(UniferumError, match="has not started yet"):
        client.log(cell().name)
    former = cell_folder(client.grid.cells_folder, "former", TRAINING)
    finish(former, TRAINING, EVALUATION, name="former")
    assert client.log(cell().name) == former / "cell.log"


def test_a_command_reaches_the_live_driver(client: GridClient, driver: Ledger) -> None:
    assert "sent to the driver" in client.send("parallel", value="3")
    assert [(command.verb, command.value) for command in driver.take_commands()] == [("parallel", "3")]


def test_without_a_driver_a_cancellation_still_reaches_an_orphan(client: GridClient, record: CellFolder) -> None:
    ProgressReporter(record.folder, steps=4).phase(Phase.TRAINING)
    assert "1 cells are asked to stop" in client.send("cancel", cell().name)
    assert record.stop_reason() == "cancelled by hand"


def test_without_a_driver_a_retry_is_left_for_the_next_run(client: GridClient, record: CellFolder) -> None:
    record.write_failure(Failure("user error", "x", 1, 0.0))
    assert "the next `uniferum grid run`" in client.send("retry", cell().name)
    assert record.failure() is None


def test_a_retry_of_a_failed_cell_reaches_the_driver(client: GridClient, driver: Ledger) -> None:
    assert "sent to the driver" in client.send("retry", cell().name)
    assert [(command.verb, command.cell) for command in driver.take_commands()] == [("retry", cell().name)]


@pytest.mark.parametrize("verb", ["retry", "cancel", "priority"])
def test_a_command_for_a_cell_that_the_driver_does_not_run_is_refused_with_its_state(
    client: GridClient, driver: Ledger, verb: str
) -> None:
    with pytest.raises(UniferumError, match=r"The driver .* does not run cell .*, which is due: never ran"):
        client.send(verb, OTHER, "1")
    assert not driver.take_commands()


def test_a_cell_of_an_earlier_run_is_not_one_of_this_run(client: GridClient, driver: Ledger) -> None:
    finish(cell_folder(client.grid.cells_folder, OTHER, TRAINING), TRAINING, EVALUATION)
    driver.note(OTHER, "stopped")
    driver.set_fact("began", str(driver.entries()[OTHER].updated + 0.001))
    with pytest.raises(UniferumError, match="is done: finished at step 4"):
        client.send("retry", OTHER)


@pytest.mark.parametrize("state", ["pending", "running", "done"])
def test_a_cell_that_has_not_failed_is_not_tried_again(client: GridClient, driver: Ledger, state: str) -> None:
    driver.note(cell().name, state)
    with pytest.raises(UniferumError, match=f"is {state}"):
        client.send("retry", cell().name)
    assert not driver.take_commands()


def test_without_a_driver_a_done_cell_is_not_tried_again(client: GridClient) -> None:
    finish(cell_folder(client.grid.cells_folder, cell().name, TRAINING), TRAINING, EVALUATION)
    with pytest.raises(UniferumError, match="is done: finished at step 4"):
        client.send("retry", cell().name)


def test_without_a_driver_a_cell_without_its_data_says_so(client: GridClient, tmp_path: Path) -> None:
    (tmp_path / "store" / "store.json").unlink()
    with pytest.raises(UniferumError, match="it is no data: data absent: CTRATE"):
        client.send("retry", cell().name)


def test_without_a_driver_there_is_nothing_to_pause(client: GridClient) -> None:
    assert "nothing to pause" in client.send("pause")


def test_reading_and_sending_commands_create_no_ledger(client: GridClient) -> None:
    client.send("pause")
    assert client.history(None) == []
    assert not client.grid.root.exists()


def test_an_unknown_cell_is_refused_with_the_nearest_name(client: GridClient) -> None:
    with pytest.raises(UniferumError, match="did you mean"):
        client.send("cancel", "uniferum-small-CTRAT")


def _append(log: Path, text: str) -> None:
    with log.open("a", encoding="utf-8") as end:
        end.write(text)


def test_last_lines_and_then_what_is_appended(record: CellFolder) -> None:
    record.log.write_text("a\nb\nc\n")
    assert last_lines(record.log, 0) == ("a\nb\nc\n", 6)
    assert last_lines(record.log, 2) == ("b\nc\n", 6)
    following = follow_log(record.log, 6, every_s=0.01)
    Timer(0.3, _append, (record.log, "d\n")).start()
    assert next(following) == "d\n"


def test_following_loses_no_line_written_after_the_first_read(record: CellFolder) -> None:
    _append(record.log, "a\n")
    _, end = last_lines(record.log, 0)
    _append(record.log, "é\n")
    assert next(follow_log(record.log, end)) == "é\n"


def test_following_continues_when_an_attempt_replaces_the_log(record: CellFolder) -> None:
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


def test_history_lists_the_events_with_the_same_keys_each(client: GridClient) -> None:
    ledger = Ledger.of(client.grid)
    ledger.note(cell().name, "running", attempt=1)
    ledger.note(cell().name, "failed", fault="storage", reason="disk full")
    first, second = client.history(cell().name)
    assert (first["state"], first["attempt"], first["fault"]) == ("running", 1, None)
    assert (second["fault"], second["reason"]) == ("storage", "disk full")
    assert list(first) == list(second) == list(EVENT_COLUMNS)
