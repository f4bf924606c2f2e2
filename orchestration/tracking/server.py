"""Start, find and stop the grid's own MLflow server: loopback address, SQLite database, one worker.

Parallel schema migrations destroy a new MLflow SQLite file that several processes open at once. Therefore the schema is
created in a draft file under a lock and renamed; clients talk to the server, never to the file.

``mlflow.json`` beside the database holds the server's address, process and owner. Every process may use the server;
only its owner stops it, and if the owner is dead, the next process that asks for the server becomes its owner. The file
is written before the server answers: if the owner is killed during the start, the next process finds what is left.
"""

import contextlib
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
from uniferum.errors import StateError, UniferumError

DATABASE, ARTIFACTS, CARD = "mlflow.db", "mlartifacts", "mlflow.json"

_children: dict[int, subprocess.Popen[bytes]] = {}  # kept, so that Python reaps the processes


@dataclass(frozen=True)
class Server:
    """A running server; ``pid`` leads its process group, and ``ours`` means that this process must stop it."""

    uri: str
    pid: int | None = None
    ours: bool = False
    since: float | None = None

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        return int(self.uri.rsplit(":", 1)[1])


def _never() -> bool:
    return False


def configured_uri(uri: str | None) -> str | None:
    """Address of the tracking server that the grid file or ``MLFLOW_TRACKING_URI`` names; None if there is none.

    Raises:
        UniferumError: the address is a file store or a database, which several cells cannot share.
    """
    address = uri or os.environ.get("MLFLOW_TRACKING_URI") or None
    if address is not None and not address.startswith(("http://", "https://")):
        raise UniferumError(
            "MLFLOW_TRACKING_URI",
            address,
            must="be the http(s) address of an MLflow server",
            cure="unset it, and the grid starts its own server",
        )
    return address


def start(
    root: Path, *, seconds: float = 90.0, port: int | None = None, cancelled: Callable[[], bool] = _never
) -> Server:
    """Start the grid's own server, or return the one that is already running.

    Args:
        root: the grid's folder.
        seconds: time limit for the start.
        port: preferred port; default: the port of the last server.
        cancelled: checked during the start; once true, the server is stopped again.

    Raises:
        StateError: the server did not answer in time, or there is no free port.
    """
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / "mlflow.lock"):
        running = find(root)
        if running is not None:
            return running if running.ours else _take_over(root, running)
        _end_unfinished(root)
        create_schema(root)
        return _launch(root, port or _port_before(root), seconds, cancelled)


def find(root: Path) -> Server | None:
    """Find the grid's own server; None if it does not answer."""
    card = read_json(root / CARD)
    if card is None or not answers(card["uri"]):
        return None
    return Server(card["uri"], card["pid"], processes.is_this_process(card.get("owner")), card.get("since"))


def stop(root: Path, server: Server) -> None:
    """Stop all processes of the server and delete its card; does nothing if another process owns it."""
    if server.pid is None or not server.ours:
        return
    _end(server.pid, server.since)
    if (read_json(root / CARD) or {}).get("pid") == server.pid:
        (root / CARD).unlink(missing_ok=True)


def create_schema(root: Path) -> Path:
    """Create the database atomically if it does not exist; the caller holds the lock."""
    database = root / DATABASE
    if database.exists():
        return database
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
    draft.rename(database)
    return database


def database_id(root: Path) -> str:
    """Name the database in the upload states of spools: the server's port changes, and a new file is empty."""
    database = (root / DATABASE).resolve()
    return f"sqlite:///{database}#{database.stat().st_ino if database.exists() else 0}"


def artifact_root(root: Path) -> str:
    """Folder of the artifacts, as a URI that is valid for the server and for a reader of the database."""
    return (root / ARTIFACTS).resolve().as_uri()


def answers(uri: str, *, seconds: float = 2.0) -> bool:
    """Whether an MLflow server answers at this address."""
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=seconds) as reply:
            return reply.status == 200
    except (OSError, ValueError):
        return False


def _launch(root: Path, port: int, seconds: float, cancelled: Callable[[], bool]) -> Server:
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
        server = Server(uri, process.pid, ours=True, since=processes.start_time(process.pid))
        _write_card(root, server)
        if _wait_until_up(uri, process, seconds, cancelled):
            return server
    except BaseException:
        _end(process.pid)
        raise
    _end(process.pid)
    raise StateError(f"The MLflow server did not answer within {seconds:g} s", cure=f"See {log}.")


def _command(root: Path, uri: str) -> list[str]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", uri.rsplit(":", 1)[1]]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{(root / DATABASE).resolve()}"]
    return [*command, "--default-artifact-root", artifact_root(root)]


def _wait_until_up(uri: str, process: subprocess.Popen[bytes], seconds: float, cancelled: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None and not cancelled():
        if answers(uri):
            return True
        time.sleep(0.3)
    return False


def _write_card(root: Path, server: Server) -> None:
    assert server.pid is not None, "a card is written by the owner of a process"
    card = {"uri": server.uri, "pid": server.pid, "since": server.since, "owner": processes.this_process()}
    write_json(root / CARD, card)


def _take_over(root: Path, server: Server) -> Server:
    """Become the owner of a server whose owner is dead; otherwise return it unchanged."""
    owner = (read_json(root / CARD) or {}).get("owner")
    if server.pid is None or processes.is_running(owner) or not processes.group_is_running(server.pid, server.since):
        return server
    ours = replace(server, ours=True)
    try:
        _write_card(root, ours)
    except OSError:
        return server  # usable without its card; the next process takes it over
    return ours


def _end_unfinished(root: Path) -> None:
    """End the processes of a server that does not answer and whose owner is dead: it was killed during the start."""
    card = read_json(root / CARD)
    if card is None or card.get("since") is None or processes.is_running(card.get("owner")):
        return
    processes.terminate_group(card["pid"], card["since"])


def _end(pid: int, since: float | None = None) -> None:
    processes.terminate_group(pid, since)
    _children.pop(pid, None)


def _port_before(root: Path) -> int:
    """Port of the last server, so that clients that still use it reach the new one; 0 if there was none."""
    card = read_json(root / CARD)
    return int(card["uri"].rsplit(":", 1)[1]) if card else 0


def _free_port(preferred: int) -> int:
    for port in dict.fromkeys((preferred, 0)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return probe.getsockname()[1]
    raise StateError("No free port on 127.0.0.1 for MLflow", cure="Stop another server or set tracking.uri.")


def wait(server: Server) -> None:
    """Wait until the server stops answering."""
    while answers(server.uri):
        time.sleep(1.0)
