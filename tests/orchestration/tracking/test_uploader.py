"""Spooled lines reach MLflow in order and once, also after failures of the server or the uploader."""

import os
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from urllib3.connection import HTTPConnection

from orchestration.attempt.spool import SpoolReporter, append
from orchestration.grid.records import CellFolder
from orchestration.grid.unsent import count_unsent, has_unsent
from orchestration.tracking import uploader as module
from orchestration.tracking.client import SETTINGS, configure_client
from orchestration.tracking.reader import spool_result
from orchestration.tracking.uploader import MAX_METRICS, Uploader
from tests.support.mlflow_client import Server
from tests.support.small_grids import cell, finish


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / f"{cell().name}-aaaaaaaa"
    made.mkdir()
    return made


def _uploader(server: Server, folder: Path) -> Uploader:
    uploader = Uploader("http://here", "g")
    uploader._client = server  # pyright: ignore[reportAttributeAccessIssue]
    uploader.watch(folder, {})
    return uploader


def _steps(folder: Path, first: int, last: int) -> None:
    reporter = SpoolReporter(folder)
    for step in range(first, last + 1):
        reporter.metrics(step, {"loss": 1 / step})


def test_everything_arrives_in_order(folder: Path) -> None:
    server = Server()
    SpoolReporter(folder).params({"training": {"steps": 4}})
    _steps(folder, 1, 4)
    append(folder, {"status": "FINISHED"})
    assert _uploader(server, folder).send_all()
    assert server.metrics["loss"] == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]
    assert server.params == {"training.steps": "4"}
    assert server.status == ["FINISHED"]
    assert not has_unsent(folder)


def test_a_second_uploader_sends_only_new_lines_to_the_same_run(folder: Path) -> None:
    server = Server()
    _steps(folder, 1, 2)
    _uploader(server, folder).send_all()
    _steps(folder, 3, 3)
    _uploader(server, folder).send_all()
    assert [step for step, _ in server.metrics["loss"]] == [1, 2, 3]
    assert len([run for run in server.runs if run.mark[0] == "uniferum.cell"]) == 1


def test_lines_wait_while_the_server_is_away_and_arrive_once(folder: Path) -> None:
    server = Server()
    uploader = _uploader(server, folder)
    _steps(folder, 1, 1)
    assert uploader.send_all()
    server.down = True
    _steps(folder, 2, 5)
    assert not uploader.send_all()
    assert uploader.last_error == "ConnectionError: no server"
    assert uploader.count_unsent_cells() == 1
    server.down = False
    assert uploader.send_all()
    assert [step for step, _ in server.metrics["loss"]] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("calls", range(8))
def test_a_server_that_dies_at_any_call_loses_and_duplicates_nothing(folder: Path, calls: int) -> None:
    server = Server()
    SpoolReporter(folder).params({"a": 1})
    _steps(folder, 1, 3)
    append(folder, {"status": "FINISHED"})
    server.dies_after = calls
    _uploader(server, folder).send_all()
    server.down, server.dies_after = False, None
    assert _uploader(server, folder).send_all()
    # MLflow stores a metric with the same key, step, time and value once.
    assert dict.fromkeys(server.metrics["loss"]) == dict.fromkeys([(1, 1.0), (2, 0.5), (3, 1 / 3)])


def test_steps_repeated_after_a_resume_are_sent_once(folder: Path) -> None:
    server = Server()
    uploader = _uploader(server, folder)
    _steps(folder, 1, 5)
    uploader.send_all()
    _steps(folder, 3, 6)  # the worker was killed at 5; its checkpoint was of step 2
    uploader.send_all()
    assert [step for step, _ in server.metrics["loss"]] == [1, 2, 3, 4, 5, 6]


def test_a_line_still_being_written_waits_for_its_end(folder: Path) -> None:
    server = Server()
    _steps(folder, 1, 1)
    with (folder / "spool.jsonl").open("a") as spool:
        spool.write('{"step": 2, "time": 5, "metr')
    uploader = _uploader(server, folder)
    uploader.send_all()
    assert [step for step, _ in server.metrics["loss"]] == [1]
    with (folder / "spool.jsonl").open("a") as spool:
        spool.write('ics": {"loss": 0.5}}\n')
    uploader.send_all()
    assert [step for step, _ in server.metrics["loss"]] == [1, 2]


