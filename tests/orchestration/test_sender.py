"""What is spooled reaches MLflow in order and once, whatever happens to the server or to the sender."""

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestration.records import CellRecord
from orchestration.sender import MAX_METRICS, Sender, append, unsent
from orchestration.spool import SpoolReporter
from orchestration.tracking import spool_result
from tests.orchestration.worlds import cell, finish


class Server:
    """Behaves as MLflow's client does, as far as the sender uses it; may be down."""

    def __init__(self) -> None:
        self.down = False
        self.dies_after: int | None = None
        self.runs: list[SimpleNamespace] = []
        self.metrics: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self.params: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.files: list[str] = []
        self.status: list[str] = []
        self.largest = 0

    def _answer(self) -> None:
        if self.dies_after is not None:
            self.dies_after -= 1
            self.down = self.dies_after < 0
        if self.down:
            raise ConnectionError("no server")

    def get_experiment_by_name(self, name: str) -> SimpleNamespace:
        self._answer()
        return SimpleNamespace(experiment_id="1")

    def search_runs(self, experiments: list[str], text: str, max_results: int) -> list[SimpleNamespace]:
        self._answer()
        return [run for run in self.runs if all(f"`{k}` = '{v}'" in text for k, v in [run.mark])][:max_results]

    def create_run(self, experiment: str, run_name: str, tags: dict[str, str]) -> SimpleNamespace:
        self._answer()
        key = "uniferum.cell" if "uniferum.cell" in tags else "uniferum.kind"
        run = SimpleNamespace(info=SimpleNamespace(run_id=f"r{len(self.runs)}"), mark=(key, tags[key]), tags=tags)
        self.runs.append(run)
        return run

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        self._answer()
        self.largest = max(self.largest, len(metrics))
        for metric in metrics:
            self.metrics[metric.key].append((metric.step, metric.value))
        self.params.update({param.key: param.value for param in params})
        self.tags.update({tag.key: tag.value for tag in tags})

    def log_artifact(self, run_id: str, path: str) -> None:
        self._answer()
        self.files.append(Path(path).name)

    def set_terminated(self, run_id: str, status: str) -> None:
        self._answer()
        self.status.append(status)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / f"{cell().name}-aaaaaaaa"
    made.mkdir()
    return made


def _sender(server: Server, folder: Path) -> Sender:
    sender = Sender("http://here", "g")
    sender._client = server  # pyright: ignore[reportAttributeAccessIssue]
    sender.watch(folder, {})
    return sender


def _steps(folder: Path, first: int, last: int) -> None:
    reporter = SpoolReporter(folder)
    for step in range(first, last + 1):
        reporter.metrics(step, {"loss": 1 / step})


def test_everything_arrives_in_order(folder: Path) -> None:
    server = Server()
    SpoolReporter(folder).params({"training": {"steps": 4}})
    _steps(folder, 1, 4)
    append(folder, {"status": "FINISHED"})
    assert _sender(server, folder).send_all()
    assert server.metrics["loss"] == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]
    assert server.params == {"training.steps": "4"}
    assert server.status == ["FINISHED"]
    assert not unsent(folder)


def test_a_second_sender_sends_only_what_is_new_into_the_same_run(folder: Path) -> None:
    server = Server()
    _steps(folder, 1, 2)
    _sender(server, folder).send_all()
    _steps(folder, 3, 3)
    _sender(server, folder).send_all()
    assert [step for step, _ in server.metrics["loss"]] == [1, 2, 3]
    assert len([run for run in server.runs if run.mark[0] == "uniferum.cell"]) == 1


def test_while_the_server_is_away_lines_wait_and_then_arrive_once(folder: Path) -> None:
    server = Server()
    sender = _sender(server, folder)
    _steps(folder, 1, 1)
    assert sender.send_all()
    server.down = True
    _steps(folder, 2, 5)
    assert not sender.send_all()
    assert sender.trouble == "ConnectionError: no server"
    assert sender.waiting() == 1
    server.down = False
    assert sender.send_all()
    assert [step for step, _ in server.metrics["loss"]] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("calls", range(8))
def test_a_server_that_dies_at_any_call_loses_and_doubles_nothing(folder: Path, calls: int) -> None:
    server = Server()
    SpoolReporter(folder).params({"a": 1})
    _steps(folder, 1, 3)
    append(folder, {"status": "FINISHED"})
    server.dies_after = calls
    _sender(server, folder).send_all()
    server.down, server.dies_after = False, None
    assert _sender(server, folder).send_all()
    # MLflow holds a metric of the same key, step, time and value once: sent twice is the same row.
    assert dict.fromkeys(server.metrics["loss"]) == dict.fromkeys([(1, 1.0), (2, 0.5), (3, 1 / 3)])


def test_steps_repeated_after_a_resume_are_sent_once(folder: Path) -> None:
    server = Server()
    sender = _sender(server, folder)
    _steps(folder, 1, 5)
    sender.send_all()
    _steps(folder, 3, 6)  # the worker was killed at 5; its checkpoint was of step 2
    sender.send_all()
    assert [step for step, _ in server.metrics["loss"]] == [1, 2, 3, 4, 5, 6]


def test_a_line_still_being_written_waits_for_its_end(folder: Path) -> None:
    server = Server()
    _steps(folder, 1, 1)
    with (folder / "spool.jsonl").open("a") as spool:
        spool.write('{"step": 2, "time": 5, "metr')
    sender = _sender(server, folder)
    sender.send_all()
    assert [step for step, _ in server.metrics["loss"]] == [1]
    with (folder / "spool.jsonl").open("a") as spool:
        spool.write('ics": {"loss": 0.5}}\n')
    sender.send_all()
    assert [step for step, _ in server.metrics["loss"]] == [1, 2]


def test_a_line_cut_short_by_a_kill_is_left_out(folder: Path) -> None:
    server = Server()
    (folder / "spool.jsonl").write_text('{"step": 1, "ti\n')
    _steps(folder, 2, 2)
    assert _sender(server, folder).send_all()
    assert [step for step, _ in server.metrics["loss"]] == [2]


def test_no_batch_is_larger_than_mlflow_takes(folder: Path) -> None:
    server = Server()
    _steps(folder, 1, 3 * MAX_METRICS // 2)
    _sender(server, folder).send_all()
    assert server.largest <= MAX_METRICS
    assert len(server.metrics["loss"]) == 3 * MAX_METRICS // 2


def test_another_server_gets_everything_from_the_start(folder: Path) -> None:
    first, second = Server(), Server()
    _steps(folder, 1, 2)
    _sender(first, folder).send_all()
    other = Sender("http://elsewhere", "g")
    other._client = second  # pyright: ignore[reportAttributeAccessIssue]
    other.watch(folder, {})
    other.send_all()
    assert [step for step, _ in second.metrics["loss"]] == [1, 2]


def test_a_finished_cell_is_spooled_whole_and_once(folder: Path) -> None:
    finish(folder, "t", "e")
    server = Server()
    spool_result(CellRecord(folder))
    spool_result(CellRecord(folder))
    _sender(server, folder).send_all()
    assert server.files == ["result.json"]
    assert server.metrics["test/CTRATE/all/auroc"] == [(4, 0.8)]
    assert server.tags["uniferum.training_fingerprint"] == "t"
    assert server.status == ["FINISHED"]
