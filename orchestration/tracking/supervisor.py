"""Supervise the local MLflow server: restart it on the same port when it dies.

A server of this process that does not answer for a minute is stopped first; a server of another process is replaced
only after it has ended. All of this runs in one thread, so the driver's loop never waits for it.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from orchestration import processes
from orchestration.tracking import server as mlflow_server
from orchestration.tracking.server import Server

log = logging.getLogger(__name__)

START_S = 90.0
"""Time limit of the first start; it doubles after each failure, because a busy machine needs longer."""
LONGEST_PAUSE_S = 600.0


class ServerSupervisor:
    """Keeps a local server running in a background thread until :meth:`stop`.

    Args:
        root: the grid's folder.
        on_up: called with each server that begins to answer, in the supervisor's thread.
        say: called with the reason why there is no server, once per reason.
        leads: whether this process still holds the lease; without it no server is started.
        poll_s: seconds between health checks.
        restart_s: shortest time between two starts; it doubles after each failure.
        silent_s: seconds without an answer after which a live server is restarted.
    """

    def __init__(
        self,
        root: Path,
        on_up: Callable[[Server], None],
        say: Callable[[str], None],
        *,
        leads: Callable[[], bool] = lambda: True,
        poll_s: float = 5.0,
        restart_s: float = 30.0,
        silent_s: float = 60.0,
    ) -> None:
        self.root, self.on_up, self.say, self.leads = root, on_up, say, leads
        self.poll_s, self.restart_s, self.silent_s = poll_s, restart_s, silent_s
        self.server: Server | None = None
        self._pause, self._next_start, self._last_answer = restart_s, 0.0, 0.0
        self._start_s = START_S
        self.last_reason: str | None = None
        self._first_attempt, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="mlflow-supervisor", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wait_for_first(self, seconds: float) -> None:
        """Wait until the first attempt to start a server has ended."""
        self._first_attempt.wait(seconds)

    def stop(self, seconds: float = 60.0) -> None:
        """Stop the thread and our own server."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    # ---------------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._check()
            except Exception as error:  # noqa: BLE001 - no fault of MLflow may stop cells; their records wait on disk
                self._on_failure(error)
            self._first_attempt.set()
            self._stopping.wait(self.poll_s)
        try:
            self._stop_server()
        except Exception as error:  # noqa: BLE001 - the grid is done; a server left running does no harm
            log.warning("Could not stop the MLflow server: %s", error)

    def _check(self) -> None:
        if self._is_up() or not self.leads() or time.monotonic() < self._next_start:
            return
        self._next_start = time.monotonic() + self._pause
        self._stop_server()
        port = self.server.port if self.server is not None else None
        self.server = mlflow_server.start(self.root, seconds=self._start_s, port=port, cancelled=self._stopping.is_set)
        self._last_answer, self._pause, self.last_reason = time.monotonic(), self.restart_s, None
        self.on_up(self.server)

    def _is_up(self) -> bool:
        """Whether the server answers, or is alive and has been silent only for a short time."""
        if self.server is None:
            return False
        if mlflow_server.answers(self.server.uri):
            self._last_answer = time.monotonic()
            return True
        if self.server.pid is None or not processes.group_is_running(self.server.pid, self.server.since):
            return False
        return not self.server.ours or time.monotonic() - self._last_answer < self.silent_s

    def _on_failure(self, error: Exception) -> None:
        self._next_start = time.monotonic() + self._pause
        self._pause = min(LONGEST_PAUSE_S, 2 * self._pause)
        self._start_s = min(LONGEST_PAUSE_S, 2 * self._start_s)
        if str(error) != self.last_reason and not self._stopping.is_set():
            self.last_reason = str(error)
            self.say(f"MLflow is not available ({error}); records wait in the cells' folders")

    def _stop_server(self) -> None:
        if self.server is not None:
            mlflow_server.stop(self.root, self.server)
