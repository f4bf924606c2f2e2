"""One attempt in a process: its files, its result, its log, its stop signal, its token."""

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
    Attempt,
    AttemptResult,
    Fenced,
    StopSignal,
    attempt_cell,
    read_attempt,
    write_attempt,
)
from orchestration.attempt.watchdog import stack_files, with_stack
from orchestration.grid.records import CellFolder
from tests.support.small_grids import attempt
from uniferum.errors import UniferumError
from uniferum.training.errors import Interrupted


@pytest.fixture
def written(tmp_path: Path) -> Attempt:
    given = attempt(tmp_path / "cell")
    write_attempt(tmp_path / "next.json", given)
    read = read_attempt(tmp_path / "next.json")
    assert read == given
    return given


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _raising(error: Exception) -> Callable[..., None]:
    def train(*_: Any, **__: Any) -> None:
        raise error

    return train


def test_what_a_cell_prints_goes_to_its_own_log(written: Attempt, capfd: pytest.CaptureFixture[str]) -> None:
    def train(*_: Any, **__: Any) -> None:
        os.write(1, b"from C code\n")
        logging.getLogger("anything").info("from Python")

    result = attempt_cell(written, train, _nothing)
    log = CellFolder(Path(written.folder)).log.read_text()
    assert result.kind is None
    assert "from C code" in log
    assert "from Python" in log
    assert "from C code" not in capfd.readouterr().out


def test_a_user_error_ends_the_cell_but_not_the_process(written: Attempt) -> None:
    result = attempt_cell(written, _raising(UniferumError("x", must="be y")), _nothing)
    assert (result.kind, result.reason, result.poisoned) == (failures.USER, "x must be y", False)
    assert "Traceback" in CellFolder(Path(written.folder)).log.read_text()


def test_a_process_with_a_broken_cuda_context_runs_no_further_cell(written: Attempt) -> None:
    result = attempt_cell(written, _raising(RuntimeError("CUDA error: an illegal memory access")), _nothing)
    assert result.poisoned


def test_a_stopped_cell_is_not_failed(written: Attempt) -> None:
    CellFolder(Path(written.folder)).request_stop("cancelled by hand")

    def train(*_: Any, stop: Callable[[], bool], **__: Any) -> None:
        assert stop()
        raise Interrupted(3, None)

    result = attempt_cell(written, train, _nothing)
    assert (result.stopped, result.kind, result.reason) == (True, None, "cancelled by hand")


def test_a_new_attempt_removes_old_stop_requests(written: Attempt, tmp_path: Path) -> None:
    record = CellFolder(Path(written.folder))
    record.request_stop("old")
    write_attempt(tmp_path / "next.json", written)
    assert not StopSignal(written)()


def test_an_attempt_whose_folder_has_another_token_stops(written: Attempt, tmp_path: Path) -> None:
    stop = StopSignal(written, every_s=0)
    assert not stop()
    write_attempt(tmp_path / "other.json", replace(written, token="2-1-new"))
    with pytest.raises(Fenced):  # raised before the trainer would write a checkpoint
        stop()


def test_a_replaced_attempt_is_reported_as_taken_over_and_not_as_stopped(written: Attempt, tmp_path: Path) -> None:
    def train(*_: Any, stop: Callable[[], bool], **__: Any) -> None:
        write_attempt(tmp_path / "other.json", replace(written, token="2-1-new"))
        time.sleep(0.6)
        stop()
        pytest.fail("a fenced attempt went on")

    result = attempt_cell(written, train, _nothing)
    assert (result.kind, result.stopped) == (failures.FENCED, False)


