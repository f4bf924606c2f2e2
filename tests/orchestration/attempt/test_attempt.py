"""One attempt in a process: its outcome, its log, its stop signal, its fence."""

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestration.attempt import failures
from orchestration.attempt.attempt import (
    Assignment,
    Fenced,
    StopSignal,
    attempt_cell,
    read_assignment,
    write_assignment,
)
from orchestration.attempt.watchdog import stack_files, with_stack
from orchestration.grid.records import CellFolder
from tests.orchestration.worlds import assignment
from uniferum.errors import UniferumError
from uniferum.training.errors import Interrupted


@pytest.fixture
def sealed(tmp_path: Path) -> Assignment:
    given = assignment(tmp_path / "cell")
    write_assignment(tmp_path / "next.json", given)
    read = read_assignment(tmp_path / "next.json")
    assert read == given
    return given


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _raising(error: Exception) -> Callable[..., None]:
    def train(*_: Any, **__: Any) -> None:
        raise error

    return train


def test_what_a_cell_prints_goes_to_its_own_log(sealed: Assignment, capfd: pytest.CaptureFixture[str]) -> None:
    def train(*_: Any, **__: Any) -> None:
        os.write(1, b"from C code\n")
        logging.getLogger("anything").info("from Python")

    outcome = attempt_cell(sealed, train, _nothing)
    log = CellFolder(Path(sealed.folder)).log.read_text()
    assert outcome.kind is None
    assert "from C code" in log
    assert "from Python" in log
    assert "from C code" not in capfd.readouterr().out


def test_a_users_error_ends_the_cell_not_the_process(sealed: Assignment) -> None:
    outcome = attempt_cell(sealed, _raising(UniferumError("x", must="be y")), _nothing)
    assert (outcome.kind, outcome.reason, outcome.poisoned) == (failures.USER, "x must be y", False)
    assert "Traceback" in CellFolder(Path(sealed.folder)).log.read_text()


def test_a_broken_cuda_context_takes_no_further_cell(sealed: Assignment) -> None:
    outcome = attempt_cell(sealed, _raising(RuntimeError("CUDA error: an illegal memory access")), _nothing)
    assert outcome.poisoned


def test_a_stopped_cell_is_not_failed(sealed: Assignment) -> None:
    CellFolder(Path(sealed.folder)).request_stop("cancelled by hand")

    def train(*_: Any, stop: Callable[[], bool], **__: Any) -> None:
        assert stop()
        raise Interrupted(3, None)

    outcome = attempt_cell(sealed, train, _nothing)
    assert (outcome.stopped, outcome.kind, outcome.reason) == (True, None, "cancelled by hand")


def test_a_new_attempt_forgets_old_stops_and_failures(sealed: Assignment, tmp_path: Path) -> None:
    record = CellFolder(Path(sealed.folder))
    record.request_stop("old")
    write_assignment(tmp_path / "next.json", sealed)
    assert not StopSignal(sealed)()


def test_an_attempt_that_was_taken_over_stops(sealed: Assignment, tmp_path: Path) -> None:
    stop = StopSignal(sealed, every_s=0)
    assert not stop()
    write_assignment(tmp_path / "other.json", Assignment(**{**vars(sealed), "token": "2-1-new"}))
    with pytest.raises(Fenced):  # raised before the trainer would write a checkpoint
        stop()


def test_a_fenced_attempt_is_told_as_taken_over_and_not_as_stopped(sealed: Assignment, tmp_path: Path) -> None:
    def train(*_: Any, stop: Callable[[], bool], **__: Any) -> None:
        write_assignment(tmp_path / "other.json", Assignment(**{**vars(sealed), "token": "2-1-new"}))
        time.sleep(0.6)
        stop()
        pytest.fail("a fenced attempt went on")

    outcome = attempt_cell(sealed, train, _nothing)
    assert (outcome.kind, outcome.stopped) == (failures.FENCED, False)


def test_a_cell_whose_driver_went_silent_stops(tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    beat.write_text("1")
    stop = StopSignal(assignment(tmp_path / "cell", heartbeat=str(beat)), every_s=0, orphan_s=0.2)
    assert not stop()
    beat.write_text("2")
    assert not stop()
    time.sleep(0.3)
    assert stop()
    assert stop.reason == "its driver is gone"


def test_a_cell_that_says_nothing_leaves_its_stack(tmp_path: Path) -> None:
    quick = assignment(tmp_path / "cell", stall_s=0.25)

    def hang_in_here(*_: Any, **__: Any) -> None:
        time.sleep(0.6)

    attempt_cell(quick, hang_in_here, _nothing)
    attempt_cell(replace(quick, attempt=2), _nothing, _nothing)
    (stack,) = stack_files(tmp_path / "cell")
    assert "hang_in_here" in stack.read_text(), "the next attempt has kept it"
    fault = with_stack(failures.Fault(failures.STALLED, "reported no step"), tmp_path / "cell", quick.attempt)
    assert "it hangs in hang_in_here (test_attempt.py:" in fault.reason
    assert str(stack) in fault.reason
    other = failures.Fault(failures.TIMEOUT, "ran too long")
    assert with_stack(other, tmp_path / "cell", quick.attempt) is other


def test_a_cell_whose_every_process_asks_on_leaves_no_stack(tmp_path: Path) -> None:
    def second_worker(*_: Any, stop: Callable[[], bool], **__: Any) -> None:
        for _step in range(6):  # it reports nothing, but it asks after every step
            time.sleep(0.1)
            stop()

    attempt_cell(assignment(tmp_path / "cell", stall_s=0.4), second_worker, _nothing, first=False)
    assert stack_files(tmp_path / "cell") == []


def test_progress_and_spool_follow_the_training(sealed: Assignment) -> None:
    def train(config: Any, stores: Any, folder: Path, reporter: Any, **_: Any) -> None:
        reporter.params({"training": {"steps": 4}, "mixes": ["a", "b"]})
        for step in range(1, 5):
            reporter.metrics(step, {"loss": 1 / step, "bad": float("nan")})
        reporter.metrics(4, {"validation/auroc": 0.75})
        (folder / "metrics.parquet").touch()
        reporter.artifact(folder / "metrics.parquet")

    attempt_cell(sealed, train, _nothing)
    record = CellFolder(Path(sealed.folder))
    lines = [json.loads(line) for line in record.spool.read_text().splitlines()]
    assert lines[0] == {"params": {"training.steps": "4", "mixes": '["a", "b"]'}}
    assert [line["step"] for line in lines if "metrics" in line] == [1, 2, 3, 4, 4]
    assert all("bad" not in line.get("metrics", {}) for line in lines)
    assert lines[-1] == {"artifact": "metrics.parquet"}
    progress = record.progress()
    assert progress is not None
    assert progress.steps == 4
