"""Sends what cells have spooled to MLflow: one thread, every spool in its order, every line once.

How far a spool was sent stands beside it (``spool.sent.json``), written after the server took the lines. A crash
between the two sends a few lines again, which changes nothing: params and tags are the same, and a metric that bears
the same key, step, time and value is one row to MLflow. While the server is away the spools wait; nothing is lost, and
no cell notices.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.records import read_json
from orchestration.spool import append_line
from uniferum.evaluation.files import write_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

MAX_METRICS, MAX_PARAMS = 1000, 100  # limits of one log_batch call
MAX_PARAM = 6000  # characters of one param's value
CELL_TAG, GRID_TAG = "uniferum.cell", "uniferum.grid"


@dataclass
class Sent:
    """How far one spool was sent."""

    path: Path
    run_id: str | None = None
    uri: str | None = None
    offset: int = 0
    last_step: dict[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, uri: str) -> "Sent":
        """From its file; another server starts from the beginning."""
        data = read_json(path) or {}
        if data.get("uri") != uri:
            return cls(path, uri=uri)
        return cls(path, data["run_id"], uri, data["offset"], data["last_step"])

    def save(self) -> None:
        """Atomically."""
        write_json(
            self.path, {"uri": self.uri, "run_id": self.run_id, "offset": self.offset, "last_step": self.last_step}
        )


class Sender:
    """Knows the cells of one grid and sends their spools to one server."""

    def __init__(self, uri: str, grid: str, tags: Mapping[str, str] | None = None) -> None:
        self.uri, self.grid, self.tags = uri, grid, dict(tags or {})
        self.cells: dict[Path, dict[str, str]] = {}
        self.trouble: str | None = None
        self._client: MlflowClient | None = None
        self._parent: str | None = None
        self._experiment: str | None = None
        self._wake, self._leave = threading.Event(), threading.Event()
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(self, folder: Path, tags: Mapping[str, str]) -> None:
        """Send this cell's spool from now on."""
        self.cells[folder] = dict(tags)
        self._wake.set()

    def start(self, every_s: float = 2.0) -> None:
        """Send in the background."""
        self._thread = threading.Thread(target=self._loop, args=(every_s,), name="mlflow-sender", daemon=True)
        self._thread.start()

    def finish(self, seconds: float = 60.0) -> int:
        """Send what is left, for so long at most; how many cells still have lines unsent."""
        self._leave.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=seconds)
        until = time.monotonic() + seconds
        while self.waiting() and time.monotonic() < until and not self.send_all():
            time.sleep(1.0)
        return self.waiting()

    def waiting(self) -> int:
        """Cells whose spool is longer than what was sent of it."""
        return sum(unsent(folder, self.uri) for folder in self.cells)

    def send_all(self) -> bool:
        """Send every spool once; False when the server did not take something."""
        with self._turn:
            return all([self._send_safely(folder, tags) for folder, tags in list(self.cells.items())])

    # ---------------------------------------------------------------------------------------------------------------

    def _loop(self, every_s: float) -> None:
        pause = every_s
        while not self._leave.is_set():
            pause = every_s if self.send_all() else min(60.0, pause * 2)
            self._wake.wait(pause)
            self._wake.clear()

    def _send_safely(self, folder: Path, tags: Mapping[str, str]) -> bool:
        if not unsent(folder, self.uri):
            return True
        try:
            self._send(folder, tags)
        except Exception as error:  # noqa: BLE001 - logging never fails a cell; the lines stay in the spool
            self.trouble = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            log.warning("MLflow did not take %s: %s", folder.name, self.trouble)
            return False
        self.trouble = None
        return True

    def _send(self, folder: Path, tags: Mapping[str, str]) -> None:
        sent = Sent.load(folder / "spool.sent.json", self.uri)
        if sent.run_id is None:
            sent.run_id = self._run(folder, tags)
            sent.save()
        for entries, offset in _parts(folder / "spool.jsonl", sent.offset):
            self._send_entries(folder, sent, entries)
            sent.offset = offset
            sent.save()

    def _send_entries(self, folder: Path, sent: Sent, entries: list[dict[str, Any]]) -> None:
        assert sent.run_id is not None, "a run was created before its lines are sent"
        metrics = [metric for entry in entries for metric in _metrics(entry, sent.last_step)]
        params = {key: value[:MAX_PARAM] for entry in entries for key, value in entry.get("params", {}).items()}
        tags = {key: value for entry in entries for key, value in entry.get("tags", {}).items()}
        self._log(sent.run_id, metrics, params, tags)
        for entry in entries:
            if "artifact" in entry and (folder / entry["artifact"]).exists():
                self.client.log_artifact(sent.run_id, str(folder / entry["artifact"]))
            if "status" in entry:
                self.client.set_terminated(sent.run_id, entry["status"])

    def _log(
        self, run_id: str, metrics: list[tuple[str, float, int, int]], params: dict[str, str], tags: dict[str, str]
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        for start in range(0, len(params), MAX_PARAMS):
            some = list(params.items())[start : start + MAX_PARAMS]
            self.client.log_batch(run_id, params=[Param(key, value) for key, value in some])
        if tags:
            self.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        for start in range(0, len(metrics), MAX_METRICS):
            some_metrics = metrics[start : start + MAX_METRICS]
            self.client.log_batch(
                run_id, metrics=[Metric(key, value, at, step) for key, value, at, step in some_metrics]
            )

    @property
    def client(self) -> "MlflowClient":
        """The MLflow client, made when it is first needed: its import takes seconds."""
        if self._client is None:
            quiet()
            from mlflow import MlflowClient

            self._client = MlflowClient(tracking_uri=self.uri)
        return self._client

    def _run(self, folder: Path, tags: Mapping[str, str]) -> str:
        """The cell's run, found by its tag or created: a restarted driver goes on in the same one."""
        experiment = self._experiment_id()
        found = self._find(experiment, CELL_TAG, folder.name)
        if found is not None:
            return found
        if self._parent is None:
            self._parent = self._find(experiment, "uniferum.kind", "grid") or self._create(
                experiment, self.grid, {"uniferum.kind": "grid"}
            )
        named = {CELL_TAG: folder.name, "uniferum.kind": "cell", "mlflow.parentRunId": self._parent, **tags}
        return self._create(experiment, folder.name, named)

    def _experiment_id(self) -> str:
        if self._experiment is None:
            known = self.client.get_experiment_by_name(self.grid)
            self._experiment = known.experiment_id if known else self.client.create_experiment(self.grid)
        return self._experiment

    def _find(self, experiment: str, tag: str, value: str) -> str | None:
        runs = self.client.search_runs([experiment], f"tags.`{tag}` = '{value}'", max_results=1)
        return runs[0].info.run_id if runs else None

    def _create(self, experiment: str, name: str, tags: Mapping[str, str]) -> str:
        run = self.client.create_run(experiment, run_name=name, tags={GRID_TAG: self.grid, **self.tags, **tags})
        return run.info.run_id


def quiet() -> None:
    """MLflow prints addresses and migrations on its own; a grid has its own lines."""
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def unsent(folder: Path, uri: str | None = None) -> bool:
    """Whether a spool has lines that ``uri`` (or, without one, the last server) did not take."""
    spool, sent = folder / "spool.jsonl", read_json(folder / "spool.sent.json") or {}
    if not spool.exists():
        return False
    return (sent.get("offset", 0) if uri in (None, sent.get("uri")) else 0) < spool.stat().st_size


def append(folder: Path, entry: Mapping[str, Any]) -> None:
    """Add a line of the driver's own to a cell's spool; only while no worker writes there."""
    append_line(folder / "spool.jsonl", entry)


def _parts(spool: Path, offset: int) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Whole lines from ``offset`` on, some hundreds at a time, each part with the offset behind it."""
    with spool.open("rb") as lines:
        lines.seek(offset)
        entries: list[dict[str, Any]] = []
        for line in lines:
            if not line.endswith(b"\n"):
                break  # still being written
            offset += len(line)
            entries += _entry(line)
            if len(entries) >= 200:
                yield entries, offset
                entries = []
        if entries:
            yield entries, offset


def _entry(line: bytes) -> list[dict[str, Any]]:
    try:
        return [json.loads(line)]
    except json.JSONDecodeError:
        log.warning("a spooled line cut short by a kill is left out")
        return []


def _metrics(entry: Mapping[str, Any], last_step: dict[str, int]) -> Iterator[tuple[str, float, int, int]]:
    """Metrics of steps not sent before: after a resume a cell reports again what came after its checkpoint."""
    for key, value in entry.get("metrics", {}).items():
        if entry["step"] > last_step.get(key, -1):
            last_step[key] = entry["step"]
            yield key, value, entry["time"], entry["step"]
