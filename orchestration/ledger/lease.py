"""Renew the driver's lease in a background thread.

The driver is busy for minutes outside the scheduler's loop (starting Ray, checking every node, the last upload to
MLflow), and no other driver may take the grid in that time.
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
    """Renews a lease until :meth:`end`; ``lost`` is true once another driver has taken it."""

    def __init__(
        self, grid: GridConfig, token: int, every_s: float = EVERY_S, say: Callable[[str], None] = log.warning
    ) -> None:
        """Start the thread; it opens its own ledger, because a connection belongs to one thread."""
        self.grid, self.token, self.every_s, self.say = grid, token, every_s, say
        self.lost = self._full = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop renewing; the caller releases the lease."""
        self._ended.set()
        self._thread.join(timeout=self.every_s + 1)

    def _run(self) -> None:
        ledger: Ledger | None = None
        try:
            while not self._ended.wait(min(1.0, self.every_s) if self._full else self.every_s):
                try:
                    ledger = ledger or Ledger.of(self.grid)
                    if not self._renew(ledger):
                        self.lost = True
                        return
                except (SQLAlchemyError, UniferumError, OSError) as error:  # the server may restart
                    log.warning("Could not renew the lease, trying again: %s", " ".join(str(error).split())[:200])
        finally:
            if ledger is not None:
                ledger.close()

    def _renew(self, ledger: Ledger) -> bool:
        """Renew once; report the start and the end of a full disk, because this thread writes most often."""
        try:
            renewed = ledger.renew(self.token)
        except OperationalError as error:
            if not is_full(error):
                raise
            if not self._full:
                self._full = True
                self.say(f"the disk is full ({' '.join(str(error.orig).split())}); waiting for free space")
            return True
        if self._full:
            self._full = False
            self.say("the disk has free space again; continuing")
        return renewed
