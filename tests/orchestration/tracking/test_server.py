"""The grid's own server: found by all, stopped by its owner alone, whole, and there again after it was killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestration import processes
from orchestration.tracking import server as mlflow_server
from orchestration.tracking.server import CARD, DATABASE, Server
from orchestration.tracking.supervisor import ServerSupervisor
from uniferum.errors import UniferumError

# As MLflow's command line does, the first process only waits for the one that answers.
STAND_IN = """
import subprocess, sys, time
child = '''
import http.server, sys
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Health).serve_forever()
'''
subprocess.run([sys.executable, "-S", "-c", child, sys.argv[1]])
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A grid's folder whose server is a stand-in; what is left of it is ended."""
    started: list[int] = []

    def command(root: Path, uri: str) -> list[str]:
        return [sys.executable, "-S", "-c", STAND_IN, uri.rsplit(":", 1)[1]]

    (tmp_path / DATABASE).touch()
    monkeypatch.setattr(mlflow_server, "_command", command)
    write = mlflow_server._write_card
    monkeypatch.setattr(
        mlflow_server, "_write_card", lambda root, server: (started.append(server.pid or 0), write(root, server))
    )
    yield tmp_path
    for pid in started:
        if pid and processes.group_is_running(pid):
            os.killpg(pid, signal.SIGKILL)


def _until(holds: Callable[[], bool], seconds: float = 30.0) -> bool:
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.05)
    return holds()


def _belongs_to(root: Path, owner: dict[str, object]) -> None:
    """Rewrite the card as if another process had launched the server."""
    card = json.loads((root / CARD).read_text())
    (root / CARD).write_text(json.dumps({**card, "owner": owner}))


@pytest.fixture
def other() -> Iterator[dict[str, object]]:
    """Another process, that lives until the test ends it."""
    process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    yield {**processes.this_process(), "pid": process.pid, "since": processes.start_time(process.pid)}
    process.kill()
    process.wait()


def test_stop_ends_every_process_of_our_server(root: Path) -> None:
    server = mlflow_server.start(root)
    assert server.pid is not None
    mlflow_server.stop(root, server)
    assert not mlflow_server.answers(server.uri)
    assert not processes.group_is_running(server.pid)
    assert not (root / CARD).exists()


def test_stop_ends_what_answers_after_its_wrapper_was_killed(root: Path) -> None:
    server = mlflow_server.start(root)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert _until(lambda: processes.start_time(server.pid or 0) is None)
    assert mlflow_server.answers(server.uri)  # the child lives on
    mlflow_server.stop(root, server)
    assert not mlflow_server.answers(server.uri)


