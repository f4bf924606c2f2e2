"""The grid's ledger: states, attempts, wishes from other shells, and the lease of the one driver.

The ledger is a convenience for people and a restarted driver, never the proof that a cell is done: that is the cell's
``result.json``. Only the driver that holds the lease writes states; any shell may write wishes. It lies in a file, or
on a server (:mod:`orchestration.ledger.database`), whose short absence is waited for.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update
from sqlalchemy.exc import OperationalError

from orchestration.disk import is_full
from orchestration.grid.config import GridConfig
from orchestration.ledger.database import CELLS, EVENTS, FACTS, LEASE, WISHES, Database, reason
from uniferum.errors import UniferumError

T = TypeVar("T")
LEASE_S = 30.0
LASTING = ("priority", "parallel", "retry")
"""Wishes that the next driver grants too; ``pause``, ``stop`` and ``cancel`` end with the driver they meant."""
# Written once, since building a statement costs more than running it.
MOVED, NEW, HAPPENED = update(CELLS).where(CELLS.c.name == bindparam("of")), insert(CELLS), insert(EVENTS)
UNSEEN = select(WISHES).where(WISHES.c.seen.is_(None)).order_by(WISHES.c.id)
PATIENCE_S = 60.0  # less than the two minutes after which cells give up their driver


@dataclass(frozen=True)
class CellEntry:
    """One cell as the driver last saw it."""

    name: str
    folder: str | None
    state: str
    attempt: int
    fault: str | None
    reason: str | None
    node: str | None
    started: float | None
    updated: float
    seconds: float


@dataclass(frozen=True)
class Command:
    """Something that another shell asked of the driver."""

    verb: str
    cell: str | None
    value: str | None


@dataclass(frozen=True)
class Holder:
    """Who drives the grid, and for how long without another sign of life."""

    owner: str
    token: int
    left_s: float

    @property
    def alive(self) -> bool:
        """Whether the lease runs and, where its process was on this machine, that process still exists."""
        host, _, pid = self.owner.partition(":")
        if self.left_s <= 0:
            return False
        return host != socket.gethostname() or _process_exists(int(pid))


class Ledger:
    """An open ledger; safe for one thread, several processes."""

    def __init__(self, place: Path | str, scope: str = "uniferum") -> None:
        """Open or create it.

        Args:
            place: a file, or the address of a PostgreSQL database.
            scope: names it among the ledgers of one server.

        Raises:
            UniferumError: the place cannot be written, is no database, or does not answer.
        """
        self.place = place
        self.database = Database(place, scope)

    @classmethod
    def of(cls, grid: GridConfig) -> Self:
        """The ledger of a grid; on a server one schema a root, since a root is what one driver at a time may write."""
        return cls(grid.ledger_place, grid.ledger_scope)

    def close(self) -> None:
        """Close the connections."""
        self.database.close()

    def transaction(self) -> AbstractContextManager[Connection]:
        """Several writes, all or none."""
        return self.database.transaction()

    # -- states ---------------------------------------------------------------------------------------------------

    def note(self, name: str, state: str, **columns: Any) -> None:
        """Move a cell to a state, with any of the other columns; every move is an event."""
        now = time.time()
        values = {"state": state, "updated": now, **columns}
        detail = json.dumps({k: v for k, v in columns.items() if v is not None})

        def write(db: Connection) -> None:
            if not db.execute(MOVED, {"of": name, **values}).rowcount:
                db.execute(NEW, {"name": name, **values})
            db.execute(HAPPENED, {"at": now, "cell": name, "state": state, "detail": detail})

        self._write(write)

    def entries(self) -> dict[str, CellEntry]:
        """Every cell, by name."""
        return {row.name: CellEntry(*row) for row in self._read(select(CELLS))}

    def events(self, cell: str | None = None) -> list[tuple[float, str, str, Mapping[str, Any]]]:
        """What happened, oldest first: when, cell, state, detail."""
        wanted = select(EVENTS).order_by(EVENTS.c.id)
        rows = self._read(wanted if cell is None else wanted.where(EVENTS.c.cell == cell))
        return [(row.at, row.cell, row.state, json.loads(row.detail or "{}")) for row in rows]

    def set_fact(self, key: str, value: str | None) -> None:
        """Note something about the whole grid (addresses, why it paused); None forgets it."""

        def write(db: Connection) -> None:
            db.execute(delete(FACTS).where(FACTS.c.key == key))
            if value is not None:
                db.execute(insert(FACTS).values(key=key, value=value))

        self._write(write)

    def facts(self) -> dict[str, str]:
        """What was noted about the whole grid."""
        return {row.key: row.value for row in self._read(select(FACTS))}

    # -- wishes ---------------------------------------------------------------------------------------------------

    def wish(self, verb: str, cell: str | None = None, value: str | None = None) -> None:
        """Ask something of the driver, now or when the next one starts."""
        asked = insert(WISHES).values(at=time.time(), verb=verb, cell=cell, value=value)
        self._write(lambda db: db.execute(asked))

    def take_wishes(self) -> list[Command]:
        """Wishes nobody took yet, in their order; each is given once."""
        if not self._read(UNSEEN):
            return []

        def write(db: Connection) -> list[Command]:
            rows = db.execute(UNSEEN).all()
            db.execute(update(WISHES).where(WISHES.c.id.in_([row.id for row in rows])).values(seen=time.time()))
            return [Command(row.verb, row.cell, row.value) for row in rows]

        return self._write(write)

    # -- lease ----------------------------------------------------------------------------------------------------

    def holder(self) -> Holder | None:
        """Who has the lease; None when nobody or a dead process has it."""
        return self._patiently(self._holder_now)

    def take_lease(self) -> int | None:
        """Become the driver: the new fencing token, or None while another one lives."""

        def write(db: Connection) -> int | None:
            last = self._holder(db)
            if last is not None and last.alive and last.owner != _me():
                return None
            token = (last.token if last else 0) + 1
            db.execute(delete(LEASE))
            db.execute(insert(LEASE).values(one=1, owner=_me(), token=token, expires=self.database.now(db) + LEASE_S))
            # What was asked of a driver that is gone is no order to the next one; how to run it still is.
            stale = WISHES.c.seen.is_(None) & WISHES.c.verb.not_in(LASTING)
            db.execute(update(WISHES).where(stale).values(seen=time.time()))
            return token

        return self._write(write)

    def renew(self, token: int) -> bool:
        """Keep the lease; False when another driver took it, and this one has to leave."""

        def write(db: Connection) -> bool:
            mine = update(LEASE).where(LEASE.c.token == token, LEASE.c.owner == _me())
            return db.execute(mine.values(expires=self.database.now(db) + LEASE_S)).rowcount == 1

        return self._write(write)

    def release(self, token: int) -> None:
        """Give the lease back."""
        self._write(lambda db: db.execute(update(LEASE).where(LEASE.c.token == token).values(expires=0)))

    def _holder(self, db: Connection) -> Holder | None:
        row = db.execute(select(LEASE)).one_or_none()
        return Holder(row.owner, row.token, row.expires - self.database.now(db)) if row else None

    def _holder_now(self) -> Holder | None:
        with self.database.engine.connect() as db:
            holder = self._holder(db)
        return holder if holder is not None and holder.alive else None

    # -- the database -----------------------------------------------------------------------------------------------

    def _read(self, wanted: Any) -> Iterable[Row[Any]]:
        def read() -> Iterable[Row[Any]]:
            with self.database.engine.connect() as db:
                return db.execute(wanted).all()

        return self._patiently(read)

    def _write(self, write: Callable[[Connection], T]) -> T:
        def written() -> T:
            with self.transaction() as db:
                return write(db)

        return self._patiently(written)

    def _patiently(self, act: Callable[[], T]) -> T:
        """Act, and again while a server is away: its restart must not end a grid. A file is never away."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return act()
            except OperationalError as error:
                if is_full(error):
                    raise  # no server's absence: the driver waits for room, and tells its cells meanwhile that it lives
                if isinstance(self.place, Path):
                    raise
                if time.monotonic() > until:
                    why = f"{reason(error)}; the same command goes on when it does"
                    raise UniferumError(f"the ledger {self.place}", must="answer", cure=why) from None
                time.sleep(0.5)


def _me() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
