"""Keeps a driver's lease alive from a thread of its own: nothing that the driver does may let it run out.

A driver spends minutes outside its scheduler's rounds (starting Ray, asking every node, sending what MLflow has not
heard), and another one may take the grid only when this one is gone.
"""

import logging
import threading

from sqlalchemy.exc import SQLAlchemyError

from orchestration.grid import GridConfig
from orchestration.ledger import LEASE_S, Ledger
from uniferum.errors import UniferumError

log = logging.getLogger(__name__)

EVERY_S = LEASE_S / 6


class LeaseKeeper:
    """Renews a lease until it is told to end; ``lost`` once another driver took it."""

    def __init__(self, grid: GridConfig, token: int, every_s: float = EVERY_S) -> None:
        """Begin; the ledger is opened anew, since a connection belongs to its thread."""
        self.grid, self.token, self.every_s = grid, token, every_s
        self.lost = False
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
            while not self._ended.wait(self.every_s):
                try:
                    ledger = ledger or Ledger.of(self.grid)
                    if not ledger.renew(self.token):
                        self.lost = True
                        return
                except (SQLAlchemyError, UniferumError, OSError) as error:  # a full disk, a server that restarts
                    log.warning("the lease was not renewed this time: %s", " ".join(str(error).split())[:200])
        finally:
            if ledger is not None:
                ledger.close()
