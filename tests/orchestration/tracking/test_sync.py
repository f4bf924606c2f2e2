"""No error of the tracking sync ends a grid; only a full disk is raised, because the driver waits for free space."""

import errno
import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.attempt.spool import append
from orchestration.grid.planned import PlannedCell
from orchestration.grid.states import CellState
from orchestration.grid.unsent import has_unsent
from orchestration.tracking import server as mlflow_server
from orchestration.tracking import sync as module
from orchestration.tracking.server import DATABASE, Server
from orchestration.tracking.sync import TrackingSync, tags_of
from orchestration.tracking.uploader import Uploader
from tests.support.mlflow_client import Server as MlflowServer
from tests.support.small_grids import cell, finish, grid
from uniferum.errors import StateError


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def sync(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> TrackingSync:
    """A sync that is never started, so that nothing is sent."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return TrackingSync(grid(tmp_path), said.append)


def _planned(folder: Path | None) -> PlannedCell:
    return PlannedCell(cell(), "pending", "", folder, "t", "e", None)


def _done(folder: Path) -> PlannedCell:
    finish(folder, "t", "e")
    return _planned(folder)


def test_a_cell_cancelled_before_its_first_run_has_nothing_to_send(sync: TrackingSync, tmp_path: Path) -> None:
    folder = tmp_path / "never-ran"
    for missing in (folder, None):
        sync.ended(_planned(missing), "stopped")
    assert not folder.exists()


def test_the_text_encoder_tag_is_the_name_of_the_real_encoder(sync: TrackingSync, tmp_path: Path) -> None:
    named = [
        ({}, "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext"),
        ({"model": {"text": {"name": "tiny", "hidden": 64}}}, "tiny-64"),
    ]
    for changes, word in named:
        planned = replace(_planned(tmp_path), cell=cell(**changes))
        assert tags_of(planned)["uniferum.text_encoder"] == word


def test_the_axes_of_a_cell_are_tags(sync: TrackingSync, tmp_path: Path) -> None:
    planned = replace(_planned(tmp_path), cell=replace(cell(), axes={"lr": "1e-4", "freeze": "true"}))
    tags = tags_of(planned)
    assert (tags["uniferum.axis.lr"], tags["uniferum.axis.freeze"]) == ("1e-4", "true")


def test_a_stopped_cell_is_killed_in_mlflow(sync: TrackingSync, tmp_path: Path) -> None:
    sync.ended(_planned(tmp_path), "stopped")
    assert '"KILLED"' in (tmp_path / "spool.jsonl").read_text()


def _without_result(folder: Path) -> None:
    (folder / "result.json").unlink()


def _unreadable_metrics(folder: Path) -> None:
    (folder / "metrics.parquet").write_bytes(b"half a file")


def _spool_is_a_folder(folder: Path) -> None:
    (folder / "spool.jsonl").mkdir()


@pytest.mark.parametrize("harm", [_without_result, _unreadable_metrics, _spool_is_a_folder])
def test_an_unreadable_or_unwritable_record_is_logged_in_one_line_and_ends_nothing(
    sync: TrackingSync, tmp_path: Path, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    planned = _done(tmp_path / "cell")
    harm(tmp_path / "cell")
    with caplog.at_level(logging.WARNING):
        sync.ended(planned, "done")
    (line,) = [record.getMessage() for record in caplog.records]
    assert planned.cell.name in line
    assert "\n" not in line
    sync.catch_up([planned])


def test_one_unreadable_cell_does_not_stop_the_others_from_being_caught_up(sync: TrackingSync, tmp_path: Path) -> None:
    bad, good = _done(tmp_path / "bad"), _done(tmp_path / "good")
    _unreadable_metrics(tmp_path / "bad")
    assert sync.catch_up([bad, good])
    assert has_unsent(tmp_path / "good")


def test_starting_a_cell_without_a_folder_does_not_fail(sync: TrackingSync) -> None:
    sync.began(_planned(None))


@pytest.mark.parametrize("state", ["done", "failed"])
def test_a_full_disk_is_raised_and_a_later_call_succeeds(
    sync: TrackingSync, tmp_path: Path, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    planned = _done(tmp_path / "cell")
    with monkeypatch.context() as patch:
        patch.setattr(module, "append", full)
        patch.setattr(module, "spool_result", full)
        with pytest.raises(OSError, match="space"):
            sync.ended(planned, state)
        with pytest.raises(OSError, match="space"):
            sync.catch_up([planned])
    sync.ended(planned, state)
    assert has_unsent(tmp_path / "cell")


# -- the end of a grid -------------------------------------------------------------------------------------------------


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> MlflowServer:
    """What every uploader of the test sends to."""
    made = MlflowServer()
    monkeypatch.setattr(Uploader, "client", made)
    return made


def _waiting(sync: TrackingSync, root: Path) -> None:
    """Three records of two cells that nobody has sent."""
    for name in ("a", "b"):
        (root / name).mkdir()
        append(root / name, {"status": "KILLED"})
        sync.watch(root / name, {})
    append(root / "b", {"status": "KILLED"})


def _starts_with(sync: TrackingSync, monkeypatch: pytest.MonkeyPatch, *starts: float | str) -> None:
    """The starts of the own server: each takes so many seconds, or fails with this message."""
    left = list(starts)

    def start(root: Path, **_: object) -> Server:
        now = left.pop(0)
        if isinstance(now, str):
            raise StateError(now)
        time.sleep(now)
        root.mkdir(exist_ok=True)
        (root / DATABASE).touch()
        return Server("http://127.0.0.1:1")

    monkeypatch.setattr(mlflow_server, "start", start)
    monkeypatch.setattr(mlflow_server, "answers", lambda *_: True)
    sync.supervisor.poll_s = sync.supervisor._pause = 0.05
    sync.start()


def _with(sync: TrackingSync, **tracking: object) -> TrackingSync:
    return TrackingSync(sync.grid.replace(tracking=tracking), sync.say)


@pytest.mark.parametrize("starts", [(0.6,), ("The MLflow server did not answer within 90 s", 0.0)])
def test_a_short_grid_waits_for_a_server_that_starts_slowly_or_at_its_second_attempt(
    sync: TrackingSync,
    tmp_path: Path,
    said: list[str],
    mlflow: MlflowServer,
    monkeypatch: pytest.MonkeyPatch,
    starts: tuple[float | str, ...],
) -> None:
    monkeypatch.setattr(module, "TELL_S", -1.0)
    _starts_with(sync, monkeypatch, *starts)
    _waiting(sync, tmp_path)
    assert sync.finish() is None
    assert mlflow.status == ["KILLED"] * 3
    assert "waiting for the MLflow server to start, at most " in "".join(said)
    assert "3 records of 2 cells to send" in "".join(said)


def test_a_dead_own_server_is_waited_for_as_long_as_configured_and_what_is_missing_is_told(
    sync: TrackingSync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = _with(sync, wait_s=0.4)
    _starts_with(short, monkeypatch, *["No free port"] * 50)
    _waiting(short, tmp_path)
    started = time.monotonic()
    missing = short.finish()
    assert 0.4 <= time.monotonic() - started < 20
    assert missing == (
        "not in MLflow yet: 3 records of 2 cells (No free port); they stay in the cells' folders, and the next "
        "`uniferum grid run` sends them, and so does `uniferum grid evaluate`, which trains nothing"
    )


def test_a_configured_server_that_is_down_is_named_and_the_next_driver_sends_what_waits(
    sync: TrackingSync, tmp_path: Path, mlflow: MlflowServer
) -> None:
    mlflow.down = True
    first = _with(sync, uri="http://127.0.0.1:1", wait_s=0.2)
    first.start()
    planned = _done(tmp_path / "cell")
    first.ended(planned, CellState.DONE)
    missing = first.finish()
    assert missing is not None
    assert missing.startswith("not in MLflow yet: 3 records of 1 cell (ConnectionError: no server)")
    mlflow.down = False
    second = _with(sync, uri="http://127.0.0.1:1")
    assert second.catch_up([planned])
    second.start()
    assert second.finish() is None
    assert mlflow.status == ["FINISHED"]
    assert not _with(sync, uri="http://127.0.0.1:1").catch_up([planned])
    assert _with(sync, uri="http://127.0.0.1:2").catch_up([planned]), "another server has nothing yet"


def test_the_next_own_server_gets_nothing_again_and_a_new_database_everything(
    sync: TrackingSync, tmp_path: Path, mlflow: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = _done(tmp_path / "cell")
    _starts_with(sync, monkeypatch, 0.0)
    sync.ended(planned, CellState.DONE)
    assert sync.finish() is None
    assert not _with(sync).catch_up([planned])
    (sync.grid.root / DATABASE).rename(tmp_path / "moved.db")
    assert _with(sync).catch_up([planned]), "the database is gone"


def test_an_end_with_nothing_to_send_does_not_wait_for_the_server(
    sync: TrackingSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    _starts_with(sync, monkeypatch, *["No free port"] * 50)
    started = time.monotonic()
    assert sync.finish() is None
    assert time.monotonic() - started < 20


def test_what_runs_at_the_end_runs_only_when_everything_is_sent(
    sync: TrackingSync, tmp_path: Path, mlflow: MlflowServer
) -> None:
    ran: list[str] = []
    for number, (down, wait_s) in enumerate(((True, 0.1), (False, 60))):
        mlflow.down = down
        one = _with(sync, uri="http://127.0.0.1:1", wait_s=wait_s)
        one.start()
        append(tmp_path, {"status": "KILLED"})
        one.watch(tmp_path, {})
        one.finish(lambda uploader, number=number: ran.append(f"{number} {uploader.grid}"))
    assert ran == [f"1 {sync.grid.name}"]


def test_ctrl_c_during_the_wait_stops_our_own_server(
    sync: TrackingSync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[bool] = []
    monkeypatch.setattr(sync.supervisor, "stop", lambda: stopped.append(True))

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    _waiting(sync, tmp_path)
    monkeypatch.setattr(module, "_wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sync.finish()
    assert stopped == [True]
