"""MLflow as a mirror of the grid: started in the background, fed from spools, never in a cell's way.

Nothing that goes wrong here ends a grid: it is told in a line, and the records wait in the cells' folders. Only a full
disk is told by its error, since the driver waits for room and calls again.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from orchestration.attempt.spool import append
from orchestration.disk import is_full
from orchestration.grid.config import GridConfig
from orchestration.grid.planned import PlannedCell
from orchestration.tracking import server as mlflow_server
from orchestration.tracking.reader import spool_result
from orchestration.tracking.server import Server
from orchestration.tracking.spool_reader import records_left, unsent
from orchestration.tracking.supervisor import ServerSupervisor
from orchestration.tracking.uploader import Uploader
from uniferum.report.systems import encoder_word, shown_encoder

log = logging.getLogger(__name__)

STATUS = {"failed": "FAILED", "stopped": "KILLED"}
FIRST_S = 120.0  # for a server that is still starting when a short grid ends


class TrackingSync:
    """The grid's MLflow: finds or starts a server, sends every cell's spool, stops what it started."""

    def __init__(self, grid: GridConfig, say: Callable[[str], None]) -> None:
        """Check the configured address; nothing starts yet.

        Raises:
            UniferumError: the configured address is no server's.
        """
        self.grid, self.say = grid, say
        self.enabled = grid.tracking.enabled
        self.leads: Callable[[], bool] = lambda: True
        self.uri = mlflow_server.configured(grid.tracking.uri) if self.enabled else None
        self.keeper = ServerSupervisor(grid.root, self._came, say, leads=lambda: self.leads())
        self.sender: Uploader | None = None
        self._early: dict[Path, dict[str, str]] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Find or start the server while Ray starts; one that goes away is started again, until :meth:`finish`."""
        if not self.enabled:
            return
        if self.uri is None:
            self.keeper.start()
        else:
            self._send_to(self.uri)

    def began(self, planned: PlannedCell) -> None:
        """A cell runs: its spool is sent from now on."""
        with self._harmless(planned.cell.name):
            self.watch(planned.record.folder, tags_of(planned))

    def watch(self, folder: Path, tags: dict[str, str]) -> None:
        """Send the spool of this folder from now on."""
        if not self.enabled:
            return
        with self._lock:
            if self.sender is None:
                self._early[folder] = tags
            else:
                self.sender.watch(folder, tags)

    def ended(self, planned: PlannedCell, state: str) -> None:
        """A cell has its last state: add its results, or how it ended, to its spool.

        Raises:
            OSError: the disk is full; call again when there is room.
        """
        if not self.enabled or planned.folder is None or not planned.folder.is_dir():
            return  # a cell without a folder never ran
        with self._harmless(planned.cell.name):
            if state == "done":
                spool_result(planned.record)
            else:
                append(planned.record.folder, {"status": STATUS.get(state, "FAILED")})
        self.began(planned)

    def catch_up(self, done: Sequence[PlannedCell]) -> bool:
        """Cells that ended while nobody listened; whether any has something to send.

        Raises:
            OSError: the disk is full; call again when there is room.
        """
        if not self.enabled:
            return False
        behind = False
        for planned in done:
            self.ended(planned, "done")
            with self._harmless(planned.cell.name):
                behind = unsent(planned.record.folder) or behind
        return behind

    def finish(self) -> None:
        """Send what is left, for a minute at most, and stop our own server."""
        if not self.enabled:
            return
        if self.uri is None:
            self.keeper.wait_for_first(FIRST_S)
        with self._harmless("the end of the grid", always=True):
            if self.sender is not None:
                self.sender.finish()
            self._tell_what_is_left()
        self.keeper.stop()

    # ---------------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _harmless(self, name: str, *, always: bool = False) -> Iterator[None]:
        """Tell what went wrong instead of raising it, but for a full disk."""
        try:
            yield
        except Exception as error:
            if is_full(error) and not always:
                raise
            what = " ".join(str(error).split())[:200]
            log.warning("%s: MLflow is not told everything (%s: %s)", name, type(error).__name__, what)

    def _came(self, server: Server) -> None:
        """Our own server answers, for the first time or again."""
        if self.sender is None:
            self._send_to(server.uri)
        else:
            self.say(f"MLflow was away and is there again: {server.uri}")
            self.sender.move(server.uri)

    def _send_to(self, uri: str) -> None:
        self.say(f"MLflow: {uri}")
        with self._lock:
            self.sender = Uploader(uri, self.grid.name)
            for folder, tags in self._early.items():
                self.sender.watch(folder, tags)
        self.sender.start()

    def _tell_what_is_left(self) -> None:
        folders, uri = (self.sender.cells, self.sender.uri) if self.sender else (self._early, None)
        left = [count for folder in list(folders) if (count := records_left(folder, uri))]
        if left:
            trouble = f" ({self.sender.trouble})" if self.sender and self.sender.trouble else ""
            self.say(
                f"MLflow did not take {sum(left)} records of {len(left)} cells{trouble}; they stay on disk, in the"
                " cells' folders, and the next grid run sends them"
            )


def tags_of(planned: PlannedCell) -> dict[str, str]:
    """What a cell's run is found and told apart by."""
    cell, model = planned.cell, planned.cell.config.model
    word = encoder_word(cell.model, model.text.model_dump())
    return {
        "uniferum.name": cell.name,
        "uniferum.model": cell.model,
        "uniferum.text_encoder": shown_encoder(word),
        "uniferum.train_on": cell.mix,
        "uniferum.seed": str(cell.seed),
        "uniferum.training_fingerprint": planned.training_fingerprint or "",
    }