def test_a_line_cut_short_by_a_kill_is_left_out(folder: Path) -> None:
    server = Server()
    (folder / "spool.jsonl").write_text('{"step": 1, "ti\n')
    _steps(folder, 2, 2)
    assert _uploader(server, folder).send_all()
    assert [step for step, _ in server.metrics["loss"]] == [2]


def test_no_batch_is_larger_than_mlflow_takes(folder: Path) -> None:
    server = Server()
    _steps(folder, 1, 3 * MAX_METRICS // 2)
    _uploader(server, folder).send_all()
    assert server.largest <= MAX_METRICS
    assert len(server.metrics["loss"]) == 3 * MAX_METRICS // 2


def test_another_server_gets_everything_from_the_start(folder: Path) -> None:
    first, second = Server(), Server()
    _steps(folder, 1, 2)
    _uploader(first, folder).send_all()
    other = Uploader("http://elsewhere", "g")
    other._client = second  # pyright: ignore[reportAttributeAccessIssue]
    other.watch(folder, {})
    other.send_all()
    assert [step for step, _ in second.metrics["loss"]] == [1, 2]


def test_the_results_of_a_finished_cell_are_spooled_once(folder: Path) -> None:
    finish(folder, "t", "e")
    server = Server()
    spool_result(CellFolder(folder))
    spool_result(CellFolder(folder))
    _uploader(server, folder).send_all()
    assert server.files == ["result.json"]
    assert server.metrics["test/CTRATE/all/auroc"] == [(4, 0.8)]
    assert server.tags["uniferum.training_fingerprint"] == "t"
    assert server.status == ["FINISHED"]


def test_the_rows_of_a_training_are_metrics_by_cohort_kind_and_label(folder: Path) -> None:
    masks = {"cohort": "INSPECT", "kind": "organ", "wanted": 40, "found": 3, "scans": 50, "without_masks": 48}
    labels = {"pe": {"positive": 7, "negative": 5}, "ph": {"positive": 1, "negative": 1}}
    rows = {"labels": {"INSPECT": {"classification": labels, "organ": {"heart": 3}}}, "masks": [masks]}
    finish(folder, "t", "e", rows=rows)
    server = Server()
    spool_result(CellFolder(folder))
    _uploader(server, folder).send_all()
    sent = {name: values[0][1] for name, values in server.metrics.items() if name.startswith("rows/")}
    assert sent == {
        "rows/INSPECT/positive": 8, "rows/INSPECT/positive/pe": 7, "rows/INSPECT/positive/ph": 1,
        "rows/INSPECT/negative": 6, "rows/INSPECT/negative/pe": 5, "rows/INSPECT/negative/ph": 1,
        "rows/INSPECT/organ/heart": 3, "rows/INSPECT/organ": 3, "rows/INSPECT/organ_wanted": 40,
        "rows/INSPECT/organ_scans_without_masks": 48,
    }  # fmt: skip


# -- a result that is scored again -------------------------------------------------------------------------------------


def _score(folder: Path, value: float, at: int) -> None:
    finish(folder, "t", "e", groups=[{"cohort": "CTRATE", "group": "all", "metric": "auroc", "value": value}])
    os.utime(folder / "result.json", (at, at))
    spool_result(CellFolder(folder))


def test_scoring_again_replaces_the_value_though_the_step_is_the_same(folder: Path) -> None:
    server = Server()
    for at, value in enumerate((0.8, 0.7), start=1_700_000_000):
        _score(folder, value, at)
        assert _uploader(server, folder).send_all()
    assert server.latest("test/CTRATE/all/auroc") == 0.7


@pytest.mark.parametrize("calls", range(5))
def test_a_result_sent_again_after_a_crash_is_one_row(folder: Path, calls: int) -> None:
    server = Server()
    _score(folder, 0.8, 1_700_000_000)
    assert _uploader(server, folder).send_all()
    _score(folder, 0.7, 1_700_000_001)
    server.dies_after = calls
    _uploader(server, folder).send_all()
    server.down, server.dies_after = False, None
    assert _uploader(server, folder).send_all()
    assert [value for _, _, value in server.rows["test/CTRATE/all/auroc"]] == [0.8, 0.7]


@pytest.mark.integration
@pytest.mark.slow
def test_mlflow_itself_takes_the_later_result_and_a_repeated_line_once(folder: Path) -> None:
    from orchestration.tracking.server import create_schema

    def send() -> Uploader:
        uploader = Uploader(f"sqlite:///{create_schema(folder.parent)}", "g")
        uploader.watch(folder, {})
        assert uploader.send_all(), uploader.last_error
        return uploader

    _score(folder, 0.8, 1_700_000_000)
    send()
    before = (folder / "spool.sent.json").read_text()
    _score(folder, 0.7, 1_700_000_001)
    send()
    (folder / "spool.sent.json").write_text(before)  # killed before it could note what it had sent
    client, key = send().client, "test/CTRATE/all/auroc"
    (run,) = client.search_runs(["1"], "tags.`uniferum.kind` = 'cell'")
    assert run.data.metrics[key] == 0.7
    assert [row.value for row in client.get_metric_history(run.info.run_id, key)] == [0.8, 0.7]


@pytest.mark.integration
@pytest.mark.slow
def test_content_that_mlflow_always_rejects_does_not_stop_later_lines(folder: Path) -> None:
    from orchestration.tracking.server import create_schema

    uploader = Uploader(f"sqlite:///{create_schema(folder.parent)}", "g")
    uploader.watch(folder, {})
    spool = SpoolReporter(folder)
    spool.params({"training": {"threads": 1, "steps": 3}})
    assert uploader.send_all(), uploader.last_error
    spool.params({"training": {"threads": 2, "steps": 3}})  # a resumed cell may: threads change no result
    spool.metrics(3, {"test/FOLDER/Emphysema (mild)/auroc": 0.75})
    assert uploader.send_all(), uploader.last_error
    (run,) = uploader.client.search_runs(["1"], "tags.`uniferum.kind` = 'cell'")
    assert run.data.params["training.threads"] == "1"
    assert run.data.tags["changed.training.threads"] == "2"
    assert "changed.training.steps" not in run.data.tags
    assert run.data.metrics == {"test/FOLDER/Emphysema _mild_/auroc": 0.75}


# -- a server that is away --------------------------------------------------------------------------------------------


def _cells(root: Path, count: int, server: Server) -> Uploader:
    uploader = Uploader("http://here", "g")
    uploader._client = server  # pyright: ignore[reportAttributeAccessIssue]
    for index in range(count):
        folder = root / f"cell-{index}"
        folder.mkdir()
        _steps(folder, 1, 1)
        uploader.watch(folder, {})
    return uploader


def test_a_pass_ends_at_the_first_request_without_an_answer(tmp_path: Path) -> None:
    server = Server()
    uploader = _cells(tmp_path, 3, server)
    server.down = True
    assert not uploader.send_all()
    assert server.calls == 1
    assert uploader.count_unsent_cells() == 3


def test_a_spool_without_an_answer_does_not_hold_up_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    uploader = _cells(tmp_path, 3, server)
    create = server.create_run

    def too_slow_for_one(experiment: str, run_name: str, tags: dict[str, str]) -> SimpleNamespace:
        if run_name == "cell-0":
            raise TimeoutError("no answer in 30 s")
        return create(experiment, run_name, tags)

    monkeypatch.setattr(server, "create_run", too_slow_for_one)
    assert not uploader.send_all()
    assert not uploader.send_all()
    assert uploader.count_unsent_cells() == 1


def test_a_rejected_spool_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    uploader = _cells(tmp_path, 3, server)
    log = server.log_batch

    def refuse_one(run_id: str, **parts: Any) -> None:
        if run_id == "r1":
            raise ValueError("not like this")
        log(run_id, **parts)

    monkeypatch.setattr(server, "log_batch", refuse_one)
    assert not uploader.send_all()
    assert uploader.count_unsent_cells() == 1
    assert uploader.last_error == "ValueError: not like this"


def test_finish_returns_in_time_from_a_server_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, hangs = Server(), threading.Event()
    uploader = _cells(tmp_path, 3, server)
    answered: list[bool] = []
    monkeypatch.setattr(server, "_answer", lambda: answered.append(hangs.wait(60)))
    assert uploader.finish(0.5) == 3
    assert answered == [], "the request still waits"
    hangs.set()


def test_finish_starts_no_request_after_its_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    uploader = _cells(tmp_path, 50, server)
    answer = server._answer
    monkeypatch.setattr(server, "_answer", lambda: (time.sleep(0.1), answer()))
    left = uploader.finish(1.0)
    assert 0 < left < 50
    calls = server.calls
    time.sleep(0.5)
    assert server.calls == calls


def test_finish_sends_the_last_lines(tmp_path: Path) -> None:
    server = Server()
    uploader = _cells(tmp_path, 2, server)
    uploader.start(every_s=60.0)
    append(tmp_path / "cell-0", {"status": "FINISHED"})
    assert uploader.finish(30.0) == 0
    assert server.status == ["FINISHED"]


def test_lines_are_counted_from_where_the_server_stopped(folder: Path) -> None:
    server = Server()
    _steps(folder, 1, 3)
    assert count_unsent(folder) == 3
    _uploader(server, folder).send_all()
    _steps(folder, 4, 5)
    assert count_unsent(folder, "http://here") == 2
    assert count_unsent(folder, "http://elsewhere") == 5


def test_the_same_database_at_another_address_gets_only_new_lines(folder: Path) -> None:
    server = Server()
    for address, step in (("http://127.0.0.1:1", 1), ("http://127.0.0.1:2", 2)):
        _steps(folder, step, step)
        uploader = Uploader(address, "g", database="sqlite:///root/mlflow.db#7")
        uploader._client = server  # pyright: ignore[reportAttributeAccessIssue]
        uploader.watch(folder, {})
        assert uploader.send_all()
    assert [step for step, _ in server.metrics["loss"]] == [1, 2]


def test_finish_tells_that_it_waits_and_does_not_repeat_what_the_server_rejects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Rejected(Exception):
        error_code = "BAD_REQUEST"

    monkeypatch.setattr(module, "TELL_S", 0.05)
    server, calls = Server(), []
    uploader = _cells(tmp_path, 1, server)
    server.down = True
    assert uploader.finish(0.5, lambda: calls.append(1)) == 1
    assert calls
    (tmp_path / "rejected").mkdir()
    rejecting = _cells(tmp_path / "rejected", 1, Server())

    def reject(*_: object, **__: object) -> None:
        raise Rejected("no")

    monkeypatch.setattr(rejecting._client, "log_batch", reject)
    started = time.monotonic()
    assert rejecting.finish(60.0) == 1
    assert time.monotonic() - started < 30, "a rejected line is not sent again until the time is over"


def test_a_server_at_a_new_address_gets_the_waiting_lines(folder: Path) -> None:
    first, second = Server(), Server()
    uploader = _uploader(first, folder)
    first.down = True
    _steps(folder, 1, 2)
    assert not uploader.send_all()
    uploader.reconnect("http://there")
    uploader._client = second  # pyright: ignore[reportAttributeAccessIssue]
    assert uploader.send_all()
    assert [step for step, _ in second.metrics["loss"]] == [1, 2]


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset the settings of the MLflow client, now and after the test."""
    for key in SETTINGS:
        monkeypatch.setenv(key, "")
        monkeypatch.delenv(key)


def test_settings_of_the_user_for_the_mlflow_client_stay(unset: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    configure_client()
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "5"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == SETTINGS["MLFLOW_HTTP_REQUEST_TIMEOUT"]


def test_mlflows_own_client_gives_up_soon_without_a_server(
    tmp_path: Path, unset: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    uploader = Uploader(address, "g")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        _steps(tmp_path / name, 1, 1)
        uploader.watch(tmp_path / name, {})
    assert uploader.client is not None  # its import takes seconds
    tried: list[object] = []
    connect = HTTPConnection.connect
    monkeypatch.setattr(HTTPConnection, "connect", lambda self: (tried.append(self), connect(self)))
    assert not uploader.send_all()
    assert len(tried) == 1, "one request, not repeated, for the first cell alone"
    assert uploader._unanswered == tmp_path / "a"
