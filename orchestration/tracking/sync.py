"""Keep MLflow in sync with a grid: start or find a server in the background and upload the cells' spools.

No error here ends a grid: it is logged in one line, and the records wait in the cells' folders. Only a full disk is
raised, because the driver waits for free space and calls again.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from orchestration.attempt.spool import append
from orchestration.disk import is_full
from orchestration.grid.config import GridConfig
from orchestration.grid.planned import PlannedCell
from orchestration.grid.states import CellState, RunStatus
from orchestration.grid.unsent import has_unsent, waiting_text
from orchestration.tracking import server as mlflow_server
from orchestration.tracking.reader import spool_result
from orchestration.tracking.server import Server
from orchestration.tracking.supervisor import ServerSupervisor
from orchestration.tracking.uploader import TELL_S, Uploader
from uniferum.report.systems import encoder_word, shown_encoder

log = logging.getLogger(__name__)

STATUS = {CellState.FAILED: RunStatus.FAILED, CellState.STOPPED: RunStatus.KILLED}
POLL_S = 0.2
SEND_AGAIN = "the next `uniferum grid run` sends them, and so does `uniferum grid evaluate`, which trains nothing"


class TrackingSync:
    """Finds or starts a grid's MLflow server, uploads the spool of each cell, stops the server that it started."""

    def __init__(self, grid: GridConfig, say: Callable[[str], None], send_again: str = SEND_AGAIN) -> None:
        """Check the configured address; nothing is started yet.

        Args:
            grid: its name is the name of the experiment; its root holds the database of our own server.
            say: called with messages about MLflow.
            send_again: what sends the records that this process could not send, for the message.

        Raises:
            UniferumError: the configured address is not an http(s) address.
        """
        self.grid, self.say, self.send_again = grid, say, send_again
        self.enabled = grid.tracking.enabled
        self.leads: Callable[[], bool] = lambda: True
        self.uri = mlflow_server.configured_uri(grid.tracking.uri) if self.enabled else None
        self.supervisor = ServerSupervisor(grid.root, self._on_server_up, say, leads=lambda: self.leads())
        self.uploader: Uploader | None = None
        self._folders: dict[Path, dict[str, str]] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Find or start the server in the background; it is restarted when it dies, until :meth:`finish`."""
        if not self.enabled:
            return
        if self.uri is None:
            self.supervisor.start()
        else:
            self._send_to(self.uri)

    def began(self, planned: PlannedCell) -> None:
        """Upload the spool of a cell that has started."""
        with log_errors(planned.cell.name):
            self.watch(planned.record.folder, tags_of(planned))

    def watch(self, folder: Path, tags: dict[str, str]) -> None:
        """Upload the spool of a folder from now on; ``tags`` are those of its MLflow run."""
        if not self.enabled:
            return
        with self._lock:
            if self.uploader is None:
                self._folders[folder] = tags
            else:
                self.uploader.watch(folder, tags)

    def ended(self, planned: PlannedCell, state: CellState) -> None:
        """Add a finished cell's results, or its final status, to its spool.

        Raises:
            OSError: the disk is full; call again when there is free space.
        """
        if not self.enabled or planned.folder is None or not planned.folder.is_dir():
            return  # a cell without a folder has never run
        with log_errors(planned.cell.name):
            if state == CellState.DONE:
                spool_result(planned.record)
            else:
                append(planned.record.folder, {"status": STATUS.get(state, RunStatus.FAILED)})
        self.began(planned)

    def catch_up(self, finished: Sequence[PlannedCell]) -> bool:
        """Spool the results of cells that finished while no driver was running.

        Returns:
            Whether any of the cells has unsent lines.

        Raises:
            OSError: the disk is full; call again when there is free space.
        """
        if not self.enabled:
            return False
        any_unsent = False
        for planned in finished:
            self.ended(planned, CellState.DONE)
            with log_errors(planned.cell.name):
                any_unsent = has_unsent(planned.record.folder, self.server_name) or any_unsent
        return any_unsent

    def finish(self, at_end: Callable[[Uploader], None] = lambda _: None) -> str | None:
        """Upload the remaining lines, for ``tracking.wait_s`` at most, and stop our own server.

        Args:
            at_end: called after the last upload, while the server still runs.

        Returns:
            One line on what is not in MLflow, and how to send it later; None if everything is.
        """
        if not self.enabled:
            return None
        until = time.monotonic() + self.grid.tracking.wait_s
        try:
            with log_errors("the end of the grid", raise_disk_full=False):
                self._wait_for_server(until)
                if self.uploader is not None:
                    self.uploader.finish(max(0.0, until - time.monotonic()), lambda: self._say_waiting(until))
            with log_errors("the end of the grid", raise_disk_full=False):
                if self.uploader is not None and self.waiting is None:
                    at_end(self.uploader)
            return self._not_in_mlflow()
        finally:  # also after Ctrl-C
            self.supervisor.stop()

    @property
    def server_name(self) -> str:
        """Name of the server in the upload states of spools: its address, or the database of our own server."""
        return self.uri or mlflow_server.database_id(self.grid.root)

    @property
    def waiting(self) -> str | None:
        """How many records of how many cells are not in MLflow; None if all are."""
        cells = self.uploader.cells if self.uploader else self._folders
        return waiting_text(list(cells), self.server_name)

    # ---------------------------------------------------------------------------------------------------------------

    def _on_server_up(self, server: Server) -> None:
        """Start uploading to our own server, or continue after it was restarted."""
        if self.uploader is None:
            self._send_to(server.uri)
        else:
            self.say(f"MLflow was restarted: {server.uri}")
            self.uploader.reconnect(server.uri)

    def _send_to(self, uri: str) -> None:
        self.say(f"MLflow: {uri}")
        with self._lock:
            self.uploader = Uploader(uri, self.grid.name, database=None if self.uri else self.server_name)
            for folder, tags in self._folders.items():
                self.uploader.watch(folder, tags)
        self.uploader.start()

    def _wait_for_server(self, until: float) -> None:
        """Wait for our own server, which may still be starting or being restarted when a short grid ends."""
        said_at = time.monotonic()
        while self.uploader is None and self.waiting and (now := time.monotonic()) < until:
            if now - said_at > TELL_S:
                said_at = now
                self._say_waiting(until)
            _wait(POLL_S)

    def _say_waiting(self, until: float) -> None:
        server = "the MLflow server to start" if self.uploader is None else f"MLflow at {self.uploader.uri}"
        left = max(0.0, until - time.monotonic())
        self.say(f"waiting for {server}, at most {left:.0f} s more (tracking.wait_s): {self.waiting} to send")

    def _not_in_mlflow(self) -> str | None:
        waiting = self.waiting
        if waiting is None:
            return None
        error = (self.uploader.last_error if self.uploader else None) or self.supervisor.last_reason
        why = f" ({error.rstrip('.')})" if error else ""
        return f"not in MLflow yet: {waiting}{why}; they stay in the cells' folders, and {self.send_again}"


def _wait(seconds: float) -> None:
    time.sleep(seconds)


def tags_of(planned: PlannedCell) -> dict[str, str]:
    """Tags of a cell's MLflow run: its name and what distinguishes it from other cells."""
    cell, model = planned.cell, planned.cell.config.model
    word = encoder_word(cell.model, model.text.model_dump())
    return {
        "uniferum.name": cell.name,
        "uniferum.model": cell.model,
        "uniferum.text_encoder": shown_encoder(word),
        "uniferum.train_on": cell.mix,
        "uniferum.seed": str(cell.seed),
        **{f"uniferum.axis.{axis}": label for axis, label in cell.axes.items()},
        "uniferum.training_fingerprint": planned.training_fingerprint or "",
    }


@contextlib.contextmanager
def log_errors(name: str, *, raise_disk_full: bool = True) -> Iterator[None]:
    """Log errors in one line instead of raising them.

    Args:
        name: the cell, trial or step, for the message.
        raise_disk_full: whether to raise the error of a full disk, because the caller waits for free space.
    """
    try:
        yield
    except Exception as error:
        if raise_disk_full and is_full(error):
            raise
        message = " ".join(str(error).split())[:200]
        log.warning("%s: not all records reach MLflow (%s: %s)", name, type(error).__name__, message)
