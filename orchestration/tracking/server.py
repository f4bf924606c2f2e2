"""An MLflow server of our own: loopback, SQLite, one process; its schema is made once, before anything opens the file.

A fresh MLflow SQLite file that several processes open at once is destroyed by their parallel migrations. So the schema
is made in a draft under a lock and renamed into place; clients talk to the server, never to the file.

A card beside the database says where the server is and which process it belongs to. Whoever needs the server uses it;
only its owner stops it, and an owner that is dead is succeeded by the next who asks for the server.
"""

import contextlib
import json
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock

from orchestration import processes
from orchestration.grid.records import read_json
from uniferum.atomic import write_json
from uniferum.errors import UniferumError

DATABASE, ARTIFACTS, CARD = "mlflow.db", "mlartifacts", "mlflow.json"

_children: dict[int, subprocess.Popen[bytes]] = {}  # what this process launched, so that Python waits for it


@dataclass(frozen=True)
class Server:
    """A server that answered; ``pid`` leads its process group, and it is ``ours`` when this process has to stop it."""

    uri: str
    pid: int | None = None
    ours: bool = False
    since: float | None = None

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        return int(self.uri.rsplit(":", 1)[1])


def _never() -> bool:
    return False


def configured(uri: str | None) -> str | None:
    """The tracking server that the grid file or ``MLFLOW_TRACKING_URI`` names; None: start one.

    Raises:
        UniferumError: a file store or a database is named, which several cells cannot share.
    """
    found = uri or os.environ.get("MLFLOW_TRACKING_URI") or None
    if found is not None and not found.startswith(("http://", "https://")):
        raise UniferumError(
            "MLFLOW_TRACKING_URI",
            found,
            must="be the http(s) address of an MLflow server",
            cure="unset it, and the grid starts a server of its own",
        )
    return found


def start(
    root: Path, *, seconds: float = 90.0, port: int | None = None, given_up: Callable[[], bool] = _never
) -> Server:
    """Start the grid's own server, or find the one that runs already.

    Args:
        root: the grid's folder.
        seconds: how long it may take to answer.
        port: where it listened before; by default what the card of the last one says.
        given_up: asked while the server comes up; once true, it is stopped again.

    Raises:
        UniferumError: it did not answer in time; its log is named.
    """
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / "mlflow.lock"):
        running = find(root)
        if running is not None:
            return running if running.ours else _inherited(root, running)
        create_schema(root)
        return _launch(root, port or _port_before(root), seconds, given_up)


def find(root: Path) -> Server | None:
    """The grid's own server, if it answers."""
    card = read_json(root / CARD)
    if card is None or not answers(card["uri"]):
        return None
    return Server(card["uri"], card["pid"], processes.is_this_process(card.get("owner")), card.get("since"))


def stop(root: Path, server: Server) -> None:
    """End our own server, all its processes, and forget its address; another process's server is left alone."""
    if server.pid is None or not server.ours:
        return
    _end(server.pid, server.since)
    if (read_json(root / CARD) or {}).get("pid") == server.pid:
        (root / CARD).unlink(missing_ok=True)


def create_schema(root: Path) -> Path:
    """Make the database once, whole or not at all; call it under the lock."""
    place = root / DATABASE
    if place.exists():
        return place
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    draft = root / f".{DATABASE}.draft"
    draft.unlink(missing_ok=True)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    store = SqlAlchemyStore(f"sqlite:///{draft.resolve()}", artifact_root(root))
    store.engine.dispose()
    connection = sqlite3.connect(draft)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    draft.rename(place)
    return place


def artifact_root(root: Path) -> str:
    """Where files go: a folder that the server and a reader of the database both see."""
    return (root / ARTIFACTS).resolve().as_uri()


def answers(uri: str, *, seconds: float = 2.0) -> bool:
    """Whether an MLflow server is there."""
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=seconds) as reply:
            return reply.status == 200
    except (OSError, ValueError):
        return False


def _launch(root: Path, port: int, seconds: float, given_up: Callable[[], bool]) -> Server:
    uri = f"http://127.0.0.1:{_free_port(port)}"
    log = root / "mlflow.log"
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_TRACKING_URI": "", "OMP_NUM_THREADS": "1"}
    with log.open("ab") as out:
        process = subprocess.Popen(
            _command(root, uri),
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **quiet},
        )
    _children[process.pid] = process
    try:
        if _comes_up(uri, process, seconds, given_up):
            server = Server(uri, process.pid, ours=True, since=processes.start_time(process.pid))
            _write_card(root, server)
            return server
    except BaseException:
        _end(process.pid)  # nobody could find it again
        raise
    _end(process.pid)
    raise UniferumError("the MLflow server", must=f"answer within {seconds:g} s", cure=f"see {log}")


def _command(root: Path, uri: str) -> list[str]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", uri.rsplit(":", 1)[1]]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{(root / DATABASE).resolve()}"]
    return [*command, "--default-artifact-root", artifact_root(root)]


def _comes_up(uri: str, process: subprocess.Popen[bytes], seconds: float, given_up: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None and not given_up():
        if answers(uri):
            return True
        time.sleep(0.3)
    return False


def _write_card(root: Path, server: Server) -> None:
    assert server.pid is not None, "a card is written by the owner of a process"
    card = {"uri": server.uri, "pid": server.pid, "since": server.since, "owner": processes.this_process()}
    write_json(root / CARD, card)


def _inherited(root: Path, server: Server) -> Server:
    """A server whose owner was killed becomes ours; any other stays whose it is."""
    owner = (read_json(root / CARD) or {}).get("owner")
    if server.pid is None or processes.is_running(owner) or not processes.group_is_running(server.pid, server.since):
        return server
    ours = replace(server, ours=True)
    try:
        _write_card(root, ours)
    except OSError:
        return server  # used all the same; the next one inherits it
    return ours


def _end(pid: int, since: float | None = None) -> None:
    processes.terminate_group(pid, since)
    _children.pop(pid, None)


def _port_before(root: Path) -> int:
    """The port of the server that ran here last, so that whoever still sends to it finds its successor; else 0."""
    card = read_json(root / CARD)
    return int(card["uri"].rsplit(":", 1)[1]) if card else 0


def _free_port(wanted: int) -> int:
    for port in dict.fromkeys((wanted, 0)):
        with socket.socket() as found, contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(("127.0.0.1", port))
            return found.getsockname()[1]
    raise UniferumError("the MLflow server", must="find a free port on 127.0.0.1")


def describe(root: Path) -> str:
    """The last lines of the server's log, for an error."""
    log = root / "mlflow.log"
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:]) if log.exists() else json.dumps(None)


def wait(server: Server) -> None:
    """Until the server ends."""
    while answers(server.uri):
        time.sleep(1.0)
