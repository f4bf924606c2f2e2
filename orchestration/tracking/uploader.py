"""Upload the spools of cells to MLflow: one thread, each spool in its order, each line once.

``spool.sent.json`` beside a spool holds its upload state and is written after the server has accepted the lines. After
a crash in between, a few lines are sent again. That changes nothing: params and tags are the same, and MLflow stores a
metric with the same key, step, time and value once. While the server is away the spools stay on disk and cells are not
affected. A pass over the spools ends at the first request without an answer, because no other spool would get one, and
each request first checks the time limit of :meth:`Uploader.finish`.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.grid.records import read_json
from orchestration.grid.unsent import has_unsent
from orchestration.tracking.client import configure_client, is_away, is_refusal, valid_name
from orchestration.tracking.spool_reader import new_metrics, read_batches
from uniferum.atomic import write_json

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Param

log = logging.getLogger(__name__)

MAX_METRICS, MAX_PARAMS = 1000, 100  # limits of one log_batch call
MAX_PARAM = 6000  # characters of one param's value
CELL_TAG, GRID_TAG = "uniferum.cell", "uniferum.grid"
TELL_S = 15.0
"""Seconds between two calls of ``waiting`` in :meth:`Uploader.finish`."""


@dataclass
class UploadState:
    """Upload state of one spool: the MLflow run, the offset that was sent, and the last step of each metric."""

    path: Path
    run_id: str | None = None
    uri: str | None = None  # the server's name, see Uploader.server
    offset: int = 0
    last_step: dict[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, uri: str) -> "UploadState":
        """Read the state from its file; for another server the upload starts from the beginning."""
        data = read_json(path) or {}
        if data.get("uri") != uri:
            return cls(path, uri=uri)
        return cls(path, data["run_id"], uri, data["offset"], data["last_step"])

    def save(self) -> None:
        """Write the upload state atomically."""
        write_json(
            self.path, {"uri": self.uri, "run_id": self.run_id, "offset": self.offset, "last_step": self.last_step}
        )


class OutOfTime(Exception):
    """The time limit of the last upload is over; the remaining lines stay in the spools."""


class Uploader:
    """Uploads the spools of one grid's cells to one server."""

    def __init__(self, uri: str, grid: str, tags: Mapping[str, str] | None = None, database: str | None = None) -> None:
        """Send nothing yet.

        Args:
            uri: address of the server.
            grid: name of the MLflow experiment.
            tags: tags of every run.
            database: names what the server stores in, if that stays the same at another address.
        """
        self.uri, self.grid, self.tags, self.database = uri, grid, dict(tags or {}), database
        self.cells: dict[Path, dict[str, str]] = {}
        self.last_error: str | None = None
        self._client: MlflowClient | None = None
        self._parent: str | None = None
        self._experiment: str | None = None
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._until = math.inf
        self._lock = threading.Lock()
        self._unanswered: Path | None = None
        self._refused = False  # in the last pass every error was a rejected content, so that a repetition is useless
        self._warned: set[Path | None] = set()
        self._thread: threading.Thread | None = None

    def watch(self, folder: Path, tags: Mapping[str, str]) -> None:
        """Add a cell's folder to those whose spools are sent."""
        self.cells[folder] = dict(tags)
        self._wake.set()

    def start(self, every_s: float = 2.0) -> None:
        """Start the background thread."""
        self._thread = threading.Thread(target=self._loop, args=(every_s,), name="mlflow-uploader", daemon=True)
        self._thread.start()

    def reconnect(self, uri: str) -> None:
        """Use this address from now on and send at once: the server was restarted."""
        if uri != self.uri:
            with self._lock:
                self.uri, self._client, self._parent, self._experiment = uri, None, None, None
        self._wake.set()

    @property
    def server(self) -> str:
        """The server's name in the upload states: the database if it is known, else the address."""
        return self.database or self.uri

    def finish(self, seconds: float = 60.0, waiting: Callable[[], None] = lambda: None) -> int:
        """Send the remaining lines, for ``seconds`` at most.

        A request that is still running then is left to the background thread, which ends with the process.

        Args:
            seconds: time limit.
            waiting: called every :data:`TELL_S` seconds until the end.

        Returns:
            The number of cells with unsent lines.
        """
        self._until = time.monotonic() + seconds
        self._stopping.set()
        self._wake.set()
        if self._thread is None:
            self.start()
        assert self._thread is not None, "start() created the thread"
        while self._thread.is_alive() and (left := self._until + 1.0 - time.monotonic()) > 0:
            self._thread.join(timeout=min(TELL_S, left))
            if self._thread.is_alive() and left > TELL_S:
                waiting()
        return self.count_unsent_cells()

    def count_unsent_cells(self) -> int:
        """Number of cells with unsent lines."""
        return sum(has_unsent(folder, self.server) for folder in self.cells)

    def send_all(self) -> bool:
        """Send every spool once; False if lines are left: the server did not accept them, or the time is over."""
        with self._lock:
            all_sent, self._refused = True, True
            # The spool without an answer comes last: if it is the cause, it must not hold up the others.
            for folder, tags in sorted(self.cells.items(), key=lambda cell: cell[0] == self._unanswered):
                error = self._send_safely(folder, tags)
                all_sent = all_sent and error is None
                self._refused = self._refused and (error is None or is_refusal(error))
                if isinstance(error, OutOfTime):
                    break
                if error is not None and is_away(error):
                    self._unanswered = folder
                    break
            self.last_error = None if all_sent else self.last_error
            return all_sent

    # ---------------------------------------------------------------------------------------------------------------

    def _loop(self, every_s: float) -> None:
        pause = every_s
        while not self._stopping.is_set():
            pause = every_s if self.send_all() else min(60.0, pause * 2)
            self._wake.wait(pause)
            self._wake.clear()
        while not self.send_all() and not self._refused and (left := self._until - time.monotonic()) > 0:
            time.sleep(min(1.0, left))

    def _send_safely(self, folder: Path, tags: Mapping[str, str]) -> Exception | None:
        try:
            if has_unsent(folder, self.server):
                self._send(folder, tags)
                self._warned -= {folder, None}
        except OutOfTime as error:
            return error
        except Exception as error:  # noqa: BLE001 - logging never fails a cell; the lines stay in the spool
            self._warn(folder, error)
            return error
        return None

    def _warn(self, folder: Path, error: Exception) -> None:
        """Log an error once per spool, or once for the whole server, until an upload succeeds again."""
        self.last_error = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        subject = None if is_away(error) else folder
        if subject not in self._warned:
            self._warned.add(subject)
            log.warning("MLflow did not accept %s: %s", folder.name, self.last_error)

    def _check_time(self) -> None:
        if time.monotonic() >= self._until:
            raise OutOfTime

    def _send(self, folder: Path, tags: Mapping[str, str]) -> None:
        self._check_time()
        sent = UploadState.load(folder / "spool.sent.json", self.server)
        if sent.run_id is None:
            sent.run_id = self._run(folder, tags)
            sent.save()
        for entries, offset in read_batches(folder / "spool.jsonl", sent.offset):
            self._send_entries(folder, sent, entries)
            sent.offset = offset
            sent.save()

    def _send_entries(self, folder: Path, sent: UploadState, entries: list[dict[str, Any]]) -> None:
        assert sent.run_id is not None, "the run is created before its lines are sent"
        metrics = [metric for entry in entries for metric in new_metrics(entry, sent.last_step)]
        params = {key: value[:MAX_PARAM] for entry in entries for key, value in entry.get("params", {}).items()}
        tags = {key: value for entry in entries for key, value in entry.get("tags", {}).items()}
        self._log(sent.run_id, metrics, params, tags)
        for entry in entries:
            if "artifact" in entry and (folder / entry["artifact"]).exists():
                self._check_time()
                self.client.log_artifact(sent.run_id, str(folder / entry["artifact"]))
            if "status" in entry:
                self.client.set_terminated(sent.run_id, entry["status"])

    def _log(
        self, run_id: str, metrics: list[tuple[str, float, int, int]], params: dict[str, str], tags: dict[str, str]
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        for start in range(0, len(params), MAX_PARAMS):
            self._check_time()
            batch = list(params.items())[start : start + MAX_PARAMS]
            self._log_params(run_id, [Param(valid_name(key), value) for key, value in batch])
        if tags:
            self.client.log_batch(run_id, tags=[RunTag(valid_name(key), value) for key, value in tags.items()])
        for start in range(0, len(metrics), MAX_METRICS):
            self._check_time()
            rows = metrics[start : start + MAX_METRICS]
            self.client.log_batch(
                run_id, metrics=[Metric(valid_name(key), value, at, step) for key, value, at, step in rows]
            )

    def _log_params(self, run_id: str, params: "list[Param]") -> None:
        """Log params; one that a resumed cell changed (e.g. threads) becomes a tag, because MLflow params are final."""
        try:
            self.client.log_batch(run_id, params=params)
        except Exception as error:
            if not is_refusal(error):
                raise
            for param in params:
                self._check_time()
                self._log_param(run_id, param)

    def _log_param(self, run_id: str, param: "Param") -> None:
        try:
            self.client.log_param(run_id, param.key, param.value)
        except Exception as error:
            if not is_refusal(error):
                raise
            self.client.set_tag(run_id, f"changed.{param.key}", param.value)

    @property
    def client(self) -> "MlflowClient":
        """The MLflow client, created on first use because its import takes seconds."""
        if self._client is None:
            configure_client()
            from mlflow import MlflowClient

            self._client = MlflowClient(tracking_uri=self.uri)
        return self._client

    def _run(self, folder: Path, tags: Mapping[str, str]) -> str:
        """Find the cell's run by its tag, or create it; a restarted driver uses the same run."""
        experiment = self._experiment_id()
        run_id = self._find(experiment, CELL_TAG, folder.name)
        if run_id is not None:
            return run_id
        if self._parent is None:
            self._parent = self._find(experiment, "uniferum.kind", "grid") or self._create(
                experiment, self.grid, {"uniferum.kind": "grid"}
            )
        cell_tags = {CELL_TAG: folder.name, "uniferum.kind": "cell", "mlflow.parentRunId": self._parent, **tags}
        return self._create(experiment, folder.name, cell_tags)

    def _experiment_id(self) -> str:
        if self._experiment is None:
            existing = self.client.get_experiment_by_name(self.grid)
            self._experiment = existing.experiment_id if existing else self.client.create_experiment(self.grid)
        return self._experiment

    def _find(self, experiment: str, tag: str, value: str) -> str | None:
        runs = self.client.search_runs([experiment], f"tags.`{tag}` = '{value}'", max_results=1)
        return runs[0].info.run_id if runs else None

    def _create(self, experiment: str, name: str, tags: Mapping[str, str]) -> str:
        run = self.client.create_run(experiment, run_name=name, tags={GRID_TAG: self.grid, **self.tags, **tags})
        return run.info.run_id
