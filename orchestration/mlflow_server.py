"""An MLflow server of our own: loopback, SQLite, one process; its schema is made once, before anything opens the file.

A fresh MLflow SQLite file that several processes open at once is destroyed by their parallel migrations. So the schema
is made in a draft under a lock and renamed into place; clients talk to the server, never to the file.
"""

import contextlib
import json
import logging
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from orchestration.records import read_json
from uniferum.errors import UniferumError
from uniferum.evaluation.files import write_json

DATABASE, ARTIFACTS, CARD = "mlflow.db", "mlartifacts", "mlflow.json"


@dataclass(frozen=True)
class Server:
    """A server that answers; ``pid`` is None when it is not ours to stop."""

    uri: str
    pid: int | None = None


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


def start(root: Path, *, seconds: float = 90.0) -> Server:
    """Start the grid's own server, or find the one that runs already.

    Raises:
        UniferumError: it did not answer in time; its log is named.
    """
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / "mlflow.lock"):
        running = find(root)
        if running is not None:
            return running
        create_schema(root)
        return _launch(root, seconds)


def find(root: Path) -> Server | None:
    """The grid's own server, if it answers."""
    card = read_json(root / CARD)
    if card is None or not answers(card["uri"]):
        return None
    return Server(card["uri"], card["pid"])


def stop(root: Path, server: Server) -> None:
    """End our own server and forget its address."""
    if server.pid is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    _reap(server.pid)
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


def _launch(root: Path, seconds: float) -> Server:
    uri = f"http://127.0.0.1:{_free_port(_port_before(root))}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", uri.rsplit(":", 1)[1]]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{(root / DATABASE).resolve()}"]
    command += ["--default-artifact-root", artifact_root(root)]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_TRACKING_URI": "", "OMP_NUM_THREADS": "1"}
    log = root / "mlflow.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **quiet},
        )
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        if answers(uri):
            return _carded(root, Server(uri, process.pid))
        time.sleep(0.3)
    process.kill()
    process.wait()
    raise UniferumError("the MLflow server", must=f"answer within {seconds:g} s", cure=f"see {log}")


def _carded(root: Path, server: Server) -> Server:
    """Write down where the server is; one that nobody could find again is stopped."""
    try:
        write_json(root / CARD, {"uri": server.uri, "pid": server.pid})
    except OSError:
        stop(root, server)
        raise
    return server


def _reap(pid: int, seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return
        except ChildProcessError:
            if not _exists(pid):
                return
        time.sleep(0.1)
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


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
