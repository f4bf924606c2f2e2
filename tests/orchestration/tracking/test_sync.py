"""Whatever goes wrong with what MLflow is told, no grid ends by it; a full disk alone is for the driver to wait out."""

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
from orchestration.tracking.spool_reader import unsent
from orchestration.tracking.sync import TrackingSync, tags_of
from tests.orchestration.worlds import cell, finish, grid


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def mirror(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> TrackingSync:
    """Never started, so that nothing is sent."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return TrackingSync(grid(tmp_path), said.append)


def _planned(folder: Path | None) -> PlannedCell:
    return PlannedCell(cell(), "pending", "", folder, "t", "e", None)


def _done(folder: Path) -> PlannedCell:
    finish(folder, "t", "e")
    return _planned(folder)


def test_a_cell_cancelled_before_it_ever_ran_has_nothing_to_tell(mirror: TrackingSync, tmp_path: Path) -> None:
    folder = tmp_path / "never-ran"
    for place in (folder, None):
        mirror.ended(_planned(place), "stopped")
    assert not folder.exists()


def test_mlflow_names_the_text_encoder_by_what_it_is(mirror: TrackingSync, tmp_path: Path) -> None:
    named = [
        ({}, "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext"),
        ({"model": {"text": {"name": "tiny", "hidden": 64}}}, "tiny-64"),
    ]
    for changes, word in named:
        planned = replace(_planned(tmp_path), cell=cell(**changes))
        assert tags_of(planned)["uniferum.text_encoder"] == word


def test_a_cell_that_was_stopped_says_so(mirror: TrackingSync, tmp_path: Path) -> None:
    mirror.ended(_planned(tmp_path), "stopped")
    assert '"KILLED"' in (tmp_path / "spool.jsonl").read_text()


def _without_result(folder: Path) -> None:
    (folder / "result.json").unlink()


def _unreadable_metrics(folder: Path) -> None:
    (folder / "metrics.parquet").write_bytes(b"half a file")


def _spool_is_a_folder(folder: Path) -> None:
    (folder / "spool.jsonl").mkdir()


@pytest.mark.parametrize("harm", [_without_result, _unreadable_metrics, _spool_is_a_folder])
def test_a_record_that_cannot_be_read_or_written_is_told_in_a_line_and_ends_nothing(
    mirror: TrackingSync, tmp_path: Path, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    planned = _done(tmp_path / "cell")
    harm(tmp_path / "cell")
    with caplog.at_level(logging.WARNING):
        mirror.ended(planned, "done")
    (line,) = [record.getMessage() for record in caplog.records]
    assert planned.cell.name in line
    assert "\n" not in line
    mirror.catch_up([planned])


def test_one_unreadable_cell_keeps_no_other_from_being_caught_up(mirror: TrackingSync, tmp_path: Path) -> None:
    bad, good = _done(tmp_path / "bad"), _done(tmp_path / "good")
    _unreadable_metrics(tmp_path / "bad")
    assert mirror.catch_up([bad, good])
    assert unsent(tmp_path / "good")


def test_beginning_never_fails(mirror: TrackingSync) -> None:
    mirror.began(_planned(None))


@pytest.mark.parametrize("state", ["done", "failed"])
def test_a_full_disk_is_raised_for_the_driver_to_wait_and_call_again(
    mirror: TrackingSync, tmp_path: Path, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    planned = _done(tmp_path / "cell")
    with monkeypatch.context() as patch:
        patch.setattr(module, "append", full)
        patch.setattr(module, "spool_result", full)
        with pytest.raises(OSError, match="space"):
            mirror.ended(planned, state)
        with pytest.raises(OSError, match="space"):
            mirror.catch_up([planned])
    mirror.ended(planned, state)
    assert unsent(tmp_path / "cell")


def test_the_end_tells_how_many_records_stay_and_who_sends_them(
    mirror: TrackingSync, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_S", 0.0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        append(tmp_path / name, {"status": "KILLED"})
        mirror.watch(tmp_path / name, {})
    append(tmp_path / "b", {"status": "KILLED"})
    mirror.finish()
    assert "3 records of 2 cells" in said[-1]
    assert "the next grid run sends them" in said[-1]