def test_a_cell_stops_when_its_driver_writes_no_heartbeat(tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    beat.write_text("1")
    stop = StopSignal(attempt(tmp_path / "cell", heartbeat=str(beat)), every_s=0, orphan_s=0.2)
    assert not stop()
    beat.write_text("2")
    assert not stop()
    time.sleep(0.3)
    assert stop()
    assert stop.reason == "its driver is gone"


def test_a_cell_without_progress_leaves_a_stack_file(tmp_path: Path) -> None:
    quick = attempt(tmp_path / "cell", stall_s=0.25)

    def hang_in_here(*_: Any, **__: Any) -> None:
        time.sleep(0.6)

    attempt_cell(quick, hang_in_here, _nothing)
    attempt_cell(replace(quick, number=2), _nothing, _nothing)
    (stack,) = stack_files(tmp_path / "cell")
    assert "hang_in_here" in stack.read_text(), "the next attempt keeps it"
    fault = with_stack(failures.Fault(failures.STALLED, "reported no step"), tmp_path / "cell", quick.number)
    assert "it hangs in hang_in_here (test_attempt.py:" in fault.reason
    assert str(stack) in fault.reason
    other = failures.Fault(failures.TIMEOUT, "ran too long")
    assert with_stack(other, tmp_path / "cell", quick.number) is other


def test_a_worker_that_reports_nothing_but_asks_after_every_step_leaves_no_stack_file(tmp_path: Path) -> None:
    def second_worker(*_: Any, stop: Callable[[], bool], **__: Any) -> None:
        for _step in range(6):  # it reports nothing, but it asks after every step
            time.sleep(0.1)
            stop()

    attempt_cell(attempt(tmp_path / "cell", stall_s=0.4), second_worker, _nothing, first=False)
    assert stack_files(tmp_path / "cell") == []


def test_progress_and_spool_follow_the_training(written: Attempt) -> None:
    def train(config: Any, stores: Any, folder: Path, reporter: Any, **_: Any) -> None:
        reporter.params({"training": {"steps": 4}, "mixes": ["a", "b"]})
        for step in range(1, 5):
            reporter.metrics(step, {"loss": 1 / step, "bad": float("nan")})
        reporter.metrics(4, {"validation/auroc": 0.75})
        (folder / "metrics.parquet").touch()
        reporter.artifact(folder / "metrics.parquet")

    attempt_cell(written, train, _nothing)
    record = CellFolder(Path(written.folder))
    lines = [json.loads(line) for line in record.spool.read_text().splitlines()]
    assert lines[0] == {"params": {"training.steps": "4", "mixes": '["a", "b"]'}}
    assert [line["step"] for line in lines if "metrics" in line] == [1, 2, 3, 4, 4]
    assert all("bad" not in line.get("metrics", {}) for line in lines)
    assert lines[-1] == {"artifact": "metrics.parquet"}
    progress = record.progress()
    assert progress is not None
    assert progress.steps == 4


def test_the_files_between_driver_and_worker_keep_their_keys(tmp_path: Path) -> None:
    given = attempt(tmp_path / "cell", priority=3, expected_hours=2.0)
    keys = [
        "name",
        "folder",
        "config",
        "stores",
        "attempt",
        "token",
        "evaluate_only",
        "stall_s",
        "heartbeat",
        "options",
    ]
    assert list(given.to_json()) == keys
    assert Attempt.from_json(given.to_json()) == replace(given, priority=0, expected_hours=0.0, axes={})


@pytest.mark.parametrize(
    ("result", "kind", "reason"),
    [
        (AttemptResult("a", 2, seconds=3.5, node="n"), None, None),
        (AttemptResult("a", 2, stopped=True, stop_reason="cancelled by hand"), None, "cancelled by hand"),
        (AttemptResult("a", 2, failures.Fault(failures.NCCL, "aborted"), poisoned=True), failures.NCCL, "aborted"),
    ],
)
def test_a_result_is_the_same_after_its_way_through_a_file(
    result: AttemptResult, kind: str | None, reason: str | None
) -> None:
    stored = json.loads(json.dumps(result.to_json()))
    assert list(stored) == ["name", "attempt", "kind", "reason", "stopped", "poisoned", "seconds", "node"]
    assert (stored["attempt"], stored["kind"], stored["reason"]) == (2, kind, reason)
    assert AttemptResult.from_json(stored) == result


def test_the_axes_of_a_cell_are_stored_in_its_folder_and_leave_with_them(tmp_path: Path) -> None:
    given = attempt(tmp_path / "cell", axes={"lr": "1e-4"})
    axes = CellFolder(tmp_path / "cell").files.axes
    write_attempt(tmp_path / "next.json", given)
    assert json.loads(axes.read_text()) == {"lr": "1e-4"}
    write_attempt(tmp_path / "next.json", replace(given, axes={}))
    assert not axes.exists()
