"""Commands to a grid from another shell, with a running, ended or killed driver; without Ray or data."""

import json
import os
import socket
import subprocess
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from cli import grid_output, main
from orchestration.attempt.spool import ProgressReporter
from orchestration.grid.records import Failure
from orchestration.grid.states import Phase
from orchestration.ledger import commands
from orchestration.ledger.ledger import Ledger
from tests.support.grid_shell import EVALUATION, FIRST, SECOND, TRAINING, Shell
from tests.support.small_grids import finish
from uniferum.errors import UniferumError

OF_A_CELL = ["logs", "cancel", "retry", "priority", "events"]
VERBS = [*OF_A_CELL, "pause", "stop", "resume", "parallel", "status", "plan"]


@pytest.fixture
def dead_driver(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed driver: its lease has not expired, one cell is recorded as running and the other as failed."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    ledger = Ledger.of(shell.grid)
    with monkeypatch.context() as patch:
        patch.setattr("orchestration.ledger.ledger._me", lambda: f"{socket.gethostname()}:{gone.pid}")
        assert ledger.take_lease() == 1
    failed, running = shell.record(FIRST), shell.record(SECOND)
    ledger.note(FIRST, "failed", folder=str(failed.folder), fault="user error", reason="NaN loss")
    ledger.note(SECOND, "running", folder=str(running.folder))
    ledger.close()
    failed.write_failure(Failure("user error", "NaN loss", 1, 0.0))
    ProgressReporter(running.folder, steps=4).phase(Phase.TRAINING)
    failed.log.write_text("first\nlast\n")


def words_of(verb: str) -> list[str]:
    return ([FIRST] if verb in OF_A_CELL else []) + (["2"] if verb in ("parallel", "priority") else [])


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_the_settings_that_the_grid_is_run_with(shell: Shell, driver: Ledger, verb: str) -> None:
    shell.record().log.write_text("")
    driver.note(FIRST, "failed")
    done = shell(verb, *words_of(verb))
    assert done.exit_code == 0, done.exception
    assert not (shell.file.parent / "not-here").exists()
    if verb in ("cancel", "retry", "priority", "pause", "stop", "resume", "parallel"):
        assert f"sent to the driver {socket.gethostname()}:{os.getpid()}" in done.stderr
        assert [command.verb for command in driver.take_commands()] == [verb]


@pytest.mark.parametrize("verb", ["submit", "ui", "run", "evaluate"])
def test_the_longer_commands_take_settings_too(shell: Shell, verb: str) -> None:
    """The wrong setting is refused before anything starts."""
    address = ["--address", "http://head:8265"] if verb == "submit" else []
    words = ["grid", verb, str(shell.file), *address, "--set", "rot=x"]
    done = CliRunner().invoke(main.app, words)
    assert isinstance(done.exception, UniferumError)
    assert "did you mean 'root'" in str(done.exception)


# -- a dead driver ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("dead_driver")
def test_status_after_the_drivers_death_comes_from_the_records(shell: Shell) -> None:
    done = shell("status")
    assert done.exit_code == 0, done.exception
    assert "no driver" in done.stderr
    assert "NaN loss" in done.stdout
    assert "running" not in done.stdout


@pytest.mark.usefixtures("dead_driver")
def test_logs_and_events_outlive_the_driver(shell: Shell) -> None:
    assert shell("logs", FIRST).stdout == "first\nlast\n"
    assert shell("logs", FIRST, "-n", "1").stdout == "last\n"
    _, *events = shell("events").stdout.splitlines()
    assert [line.split("\t")[0:3:2] for line in events] == [[FIRST, "failed"], [SECOND, "running"]]
    assert [event["cell"] for event in json.loads(shell("events", SECOND, "--format", "json").stdout)] == [SECOND]


@pytest.mark.usefixtures("dead_driver")
def test_cancel_all_reaches_workers_that_outlived_the_driver(shell: Shell) -> None:
    done = shell("cancel", "--all")
    assert done.exit_code == 0, done.exception
    assert "No driver is running; 1 cells are asked to stop" in done.stderr
    assert shell.record(SECOND).stop_reason() == "cancelled by hand"
    assert shell.record(FIRST).stop_reason() is None


@pytest.mark.usefixtures("dead_driver")
def test_retry_after_the_drivers_death_is_for_the_next_run(shell: Shell) -> None:
    done = shell("retry", FIRST)
    assert done.exit_code == 0, done.exception
    assert "the next `uniferum grid run` runs" in done.stderr
    assert shell.record().failure() is None


@pytest.mark.usefixtures("dead_driver")
@pytest.mark.parametrize("verb", ["pause", "stop", "resume", "parallel", "priority"])
def test_what_only_a_driver_can_do_says_that_none_runs(shell: Shell, verb: str) -> None:
    done = shell(verb, *words_of(verb))
    assert done.exit_code == 0, done.exception
    assert f"No driver is running, so there is nothing to {verb}" in done.stderr
    ledger = Ledger.of(shell.grid)
    assert not ledger.take_commands(), "a later driver must not find it"
    ledger.close()


# -- retry, cancel ----------------------------------------------------------------------------------------------------


def test_a_done_cell_is_not_tried_again(shell: Shell, driver: Ledger) -> None:
    finish(shell.record().folder, TRAINING, EVALUATION)
    driver.set_fact("began", str(driver.entries()[FIRST].updated + 1))
    done = shell("retry", FIRST)
    assert isinstance(done.exception, UniferumError), "the command line ends with exit code 2"
    assert "is done: finished at step 4" in str(done.exception)
    assert not driver.take_commands()


def test_cancel_all_reaches_the_driver(shell: Shell, driver: Ledger) -> None:
    assert "cancel: sent to the driver" in shell("cancel", "--all").stderr
    assert [(command.verb, command.cell) for command in driver.take_commands()] == [("cancel", None)]


@pytest.mark.parametrize("words", [(), (FIRST, "--all")])
def test_cancel_wants_one_cell_or_all(shell: Shell, words: tuple[str, ...]) -> None:
    assert "must be given one cell, or --all" in str(shell("cancel", *words).exception)


# -- logs -f, status --watch ------------------------------------------------------------------------------------------


def _sleeps(steps: Sequence[Callable[[], object]]) -> Callable[[float], None]:
    """Replace sleep: run the next step; after the last one raise KeyboardInterrupt."""
    left = iter(steps)

    def sleep(seconds: float) -> None:
        step = next(left, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    return sleep


def test_logs_follow_what_is_appended_and_what_a_new_attempt_writes(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = shell.record().log
    log.write_text("one\ntwo\n")

    def append() -> None:
        with log.open("a") as end:
            end.write("three\n")

    steps = [append, lambda: log.write_text("anew\n")]
    monkeypatch.setattr(commands, "time", SimpleNamespace(sleep=_sleeps(steps)))
    assert shell("logs", FIRST, "-f", "-n", "1").stdout == "two\nthree\nanew\n"


def test_logs_of_a_cell_that_began_without_a_log_say_so(shell: Shell) -> None:
    shell.record()
    assert "has not written a log yet" in str(shell("logs", FIRST).exception)


def test_status_is_one_table_of_the_cells(shell: Shell, driver: Ledger) -> None:
    driver.note(FIRST, "running")
    done = shell("status")
    assert done.exit_code == 0, done.exception
    assert f"driver: {socket.gethostname()}:{os.getpid()}" in done.stderr
    for name, state in ((FIRST, "running"), (SECOND, "pending")):
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{name}\t")]
        assert state in line


def test_a_watch_without_a_terminal_prints_each_change_and_ends_with_the_grid(
    shell: Shell, driver: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [
        lambda: driver.note(FIRST, "running"),
        lambda: None,
        lambda: finish(shell.record().folder, TRAINING, EVALUATION),
        lambda: driver.note(FIRST, "done"),
        lambda: driver.release(1),
    ]
    clock = SimpleNamespace(sleep=_sleeps(steps), monotonic=lambda: 0.0)
    monkeypatch.setattr(grid_output, "time", clock)
    done = shell("status", "--watch")
    assert done.exit_code == 0, done.exception
    titles = [line.partition("; ")[0].strip() for line in done.stderr.splitlines() if line.startswith("g: ")]
    assert titles == ["g: 2 pending", "g: 1 pending, 1 running", "g: 1 done, 1 pending", "g: 1 done, 1 due"]
    assert "no driver" in done.stderr


def test_a_watch_without_a_terminal_shows_moving_steps_once_a_minute(
    shell: Shell, driver: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 30.0, 61.0, 61.0, 90.0])
    driver.note(FIRST, "running")
    clock = SimpleNamespace(sleep=_sleeps([lambda: None] * 3), monotonic=lambda: next(now))
    monkeypatch.setattr(grid_output, "time", clock)
    done = shell("status", "--watch")
    assert done.stderr.count("g: 1 pending, 1 running") == 2
