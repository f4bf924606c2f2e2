"""Sends what cells have spooled to MLflow: one thread, every spool in its order, every line once.

How far a spool was sent stands beside it (``spool.sent.json``), written after the server took the lines. A crash
between the two sends a few lines again, which changes nothing: params and tags are the same, and a metric that bears
the same key, step, time and value is one row to MLflow. While the server is away the spools wait; nothing is lost, and
no cell notices. A pass over the spools ends where the server does not answer, since no other spool would fare better,
and every request asks first whether the time that :meth:`Sender.finish` gave is over.
"""

import logging
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.grid.records import read_json
from orchestration.tracking.client import is_away, is_refusal, plain, set_manners
from orchestration.tracking.spool_reader import fresh_metrics, parts, unsent
from uniferum.atomic import write_json

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Param

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


class OutOfTime(Exception):
    """The time for the last records is over; they stay where they are."""


class Uploader:
    """Knows the cells of one grid and sends their spools to one server."""

    def __init__(self, uri: str, grid: str, tags: Mapping[str, str] | None = None) -> None:
        self.uri, self.grid, self.tags = uri, grid, dict(tags or {})
        self.cells: dict[Path, dict[str, str]] = {}
        self.trouble: str | None = None
        self._client: MlflowClient | None = None
        self._parent: str | None = None
        self._experiment: str | None = None
        self._wake, self._leave = threading.Event(), threading.Event()
        self._until = math.inf
        self._turn = threading.Lock()
        self._unanswered: Path | None = None
        self._told: set[Path | None] = set()
        self._thread: threading.Thread | None = None

    def watch(self, folder: Path, tags: Mapping[str, str]) -> None:
        """Send this cell's spool from now on."""
        self.cells[folder] = dict(tags)
        self._wake.set()

    def start(self, every_s: float = 2.0) -> None:
        """Send in the background."""
        self._thread = threading.Thread(target=self._loop, args=(every_s,), name="mlflow-sender", daemon=True)
        self._thread.start()

    def move(self, uri: str) -> None:
        """The server is there again, perhaps at another address: send at once."""
        if uri != self.uri:
            with self._turn:
                self.uri, self._client, self._parent, self._experiment = uri, None, None, None
        self._wake.set()

    def finish(self, seconds: float = 60.0) -> int:
        """Send what is left, for so long at most; how many cells still have lines unsent.

        A request under way then is left to the background, which ends with the process.
        """
        self._until = time.monotonic() + seconds
        self._leave.set()
        self._wake.set()
        if self._thread is None:
            self.start()
        assert self._thread is not None, "it has just started"
        self._thread.join(timeout=seconds + 1.0)
        return self.waiting()

    def waiting(self) -> int:
        """Cells whose spool is longer than what was sent of it."""
        return sum(unsent(folder, self.uri) for folder in self.cells)

    def send_all(self) -> bool:
        """Send every spool once; False when something is left, because the server did not take it or time is over."""
        with self._turn:
            all_sent = True
            # The spool that got no answer comes last: should it be the reason, the others do not wait for it.
            for folder, tags in sorted(self.cells.items(), key=lambda cell: cell[0] == self._unanswered):
                error = self._send_safely(folder, tags)
                all_sent = all_sent and error is None
                if isinstance(error, OutOfTime):
                    break
                if error is not None and is_away(error):
                    self._unanswered = folder
                    break
            self.trouble = None if all_sent else self.trouble
            return all_sent

    # ---------------------------------------------------------------------------------------------------------------

    def _loop(self, every_s: float) -> None:
        pause = every_s
        while not self._leave.is_set():
            pause = every_s if self.send_all() else min(60.0, pause * 2)
            self._wake.wait(pause)
            self._wake.clear()
        while not self.send_all() and (left := self._until - time.monotonic()) > 0:
            time.sleep(min(1.0, left))

    def _send_safely(self, folder: Path, tags: Mapping[str, str]) -> Exception | None:
        try:
            if unsent(folder, self.uri):
                self._send(folder, tags)
                self._told -= {folder, None}
        except OutOfTime as error:
            return error
        except Exception as error:  # noqa: BLE001 - logging never fails a cell; the lines stay in the spool
            self._tell(folder, error)
            return error
        return None

    def _tell(self, folder: Path, error: Exception) -> None:
        """Once until something is taken again, for each spool or for the server as a whole."""
        self.trouble = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        about = None if is_away(error) else folder
        if about not in self._told:
            self._told.add(about)
            log.warning("MLflow did not take %s: %s", folder.name, self.trouble)

    def _check_time(self) -> None:
        if time.monotonic() >= self._until:
            raise OutOfTime

    def _send(self, folder: Path, tags: Mapping[str, str]) -> None:
        self._check_time()
        sent = Sent.load(folder / "spool.sent.json", self.uri)
        if sent.run_id is None:
            sent.run_id = self._run(folder, tags)
            sent.save()
        for entries, offset in parts(folder / "spool.jsonl", sent.offset):
            self._send_entries(folder, sent, entries)
            sent.offset = offset
            sent.save()

    def _send_entries(self, folder: Path, sent: Sent, entries: list[dict[str, Any]]) -> None:
        assert sent.run_id is not None, "a run was created before its lines are sent"
        metrics = [metric for entry in entries for metric in fresh_metrics(entry, sent.last_step)]
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
            self._log_params(run_id, [Param(plain(k), v) for k, v in list(params.items())[start : start + MAX_PARAMS]])
        if tags:
            self.client.log_batch(run_id, tags=[RunTag(plain(key), value) for key, value in tags.items()])
        for start in range(0, len(metrics), MAX_METRICS):
            self._check_time()
            some_metrics = metrics[start : start + MAX_METRICS]
            self.client.log_batch(
                run_id, metrics=[Metric(plain(key), value, at, step) for key, value, at, step in some_metrics]
            )

    def _log_params(self, run_id: str, params: "list[Param]") -> None:
        """MLflow takes a param's value once; one that a resumed cell changed (threads, say) becomes a tag beside it."""
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
        """The MLflow client, made when it is first needed: its import takes seconds."""
        if self._client is None:
            set_manners()
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
