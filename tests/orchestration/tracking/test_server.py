"""The grid's own MLflow server: every process finds it, only its owner stops it, and it is restarted when killed."""

import json
import multiprocessing
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

# As in MLflow's command line, the first process only waits for its child, which answers.
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
    """A grid's folder with a stand-in for the server; its processes are killed at the end."""
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
    """Rewrite the card as if another process owned the server."""
    card = json.loads((root / CARD).read_text())
    (root / CARD).write_text(json.dumps({**card, "owner": owner}))


@pytest.fixture
def other() -> Iterator[dict[str, object]]:
    """Another process, alive until the end of the test."""
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


def test_stop_ends_the_child_whose_wrapper_was_killed(root: Path) -> None:
    server = mlflow_server.start(root)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert _until(lambda: processes.start_time(server.pid or 0) is None)
    assert mlflow_server.answers(server.uri), "the child is still alive"
    mlflow_server.stop(root, server)
    assert not mlflow_server.answers(server.uri)


def test_a_server_that_does_not_come_up_leaves_no_process(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def deaf(uri: str, process: subprocess.Popen[bytes], *_: object) -> bool:
        assert _until(lambda: mlflow_server.answers(uri))
        seen.append(process.pid)
        return False

    monkeypatch.setattr(mlflow_server, "_wait_until_up", deaf)
    with pytest.raises(UniferumError, match="did not answer within"):
        mlflow_server.start(root)
    assert not processes.group_is_running(seen[0])


def test_a_server_of_another_process_is_found_and_not_stopped(root: Path, other: dict[str, object]) -> None:
    mine = mlflow_server.start(root)
    _belongs_to(root, other)
    for server in (mlflow_server.start(root), mlflow_server.find(root)):
        assert server is not None
        assert server.uri == mine.uri
        assert not server.ours
        mlflow_server.stop(root, server)
    assert mlflow_server.answers(mine.uri)
    assert (root / CARD).exists()


def test_the_server_of_a_killed_driver_belongs_to_the_next_one(root: Path, other: dict[str, object]) -> None:
    mine = mlflow_server.start(root)
    _belongs_to(root, {**other, "since": 1.0})  # the PID is in use, by another process
    taken = mlflow_server.start(root)
    assert taken.uri == mine.uri
    assert taken.ours
    mlflow_server.stop(root, taken)
    assert not mlflow_server.answers(mine.uri)


def test_a_server_whose_driver_was_killed_during_the_start_is_ended_by_the_next_driver(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(mlflow_server, "_wait_until_up", lambda *_: time.sleep(600))
        killed = multiprocessing.get_context("fork").Process(target=mlflow_server.start, args=(root,))
        killed.start()
        assert _until((root / CARD).exists)
        killed.kill()
        killed.join()
    first = json.loads((root / CARD).read_text())["pid"]
    assert processes.group_is_running(first), "nobody is left to stop it"
    monkeypatch.setattr(mlflow_server, "find", lambda root: None)  # it does not answer yet
    second = mlflow_server.start(root)
    assert second.ours
    assert second.pid != first
    assert not processes.group_is_running(first)
    mlflow_server.stop(root, second)


def test_a_card_whose_pid_now_belongs_to_another_process_kills_nothing(other: dict[str, object]) -> None:
    assert isinstance(other["pid"], int)
    processes.terminate_group(other["pid"], 1.0, seconds=0.2)
    assert processes.start_time(other["pid"]) is not None


# -- the supervisor ---------------------------------------------------------------------------------------------------


class Supervised:
    """A supervisor with short waits, the servers it started and what it said."""

    def __init__(self, root: Path, *, leads: Callable[[], bool] = lambda: True, restart_s: float = 0.2) -> None:
        self.servers: list[Server] = []
        self.said: list[str] = []
        self.supervisor = ServerSupervisor(
            root, self.servers.append, self.said.append, leads=leads, poll_s=0.05, restart_s=restart_s, silent_s=2.0
        )

    def __enter__(self) -> "Supervised":
        self.supervisor.start()
        self.supervisor.wait_for_first(30.0)
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.stop()


def _kill(server: Server) -> None:
    assert server.pid is not None
    os.killpg(server.pid, signal.SIGKILL)


def test_a_killed_server_is_restarted_on_its_port(root: Path) -> None:
    with Supervised(root) as supervised:
        _kill(supervised.servers[0])
        assert _until(lambda: len(supervised.servers) == 2)
        assert supervised.servers[1].uri == supervised.servers[0].uri
        assert supervised.servers[1].pid != supervised.servers[0].pid
        assert mlflow_server.answers(supervised.servers[1].uri)
    assert not mlflow_server.answers(supervised.servers[1].uri)


@pytest.mark.slow
def test_a_silent_server_is_stopped_and_restarted(root: Path) -> None:
    with Supervised(root) as supervised:
        first = supervised.servers[0]
        assert first.pid is not None
        os.killpg(first.pid, signal.SIGSTOP)
        assert _until(lambda: len(supervised.servers) == 2, 60.0)
        assert supervised.servers[1].uri == first.uri
        assert not processes.group_is_running(first.pid)


def test_a_killed_server_is_not_restarted_before_the_pause_is_over(root: Path) -> None:
    with Supervised(root, restart_s=600.0) as supervised:
        _kill(supervised.servers[0])
        time.sleep(0.5)
        assert len(supervised.servers) == 1


def test_a_driver_that_lost_its_lease_starts_no_server(root: Path) -> None:
    leads = [True]
    with Supervised(root, leads=lambda: leads[0]) as supervised:
        leads[0] = False
        _kill(supervised.servers[0])
        time.sleep(0.6)
        assert len(supervised.servers) == 1


def test_the_supervisor_leaves_another_processs_server_alone(root: Path, other: dict[str, object]) -> None:
    mine = mlflow_server.start(root)
    _belongs_to(root, other)
    with Supervised(root) as supervised:
        assert supervised.servers[0].uri == mine.uri
    assert mlflow_server.answers(mine.uri)


def test_a_server_that_cannot_start_is_reported_once_and_retried_with_growing_pauses(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[float] = []

    def refuse(*_: object, **__: object) -> Server:
        tries.append(time.monotonic())
        raise UniferumError("the server", must="answer")

    monkeypatch.setattr(mlflow_server, "start", refuse)
    with Supervised(root) as supervised:
        assert _until(lambda: len(tries) == 3)
    assert len(supervised.said) == 1
    assert tries[2] - tries[1] > 1.5 * (tries[1] - tries[0])


@pytest.mark.integration
@pytest.mark.slow
def test_mlflow_itself_is_stopped_with_all_processes_and_restarted_on_its_port(tmp_path: Path) -> None:
    server = mlflow_server.start(tmp_path)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    mlflow_server.stop(tmp_path, server)
    assert not processes.group_is_running(server.pid)
    again = mlflow_server.start(tmp_path, port=server.port)
    assert again.uri == server.uri
    mlflow_server.stop(tmp_path, again)
    assert not mlflow_server.answers(again.uri)
