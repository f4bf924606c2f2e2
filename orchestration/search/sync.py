"""Keep MLflow in sync with a search: one parent run, and one child run per trial.

A trial that was trained to its last step is FINISHED and has its files; one that ASHA or a person stopped is KILLED;
one with a fault is FAILED. No error here stops a trial; lines that were not sent wait in the trials' folders.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orchestration.attempt.spool import append, flatten
from orchestration.grid.config import GridConfig
from orchestration.grid.records import CellFolder
from orchestration.grid.states import RunStatus
from orchestration.grid.unsent import has_unsent
from orchestration.search.config import Search
from orchestration.search.trial import trial_cell, trial_folders
from orchestration.tracking.reader import spool_result
from orchestration.tracking.sync import TrackingSync, log_errors
from orchestration.tracking.uploader import Uploader


class SearchSync:
    """Tracking sync of a search: its trials instead of the cells of a grid."""

    def __init__(self, search: Search, grid: GridConfig, say: Callable[[str], None]) -> None:
        """Check the configured address; nothing is started yet.

        Args:
            search: the search.
            grid: its name is the name of the experiment; its root holds the database of our own server.
            say: called with messages about MLflow.

        Raises:
            UniferumError: the configured address is not an http(s) address.
        """
        self.search, self.say = search, say
        self.sync = TrackingSync(grid, say, "the next `uniferum tune` sends them")

    def start(self) -> None:
        """Find or start the server in the background, and upload what earlier calls left unsent."""
        self.watch()
        self.sync.start()

    def watch(self) -> None:
        """Upload the spools of all trials from now on."""
        for folder in trial_folders(self.search):
            self.sync.watch(folder, self._tags(folder))

    def trial_ended(self, params: Mapping[str, Any], state: RunStatus) -> None:
        """Add the files or the final status of a trial to its spool.

        Args:
            params: the values of the trial.
            state: FAILED or KILLED; ignored if the trial's record says that it is finished.
        """
        if not self.sync.enabled:
            return
        with log_errors(f"trial {dict(params)}", raise_disk_full=False):
            cell = trial_cell(self.search, params)
            cell.folder.mkdir(parents=True, exist_ok=True)
            if not cell.record.spool.exists():  # it died before it wrote its params
                append(cell.folder, {"params": dict(flatten(cell.config.model_dump(mode="json")))})
            if cell.done:
                spool_result(cell.record)
            else:
                append(cell.folder, {"status": state})
            self.sync.watch(cell.folder, self._tags(cell.folder))

    def catch_up(self) -> bool:
        """Spool the results of trials that finished while no search was running.

        Returns:
            Whether any trial has unsent lines.
        """
        if not self.sync.enabled:
            return False
        for folder in trial_folders(self.search):
            record = CellFolder(folder)
            if record.done:
                with log_errors(folder.name, raise_disk_full=False):
                    spool_result(record)
        return any(has_unsent(folder, self.sync.server_name) for folder in trial_folders(self.search))

    def finish(self, state: RunStatus) -> None:
        """Upload the remaining lines, end the parent run, and stop our own server; say what is not in MLflow."""
        missing = self.sync.finish(lambda uploader: _end_parent(uploader, state))
        if missing is not None:
            self.say(f"warning: {missing}")

    def _tags(self, folder: Path) -> dict[str, str]:
        return {"uniferum.search": self.search.config.name, "uniferum.name": folder.name}


def _end_parent(uploader: Uploader, state: RunStatus) -> None:
    """End the parent run, which the uploader created with the first trial's run."""
    experiment = uploader.client.get_experiment_by_name(uploader.grid)
    if experiment is not None:
        for run in uploader.client.search_runs([experiment.experiment_id], "tags.`uniferum.kind` = 'grid'"):
            uploader.client.set_terminated(run.info.run_id, state)
