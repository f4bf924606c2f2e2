"""Keeps a driver's lease alive from a thread of its own: nothing that the driver does may let it run out.

A driver spends minutes outside its scheduler's rounds (starting Ray, asking every node, sending what MLflow has not
heard), and another one may take the grid only when this one is gone.
"""

import logging
import threading
from collections.abc import Callable

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from orchestration.disk import is_full
from orchestration.grid.config import GridConfig
from orchestration.ledger.ledger import LEASE_S, Ledger
from uniferum.errors import UniferumError

log = logging.getLogger(__name__)

EVERY_S = LEASE_S / 6


class LeaseRenewal:
    """Renews a lease until it is told to end; ``lost`` once another driver took it."""

    def __init__(
        self, grid: GridConfig, token: int, every_s: float = EVERY_S, say: Callable[[str], None] = log.warning
    ) -> None:
        """Begin; the ledger is opened anew, since a connection belongs to its thread."""
        self.grid, self.token, self.every_s, self.say = grid, token, every_s, say
        self.lost = self._full = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop renewing; the lease itself is released by whoever took it."""
        self._ended.set()
        self._thread.join(timeout=self.every_s + 1)

    def _keep(self) -> None:
        ledger: Ledger | None = None
        try:
            while not self._ended.wait(min(1.0, self.every_s) if self._full else self.every_s):
                try:
                    ledger = ledger or Ledger.of(self.grid)
                    if not self._renewed(ledger):
                        self.lost = True
                        return
                except (SQLAlchemyError, UniferumError, OSError) as error:  # a server that restarts
                    log.warning("the lease was not renewed this time: %s", " ".join(str(error).split())[:200])
        finally:
            if ledger is not None:
                ledger.close()

    def _renewed(self, ledger: Ledger) -> bool:
        """Renew; a full disk is told once, and its end: this thread writes most often, so it is the first to know."""
        try:
            kept = ledger.renew(self.token)
        except OperationalError as error:
            if not is_full(error):
                raise
            if not self._full:
                self._full = True
                self.say(f"the disk is full ({' '.join(str(error.orig).split())}); waiting for room")
            return True
        if self._full:
            self._full = False
            self.say("the disk has room again; going on")
        return kept
