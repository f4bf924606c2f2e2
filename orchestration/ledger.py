"""The grid's ledger: states, attempts, wishes from other shells, and the lease of the one driver. SQLite in WAL mode.

The ledger is a convenience for people and a restarted driver, never the proof that a cell is done: that is the cell's
``result.json``. Only the driver that holds the lease writes states; any shell may write wishes.
"""

import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uniferum.errors import UniferumError

SCHEMA = """
CREATE TABLE IF NOT EXISTS cells (
    name TEXT PRIMARY KEY, folder TEXT, state TEXT NOT NULL, attempt INTEGER NOT NULL DEFAULT 0,
    fault TEXT, reason TEXT, node TEXT, started REAL, updated REAL NOT NULL, seconds REAL NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, cell TEXT, state TEXT NOT NULL, detail TEXT);
CREATE TABLE IF NOT EXISTS wishes (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, verb TEXT NOT NULL, cell TEXT, value TEXT, seen REAL);
CREATE TABLE IF NOT EXISTS lease (
    one INTEGER PRIMARY KEY CHECK (one = 1), owner TEXT NOT NULL, token INTEGER NOT NULL, expires REAL NOT NULL);
CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
LEASE_S = 30.0


@dataclass(frozen=True)
class Entry:
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
class Wish:
    """Something that another shell asked of the driver."""

    verb: str
    cell: str | None
    value: str | None


@dataclass(frozen=True)
class Holder:
    """Who drives the grid, until when."""

    owner: str
    token: int
    expires: float

    @property
    def alive(self) -> bool:
        """Whether the lease runs and, where its process was on this machine, that process still exists."""
        host, _, pid = self.owner.partition(":")
        if self.expires <= time.time():
            return False
        return host != socket.gethostname() or _process_exists(int(pid))


class Ledger:
    """An open ledger; safe for one thread, several processes."""

    def __init__(self, path: Path) -> None:
        """Open or create it.

        Raises:
            UniferumError: the folder cannot be written or the file is no database.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.connection = sqlite3.connect(path, timeout=20, isolation_level=None, check_same_thread=False)
            self.connection.execute("PRAGMA journal_mode=WAL")
            self.connection.execute("PRAGMA synchronous=NORMAL")
            self.connection.executescript(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise UniferumError(
                str(path), must="be a ledger that can be written", cure=f"{error}; give another root in the grid file"
            ) from None

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Several writes, all or none."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    # -- states ---------------------------------------------------------------------------------------------------

    def note(self, name: str, state: str, **columns: Any) -> None:
        """Move a cell to a state, with any of the other columns; every move is an event."""
        now = time.time()
        values = {"state": state, "updated": now, **columns}
        assignments = ", ".join(f"{key} = :{key}" for key in values)
        with self.transaction() as db:
            db.execute("INSERT OR IGNORE INTO cells (name, state, updated) VALUES (?, ?, ?)", (name, state, now))
            db.execute(f"UPDATE cells SET {assignments} WHERE name = :name", {**values, "name": name})
            detail = json.dumps({k: v for k, v in columns.items() if v is not None})
            db.execute("INSERT INTO events (at, cell, state, detail) VALUES (?, ?, ?, ?)", (now, name, state, detail))

    def entries(self) -> dict[str, Entry]:
        """Every cell, by name."""
        keys = "name, folder, state, attempt, fault, reason, node, started, updated, seconds"
        return {row[0]: Entry(*row) for row in self.connection.execute(f"SELECT {keys} FROM cells ORDER BY rowid")}

    def events(self, cell: str | None = None) -> list[tuple[float, str, str, Mapping[str, Any]]]:
        """What happened, oldest first: when, cell, state, detail."""
        rows = self.connection.execute(
            "SELECT at, cell, state, detail FROM events WHERE ? IS NULL OR cell = ? ORDER BY id", (cell, cell)
        )
        return [(at, name, state, json.loads(detail or "{}")) for at, name, state, detail in rows]

    def set_fact(self, key: str, value: str | None) -> None:
        """Note something about the whole grid (addresses, why it paused); None forgets it."""
        if value is None:
            self.connection.execute("DELETE FROM facts WHERE key = ?", (key,))
        else:
            self.connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, value))

    def facts(self) -> dict[str, str]:
        """What was noted about the whole grid."""
        return dict(self.connection.execute("SELECT key, value FROM facts"))

    # -- wishes ---------------------------------------------------------------------------------------------------

    def wish(self, verb: str, cell: str | None = None, value: str | None = None) -> None:
        """Ask something of the driver, now or when the next one starts."""
        self.connection.execute(
            "INSERT INTO wishes (at, verb, cell, value) VALUES (?, ?, ?, ?)", (time.time(), verb, cell, value)
        )

    def take_wishes(self) -> list[Wish]:
        """Wishes nobody took yet, in their order; each is given once."""
        if not self.connection.execute("SELECT 1 FROM wishes WHERE seen IS NULL LIMIT 1").fetchone():
            return []
        with self.transaction() as db:
            rows = db.execute("SELECT id, verb, cell, value FROM wishes WHERE seen IS NULL ORDER BY id").fetchall()
            db.execute("UPDATE wishes SET seen = ? WHERE seen IS NULL", (time.time(),))
        return [Wish(*row[1:]) for row in rows]

    # -- lease ----------------------------------------------------------------------------------------------------

    def holder(self) -> Holder | None:
        """Who has the lease; None when nobody or a dead process has it."""
        row = self.connection.execute("SELECT owner, token, expires FROM lease").fetchone()
        holder = Holder(*row) if row else None
        return holder if holder and holder.alive else None

    def take_lease(self) -> int | None:
        """Become the driver: the new fencing token, or None while another one lives."""
        with self.transaction() as db:
            row = db.execute("SELECT owner, token, expires FROM lease").fetchone()
            if row and Holder(*row).alive and row[0] != _me():
                return None
            token = (row[1] if row else 0) + 1
            db.execute("INSERT OR REPLACE INTO lease VALUES (1, ?, ?, ?)", (_me(), token, time.time() + LEASE_S))
        return token

    def renew(self, token: int) -> bool:
        """Keep the lease; False when another driver took it, and this one has to leave."""
        with self.transaction() as db:
            changed = db.execute(
                "UPDATE lease SET expires = ? WHERE token = ? AND owner = ?", (time.time() + LEASE_S, token, _me())
            )
        return changed.rowcount == 1

    def release(self, token: int) -> None:
        """Give the lease back."""
        self.connection.execute("UPDATE lease SET expires = 0 WHERE token = ?", (token,))


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
