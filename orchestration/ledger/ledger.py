"""The ledger of a grid: cell states, attempts, commands from other shells, and the lease of the driver.

The ledger serves people and a restarted driver; it is never the proof that a cell is done, which is the cell's
``result.json``. Only the driver that holds the lease writes states; any shell may add commands. The database is a file
or a server (:mod:`orchestration.ledger.database`); requests to a server are repeated while it restarts.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update
from sqlalchemy.exc import OperationalError

from orchestration.disk import is_full
from orchestration.grid.config import GridConfig
from orchestration.grid.states import CellState
from orchestration.ledger.database import CELLS, COMMANDS, EVENTS, FACTS, LEASE, Database, reason
from uniferum.errors import StateError

T = TypeVar("T")
LEASE_S = 30.0
LASTING = ("priority", "parallel", "retry")
"""Commands that the next driver applies too; ``pause``, ``stop`` and ``cancel`` are for the current driver only."""
# Built once, because building a statement takes longer than running it.
UPDATE_CELL, INSERT_CELL, INSERT_EVENT = (
    update(CELLS).where(CELLS.c.name == bindparam("of")),
    insert(CELLS),
    insert(EVENTS),
)
UNSEEN = select(COMMANDS).where(COMMANDS.c.seen.is_(None)).order_by(COMMANDS.c.id)
RETRY_S = 60.0  # less than the two minutes after which workers stop because their driver is silent


@dataclass(frozen=True)
class CellEntry:
    """One row of the ledger: the last state of a cell that the driver wrote."""

    name: str
    folder: str | None
    state: CellState
    attempt: int
    fault: str | None
    reason: str | None
    node: str | None
    started: float | None
    updated: float
    seconds: float


@dataclass(frozen=True)
class Command:
    """A command from another shell to the driver."""

    verb: str
    cell: str | None
    value: str | None


@dataclass(frozen=True)
class Holder:
    """The driver that holds the lease, and the seconds until the lease expires."""

    owner: str
    token: int
    left_s: float

    @property
    def alive(self) -> bool:
        """Whether the lease has not expired and, for a driver on this machine, its process still exists."""
        host, _, pid = self.owner.partition(":")
        if self.left_s <= 0:
            return False
        return host != socket.gethostname() or _process_exists(int(pid))


class Ledger:
    """An open ledger, for use by one thread; several processes may open the same ledger."""

    def __init__(self, location: Path | str, scope: str = "uniferum") -> None:
        """Open or create a ledger.

        Args:
            location: a SQLite file, or the address of a PostgreSQL database.
            scope: PostgreSQL schema of this ledger.

        Raises:
            UniferumError: the location cannot be written, is not a database, or does not answer.
        """
        self.location = location
        self.database = Database(location, scope)

    @classmethod
    def of(cls, grid: GridConfig) -> Self:
        """Open the ledger of a grid; on a server each root has its own schema, because each root has one driver."""
        return cls(grid.ledger_address, grid.ledger_scope)

    def close(self) -> None:
        """Close the connections."""
        self.database.close()

    def transaction(self) -> AbstractContextManager[Connection]:
        """Run several writes atomically."""
        return self.database.transaction()

    # -- states ---------------------------------------------------------------------------------------------------

    def note(self, name: str, state: CellState, **columns: Any) -> None:
        """Set the state of a cell, and any other columns; each call is also recorded as an event."""
        now = time.time()
        values = {"state": state, "updated": now, **columns}
        detail = json.dumps({k: v for k, v in columns.items() if v is not None})

        def write(db: Connection) -> None:
            if not db.execute(UPDATE_CELL, {"of": name, **values}).rowcount:
                db.execute(INSERT_CELL, {"name": name, **values})
            db.execute(INSERT_EVENT, {"at": now, "cell": name, "state": state, "detail": detail})

        self._write(write)

    def entries(self) -> dict[str, CellEntry]:
        """All cells by name."""
        entries = (CellEntry(*row) for row in self._read(select(CELLS)))
        return {entry.name: replace(entry, state=CellState(entry.state)) for entry in entries}

    def events(self, cell: str | None = None) -> list[tuple[float, str, str, Mapping[str, Any]]]:
        """Events of a cell, or of all cells, oldest first: time, cell, state, details."""
        query = select(EVENTS).order_by(EVENTS.c.id)
        rows = self._read(query if cell is None else query.where(EVENTS.c.cell == cell))
        return [(row.at, row.cell, row.state, json.loads(row.detail or "{}")) for row in rows]

    def set_fact(self, key: str, value: str | None) -> None:
        """Store a fact about the whole grid (an address, why it is paused); None deletes it."""

        def write(db: Connection) -> None:
            db.execute(delete(FACTS).where(FACTS.c.key == key))
            if value is not None:
                db.execute(insert(FACTS).values(key=key, value=value))

        self._write(write)

    def facts(self) -> dict[str, str]:
        """Facts about the whole grid by key."""
        return {row.key: row.value for row in self._read(select(FACTS))}

    # -- commands -------------------------------------------------------------------------------------------------

    def add_command(self, verb: str, cell: str | None = None, value: str | None = None) -> None:
        """Queue a command for the driver, or for the next one if none is running."""
        statement = insert(COMMANDS).values(at=time.time(), verb=verb, cell=cell, value=value)
        self._write(lambda db: db.execute(statement))

    def take_commands(self) -> list[Command]:
        """Take the queued commands, oldest first; each command is returned once."""
        if not self._read(UNSEEN):
            return []

        def write(db: Connection) -> list[Command]:
            rows = db.execute(UNSEEN).all()
            db.execute(update(COMMANDS).where(COMMANDS.c.id.in_([row.id for row in rows])).values(seen=time.time()))
            return [Command(row.verb, row.cell, row.value) for row in rows]

        return self._write(write)

    # -- lease ----------------------------------------------------------------------------------------------------

    def holder(self) -> Holder | None:
        """The driver that holds the lease; None if there is no live driver."""
        return self._retry_while_away(self._live_holder)

    def take_lease(self) -> int | None:
        """Acquire the lease: the new fencing token, or None while another driver is alive."""

        def write(db: Connection) -> int | None:
            last = self._holder(db)
            if last is not None and last.alive and last.owner != _me():
                return None
            token = (last.token if last else 0) + 1
            db.execute(delete(LEASE))
            db.execute(insert(LEASE).values(one=1, owner=_me(), token=token, expires=self.database.now(db) + LEASE_S))
            # A pause, stop or cancel was meant for the driver that is gone; settings such as priority stay valid.
            stale = COMMANDS.c.seen.is_(None) & COMMANDS.c.verb.not_in(LASTING)
            db.execute(update(COMMANDS).where(stale).values(seen=time.time()))
            return token

        return self._write(write)

    def renew(self, token: int) -> bool:
        """Extend the lease; False if another driver has taken it, and this one must end."""

        def write(db: Connection) -> bool:
            mine = update(LEASE).where(LEASE.c.token == token, LEASE.c.owner == _me())
            return db.execute(mine.values(expires=self.database.now(db) + LEASE_S)).rowcount == 1

        return self._write(write)

    def release(self, token: int) -> None:
        """Release the lease."""
        self._write(lambda db: db.execute(update(LEASE).where(LEASE.c.token == token).values(expires=0)))

    def _holder(self, db: Connection) -> Holder | None:
        row = db.execute(select(LEASE)).one_or_none()
        return Holder(row.owner, row.token, row.expires - self.database.now(db)) if row else None

    def _live_holder(self) -> Holder | None:
        with self.database.engine.connect() as db:
            holder = self._holder(db)
        return holder if holder is not None and holder.alive else None

    # -- the database -----------------------------------------------------------------------------------------------

    def _read(self, query: Any) -> Iterable[Row[Any]]:
        def read() -> Iterable[Row[Any]]:
            with self.database.engine.connect() as db:
                return db.execute(query).all()

        return self._retry_while_away(read)

    def _write(self, write: Callable[[Connection], T]) -> T:
        def transact() -> T:
            with self.transaction() as db:
                return write(db)

        return self._retry_while_away(transact)

    def _retry_while_away(self, act: Callable[[], T]) -> T:
        """Repeat a request while the server does not answer: its restart must not end a grid. A file needs no retry."""
        until = time.monotonic() + RETRY_S
        while True:
            try:
                return act()
            except OperationalError as error:
                if is_full(error):
                    raise  # handled by the driver, which waits for free space and keeps its heartbeat
                if isinstance(self.location, Path):
                    raise
                if time.monotonic() > until:
                    statement = f"The ledger {self.location} does not answer ({reason(error)})"
                    raise StateError(statement, cure="Run the same command again when it does.") from None
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
