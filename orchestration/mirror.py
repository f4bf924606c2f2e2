"""MLflow as a mirror of the grid: started in the background, fed from spools, never in a cell's way."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestration import mlflow_server
from orchestration.grid import GridConfig
from orchestration.plan import Planned
from orchestration.sender import Sender, append, unsent
from orchestration.tracking import spool_result

STATUS = {"failed": "FAILED", "stopped": "KILLED"}


class Mirror:
    """The grid's MLflow: finds or starts a server, sends every cell's spool, stops what it started."""

    def __init__(self, grid: GridConfig, say: Callable[[str], None]) -> None:
        """Check the configured address; nothing starts yet.

        Raises:
            UniferumError: the configured address is no server's.
        """
        self.grid, self.say = grid, say
        self.enabled = grid.tracking.enabled
        self.uri = mlflow_server.configured(grid.tracking.uri) if self.enabled else None
        self.server: mlflow_server.Server | None = None
        self.sender: Sender | None = None
        self._early: dict[Path, dict[str, str]] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._start, name="mlflow-start", daemon=True)

    def start(self) -> None:
        """Find or start the server while Ray starts."""
        if self.enabled:
            self._thread.start()

    def began(self, planned: Planned) -> None:
        """A cell runs: its spool is sent from now on."""
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

    def ended(self, planned: Planned, state: str) -> None:
        """A cell has its last state: add its results, or how it ended, to its spool."""
        if not self.enabled:
            return
        if state == "done":
            spool_result(planned.record)
        else:
            append(planned.record.folder, {"status": STATUS.get(state, "FAILED")})
        self.began(planned)

    def catch_up(self, done: Sequence[Planned]) -> bool:
        """Cells that ended while nobody listened; whether any has something to send."""
        if not self.enabled:
            return False
        for planned in done:
            spool_result(planned.record)
            self.began(planned)
        return any(unsent(planned.record.folder) for planned in done)

    def finish(self) -> None:
        """Send what is left and stop our own server."""
        if not self.enabled:
            return
        self._thread.join(timeout=120)
        if self.sender is not None:
            left = self.sender.finish()
            if left:
                trouble = f" ({self.sender.trouble})" if self.sender.trouble else ""
                self.say(f"MLflow did not take the records of {left} cells{trouble}; the next grid run sends them")
        if self.server is not None:
            mlflow_server.stop(self.grid.root, self.server)

    def _start(self) -> None:
        try:
            if self.uri is None:
                self.server = mlflow_server.start(self.grid.root)
            uri = self.uri or (self.server.uri if self.server else "")
        except Exception as error:  # noqa: BLE001 - whatever keeps MLflow away, cells go on and their records wait
            self.say(f"MLflow is not there ({error}); records wait in the cells' folders")
            return
        self.say(f"MLflow: {uri}")
        with self._lock:
            self.sender = Sender(uri, self.grid.name)
            for folder, tags in self._early.items():
                self.sender.watch(folder, tags)
        self.sender.start()


def tags_of(planned: Planned) -> dict[str, str]:
    """What a cell's run is found and told apart by."""
    cell = planned.cell
    return {
        "uniferum.name": cell.name,
        "uniferum.model": cell.model,
        "uniferum.text_encoder": cell.text_encoder or "",
        "uniferum.train_on": cell.mix,
        "uniferum.seed": str(cell.seed),
        "uniferum.training_fingerprint": planned.training_fingerprint or "",
    }
