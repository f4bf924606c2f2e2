"""No error of the tracking sync ends a grid; only a full disk is raised, because the driver waits for free space."""

import errno
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.attempt.spool import append
from orchestration.grid.planned import PlannedCell
from orchestration.tracking import sync as module
from orchestration.tracking.spool_reader import has_unsent
from orchestration.tracking.sync import TrackingSync, tags_of
from tests.support.small_grids import cell, finish, grid


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


def test_finish_reports_the_number_of_unsent_records_and_what_sends_them(
    sync: TrackingSync, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_S", 0.0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        append(tmp_path / name, {"status": "KILLED"})
        sync.watch(tmp_path / name, {})
    append(tmp_path / "b", {"status": "KILLED"})
    sync.finish()
    assert "3 records of 2 cells" in said[-1]
    assert "the next `uniferum grid run` sends them" in said[-1]
