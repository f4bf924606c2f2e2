"""Where a ledger is kept: a file beside the records (SQLite in WAL mode), or a schema of a PostgreSQL database.

WAL needs memory that its readers share, which a network file system has not; so a grid that is driven and steered from
several machines names a PostgreSQL (``ledger:`` in the grid file). Both run the same statements of SQLAlchemy Core.
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

from uniferum.errors import UniferumError

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
WISHES = Table(
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
    """One ledger's tables in either place."""

    def __init__(self, place: Path | str, scope: str) -> None:
        """Open them, and create them where they are not yet.

        Args:
            place: a file, or a ``postgresql://`` address without a password (libpq finds it: PGPASSWORD, ~/.pgpass).
            scope: names the ledger among those of one server; a file holds one only.

        Raises:
            UniferumError: the place cannot be written, is no database, or does not answer.
        """
        self.place, self.scope = place, scope
        self.engine = _file_engine(place) if isinstance(place, Path) else _server_engine(place, scope)
        try:
            self._create()
        except (OSError, SQLAlchemyError) as error:
            self.engine.dispose()
            raise UniferumError(
                str(place), must="be a ledger that can be written", cure=f"{reason(error)}; {_cure(place)}"
            ) from None

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Several statements, all or none; nobody else writes this ledger meanwhile."""
        with self.engine.connect() as db:
            self._lock(db)
            yield db
            db.commit()

    def now(self, db: Connection) -> float:
        """The ledger's clock: leases of several machines need one, so on a server it is the server's."""
        if isinstance(self.place, Path):
            return time.time()
        return float(db.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())

    def _lock(self, db: Connection) -> None:
        if isinstance(self.place, Path):
            db.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            db.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:scope, 0))"), {"scope": self.scope})

    def _create(self) -> None:
        on_server = not isinstance(self.place, Path)
        last = METADATA.sorted_tables[-1].name
        if inspect(self.engine).has_table(last, schema=self.scope if on_server else None):
            return
        with self.transaction() as db:
            if on_server:
                db.execute(CreateSchema(self.scope, if_not_exists=True))
            METADATA.create_all(db)


def reason(error: Exception) -> str:
    """What the database itself said, in one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())[:200]


def _file_engine(path: Path) -> Engine:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UniferumError(
            str(path), must="be a ledger that can be written", cure=f"{reason(error)}; {_cure(path)}"
        ) from None
    # isolation_level None: sqlite3 begins no transaction by itself, so that a reader never holds the file.
    options = {"timeout": BUSY_S, "isolation_level": None, "check_same_thread": False}
    engine = create_engine(f"sqlite:///{path}", connect_args=options)

    @event.listens_for(engine, "connect")
    def _write_ahead(connection: object, record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")  # pyright: ignore[reportAttributeAccessIssue]
        connection.execute("PRAGMA synchronous=NORMAL")  # pyright: ignore[reportAttributeAccessIssue]

    return engine


def _server_engine(address: str, scope: str) -> Engine:
    if find_spec("psycopg") is None:
        raise UniferumError(
            "ledger", address, must="have its driver installed", cure="pip install --editable '.[postgres]'"
        )
    engine = create_engine(
        address.replace("postgresql://", "postgresql+psycopg://", 1),
        connect_args={"connect_timeout": CONNECT_S, "application_name": "uniferum"},
        pool_pre_ping=True,
    )
    return engine.execution_options(schema_translate_map={None: scope})


def _cure(place: Path | str) -> str:
    if isinstance(place, Path):
        return "give another root in the grid file"
    return "see that the server runs and that PGPASSWORD or ~/.pgpass holds the password"
