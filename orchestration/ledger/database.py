"""The database of a ledger: a SQLite file (WAL mode) in the grid's root, or a schema of a PostgreSQL server.

SQLite's WAL needs shared memory, which network file systems do not have. A grid controlled from several machines
therefore names a PostgreSQL server (``ledger:`` in the grid file). Both run the same SQLAlchemy Core statements.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import Column, Double, Integer, MetaData, Table, Text, create_engine, event, inspect, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateSchema

from uniferum.errors import StateError

METADATA = MetaData()
CELLS = Table(
    "cells",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("folder", Text),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("fault", Text),
    Column("reason", Text),
    Column("node", Text),
    Column("started", Double),
    Column("updated", Double, nullable=False),
    Column("seconds", Double, nullable=False, server_default="0"),
)
EVENTS = Table(
    "events",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("cell", Text),
    Column("state", Text, nullable=False),
    Column("detail", Text),
)
COMMANDS = Table(
    "wishes",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("verb", Text, nullable=False),
    Column("cell", Text),
    Column("value", Text),
    Column("seen", Double),
)
LEASE = Table(
    "lease",
    METADATA,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("owner", Text, nullable=False),
    Column("token", Integer, nullable=False),
    Column("expires", Double, nullable=False),
)
FACTS = Table("facts", METADATA, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

BUSY_S, CONNECT_S = 20, 5


class Database:
    """The tables of one ledger, in SQLite or PostgreSQL."""

    def __init__(self, location: Path | str, scope: str) -> None:
        """Open the database; create the tables if they do not exist yet.

        Args:
            location: a SQLite file, or a ``postgresql://`` address without a password (libpq reads PGPASSWORD or
                ~/.pgpass).
            scope: PostgreSQL schema of this ledger; a SQLite file holds one ledger only.

        Raises:
            StateError: the location cannot be written, is not a database, or does not answer.
        """
        self.location, self.scope = location, scope
        self.engine = _file_engine(location) if isinstance(location, Path) else _server_engine(location, scope)
        try:
            self._create()
        except (OSError, SQLAlchemyError) as error:
            self.engine.dispose()
            raise _not_writable(location, error) from None

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Run several statements atomically, with the ledger locked for other writers."""
        with self.engine.connect() as db:
            self._lock(db)
            yield db
            db.commit()

    def now(self, db: Connection) -> float:
        """Current time; on a server the server's clock, so that machines agree on when a lease expires."""
        if isinstance(self.location, Path):
            return time.time()
        return float(db.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())

    def _lock(self, db: Connection) -> None:
        if isinstance(self.location, Path):
            db.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            db.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:scope, 0))"), {"scope": self.scope})

    def _create(self) -> None:
        on_server = not isinstance(self.location, Path)
        last = METADATA.sorted_tables[-1].name
        if inspect(self.engine).has_table(last, schema=self.scope if on_server else None):
            return
        with self.transaction() as db:
            if on_server:
                db.execute(CreateSchema(self.scope, if_not_exists=True))
            METADATA.create_all(db)


def reason(error: Exception) -> str:
    """The database's own error message, in one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())[:200]


def _file_engine(path: Path) -> Engine:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(path, error) from None
    # isolation_level None: sqlite3 starts no transactions of its own, so a reader never locks the file.
    options = {"timeout": BUSY_S, "isolation_level": None, "check_same_thread": False}
    engine = create_engine(f"sqlite:///{path}", connect_args=options)

    @event.listens_for(engine, "connect")
    def _write_ahead(connection: object, record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")  # pyright: ignore[reportAttributeAccessIssue]
        connection.execute("PRAGMA synchronous=NORMAL")  # pyright: ignore[reportAttributeAccessIssue]

    return engine


def _server_engine(address: str, scope: str) -> Engine:
    if find_spec("psycopg") is None:
        cure = "Install it: pip install --editable '.[postgres]'"
        raise StateError(f"The ledger {address} needs the Python package psycopg, which is not installed", cure=cure)
    engine = create_engine(
        address.replace("postgresql://", "postgresql+psycopg://", 1),
        connect_args={"connect_timeout": CONNECT_S, "application_name": "uniferum"},
        pool_pre_ping=True,
    )
    return engine.execution_options(schema_translate_map={None: scope})


def _not_writable(location: Path | str, error: Exception) -> StateError:
    if isinstance(location, Path):
        cure = "Give another root in the grid file."
    else:
        cure = "Check that the server runs and that PGPASSWORD or ~/.pgpass has the password."
    return StateError(f"The ledger {location} cannot be written ({reason(error)})", cure=cure)