def test_a_server_that_does_not_come_up_leaves_no_process(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def deaf(uri: str, process: subprocess.Popen[bytes], *_: object) -> bool:
        assert _until(lambda: mlflow_server.answers(uri))
        seen.append(process.pid)
        return False

    monkeypatch.setattr(mlflow_server, "_comes_up", deaf)
    with pytest.raises(UniferumError, match="answer within"):
        mlflow_server.start(root)
    assert not processes.group_is_running(seen[0])


def test_a_server_of_another_process_is_found_and_not_stopped(root: Path, other: dict[str, object]) -> None:
    mine = mlflow_server.start(root)
    _belongs_to(root, other)
    for found in (mlflow_server.start(root), mlflow_server.find(root)):
        assert found is not None
        assert found.uri == mine.uri
        assert not found.ours
        mlflow_server.stop(root, found)
    assert mlflow_server.answers(mine.uri)
    assert (root / CARD).exists()


def test_the_server_of_a_killed_driver_belongs_to_the_next_one(root: Path, other: dict[str, object]) -> None:
    mine = mlflow_server.start(root)
    _belongs_to(root, {**other, "since": 1.0})  # the number is there, the process is another one
    inherited = mlflow_server.start(root)
    assert inherited.uri == mine.uri
    assert inherited.ours
    mlflow_server.stop(root, inherited)
    assert not mlflow_server.answers(mine.uri)


def test_a_card_whose_process_number_now_leads_another_group_ends_nobody(other: dict[str, object]) -> None:
    assert isinstance(other["pid"], int)
    processes.terminate_group(other["pid"], 1.0, seconds=0.2)
    assert processes.start_time(other["pid"]) is not None


# -- the keeper -------------------------------------------------------------------------------------------------------


class Kept:
    """A keeper without patience, and what it told."""

    def __init__(self, root: Path, *, leads: Callable[[], bool] = lambda: True, apart_s: float = 0.2) -> None:
        self.came: list[Server] = []
        self.said: list[str] = []
        self.keeper = ServerSupervisor(
            root, self.came.append, self.said.append, leads=leads, look_s=0.05, apart_s=apart_s, silent_s=2.0
        )

    def __enter__(self) -> "Kept":
        self.keeper.start()
        self.keeper.wait_for_first(30.0)
        return self

    def __exit__(self, *_: object) -> None:
        self.keeper.stop()


def _kill(server: Server) -> None:
    assert server.pid is not None
    os.killpg(server.pid, signal.SIGKILL)


def test_our_server_is_there_again_at_its_address_after_it_was_killed(root: Path) -> None:
    with Kept(root) as kept:
        _kill(kept.came[0])
        assert _until(lambda: len(kept.came) == 2)
        assert kept.came[1].uri == kept.came[0].uri
        assert kept.came[1].pid != kept.came[0].pid
        assert mlflow_server.answers(kept.came[1].uri)
    assert not mlflow_server.answers(kept.came[1].uri)


@pytest.mark.slow
def test_our_server_that_is_silent_for_long_is_ended_and_started_again(root: Path) -> None:
    with Kept(root) as kept:
        first = kept.came[0]
        assert first.pid is not None
        os.killpg(first.pid, signal.SIGSTOP)
        assert _until(lambda: len(kept.came) == 2, 60.0)
        assert kept.came[1].uri == first.uri
        assert not processes.group_is_running(first.pid)


def test_a_killed_server_is_not_started_again_before_its_time(root: Path) -> None:
    with Kept(root, apart_s=600.0) as kept:
        _kill(kept.came[0])
        time.sleep(0.5)
        assert len(kept.came) == 1


def test_a_driver_that_lost_its_lease_starts_no_server(root: Path) -> None:
    leads = [True]
    with Kept(root, leads=lambda: leads[0]) as kept:
        leads[0] = False
        _kill(kept.came[0])
        time.sleep(0.6)
        assert len(kept.came) == 1


def test_the_keeper_leaves_another_processs_server_alone(root: Path, other: dict[str, object]) -> None:
    mine = mlflow_server.start(root)
    _belongs_to(root, other)
    with Kept(root) as kept:
        assert kept.came[0].uri == mine.uri
    assert mlflow_server.answers(mine.uri)


def test_a_server_that_cannot_start_is_told_once_and_tried_ever_more_rarely(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[float] = []

    def refuse(*_: object, **__: object) -> Server:
        tries.append(time.monotonic())
        raise UniferumError("the MLflow server", must="answer within 90 s")

    monkeypatch.setattr(mlflow_server, "start", refuse)
    with Kept(root) as kept:
        assert _until(lambda: len(tries) == 3)
    assert len(kept.said) == 1
    assert tries[2] - tries[1] > 1.5 * (tries[1] - tries[0])


@pytest.mark.integration
@pytest.mark.slow
def test_mlflow_itself_is_ended_whole_and_started_again_at_its_address(tmp_path: Path) -> None:
    server = mlflow_server.start(tmp_path)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    mlflow_server.stop(tmp_path, server)
    assert not processes.group_is_running(server.pid)
    again = mlflow_server.start(tmp_path, port=server.port)
    assert again.uri == server.uri
    mlflow_server.stop(tmp_path, again)
    assert not mlflow_server.answers(again.uri)
