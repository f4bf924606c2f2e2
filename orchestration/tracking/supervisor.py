"""Keeps the grid's own MLflow server there: one thread starts it, and starts it again where it was once it is gone.

A server of this process that is silent for long is ended first; another process's server is only succeeded, never
ended. The driver's loop waits for none of this.
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

LONGEST_PAUSE_S = 600.0


class ServerSupervisor:
    """A server, as long as this is wanted; see the module.

    Args:
        root: the grid's folder.
        came: told every server that begins to answer, in the keeper's thread.
        say: told, once for each reason, why there is none.
        leads: whether this process still drives the grid; once it does not, nothing is started any more.
        look_s: pause between looks.
        apart_s: shortest time between two starts; failures in a row double it.
        silent_s: how long a server whose process lives may be silent.
    """

    def __init__(
        self,
        root: Path,
        came: Callable[[Server], None],
        say: Callable[[str], None],
        *,
        leads: Callable[[], bool] = lambda: True,
        look_s: float = 5.0,
        apart_s: float = 30.0,
        silent_s: float = 60.0,
    ) -> None:
        self.root, self.came, self.say, self.leads = root, came, say, leads
        self.look_s, self.apart_s, self.silent_s = look_s, apart_s, silent_s
        self.server: Server | None = None
        self._pause, self._next_start, self._heard = apart_s, 0.0, 0.0
        self._told: str | None = None
        self._tried, self._leave = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="mlflow-keeper", daemon=True)

    def start(self) -> None:
        """Begin, in the background."""
        self._thread.start()

    def wait_for_first(self, seconds: float) -> None:
        """Until a first server has answered or was given up."""
        self._tried.wait(seconds)

    def stop(self, seconds: float = 60.0) -> None:
        """Start no more servers, and end ours."""
        self._leave.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    # ---------------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._leave.is_set():
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - whatever keeps MLflow away, cells go on and their records wait
                self._fail(error)
            self._tried.set()
            self._leave.wait(self.look_s)
        try:
            self._end()
        except Exception as error:  # noqa: BLE001 - the grid is done; a server left behind harms nothing
            log.warning("the MLflow server was not stopped: %s", error)

    def _look(self) -> None:
        if self._is_there() or not self.leads() or time.monotonic() < self._next_start:
            return
        self._next_start = time.monotonic() + self._pause
        self._end()
        port = self.server.port if self.server is not None else None
        self.server = mlflow_server.start(self.root, port=port, given_up=self._leave.is_set)
        self._heard, self._pause, self._told = time.monotonic(), self.apart_s, None
        self.came(self.server)

    def _is_there(self) -> bool:
        """Whether the server answers, or may be expected to: its processes live, and it was not silent for long."""
        if self.server is None:
            return False
        if mlflow_server.answers(self.server.uri):
            self._heard = time.monotonic()
            return True
        if self.server.pid is None or not processes.group_is_running(self.server.pid, self.server.since):
            return False
        return not self.server.ours or time.monotonic() - self._heard < self.silent_s

    def _fail(self, error: Exception) -> None:
        self._next_start = time.monotonic() + self._pause
        self._pause = min(LONGEST_PAUSE_S, 2 * self._pause)
        if str(error) != self._told and not self._leave.is_set():
            self._told = str(error)
            self.say(f"MLflow is not there ({error}); records wait in the cells' folders")

    def _end(self) -> None:
        if self.server is not None:
            mlflow_server.stop(self.root, self.server)
