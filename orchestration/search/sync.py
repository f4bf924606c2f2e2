"""The trials of a search in MLflow: one parent, a run a trial, each with its end; never in a trial's way.

A trial that was trained to its end is FINISHED and has its files, one that ASHA or a person stopped is KILLED, one with
a fault is FAILED. What is not sent waits in the trials' folders for the next call.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestration.attempt.spool import append, flatten
from orchestration.grid.config import GridConfig
from orchestration.grid.records import CellFolder
from orchestration.search.config import Search
from orchestration.search.trial import trial_cell, trial_folders
from orchestration.tracking.reader import spool_result
from orchestration.tracking.spool_reader import has_unsent
from orchestration.tracking.sync import FIRST_S, TrackingSync
from orchestration.tracking.uploader import Uploader

log = logging.getLogger(__name__)

FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"


class SearchSync:
    """A grid's sync, told of trials instead of cells."""

    def __init__(self, search: Search, grid: GridConfig, say: Callable[[str], None]) -> None:
        """Check the configured address; nothing starts yet.

        Args:
            search: whose trials.
            grid: its name is the experiment's, its root where our own server keeps its database.
            say: told what concerns MLflow.

        Raises:
            UniferumError: the configured address is no server's.
        """
        self.search, self.sync = search, TrackingSync(grid, say)

    def start(self) -> None:
        """Find or start the server in the background, and send what earlier calls left."""
        self.watch()
        self.sync.start()

    def watch(self) -> None:
        """Send the spools of all trials that there are."""
        for folder in trial_folders(self.search):
            self.sync.watch(folder, self._tags(folder))

    def ended(self, params: Mapping[str, Any], state: str) -> None:
        """A trial has ended: add its files, or how it ended, to its spool.

        Args:
            params: the values that it was proposed with.
            state: FAILED or KILLED; FINISHED where its record says so.
        """
        if not self.sync.enabled:
            return
        with _harmless(f"trial {dict(params)}"):
            cell = trial_cell(self.search, params)
            cell.folder.mkdir(parents=True, exist_ok=True)
            if not cell.record.spool.exists():  # it died before it could say what it is
                append(cell.folder, {"params": dict(flatten(cell.config.model_dump(mode="json")))})
            if cell.done:
                spool_result(cell.record)
            else:
                append(cell.folder, {"status": state})
            self.sync.watch(cell.folder, self._tags(cell.folder))

    def catch_up(self) -> bool:
        """Trials that ended while nobody listened; whether any trial has something to send."""
        if not self.sync.enabled:
            return False
        for folder in trial_folders(self.search):
            record = CellFolder(folder)
            if record.done:
                with _harmless(folder.name):
                    spool_result(record)
        return any(has_unsent(folder) for folder in trial_folders(self.search))

    def finish(self, state: str) -> None:
        """Send what is left, end the parent, and stop our own server."""
        if not self.sync.enabled:
            return
        if self.sync.uri is None:
            self.sync.supervisor.wait_for_first(FIRST_S)
        with _harmless("the search's parent run"):
            if self.sync.uploader is not None:
                _end_parent(self.sync.uploader, state)
        self.sync.finish()

    def _tags(self, folder: Path) -> dict[str, str]:
        return {"uniferum.search": self.search.config.name, "uniferum.name": folder.name}


def _end_parent(uploader: Uploader, state: str) -> None:
    """The uploader makes the parent with the first trial's run, so that one has to be sent before."""
    uploader.send_all()
    known = uploader.client.get_experiment_by_name(uploader.grid)
    if known is not None:
        for run in uploader.client.search_runs([known.experiment_id], "tags.`uniferum.kind` = 'grid'"):
            uploader.client.set_terminated(run.info.run_id, state)


@contextlib.contextmanager
def _harmless(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever keeps MLflow away, the search goes on; the next call catches up
        log.warning("%s: MLflow is not told everything (%s: %s)", what, type(error).__name__, error)
