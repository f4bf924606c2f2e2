"""A database that does not answer: retries during a server's restart, none for a broken file; on a simulated clock."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy.exc import OperationalError

from orchestration.ledger import ledger as module
from orchestration.ledger.database import Database
from orchestration.ledger.ledger import Ledger
from uniferum.errors import UniferumError

ADDRESS = "postgresql://grid@127.0.0.1:1/grids"


class Flaky:
    """A database in a file whose first reads fail as those of an absent server."""

    def __init__(self, path: Path, failures: int, error: Exception) -> None:
        self.real, self.failures, self.error = Database(path, "s"), failures, error
        self.engine = self

    def connect(self) -> object:
        if self.failures:
            self.failures -= 1
            raise OperationalError("SELECT", {}, self.error)
        return self.real.engine.connect()


Away = Callable[[int, Exception], Ledger]


@pytest.fixture
def clock() -> SimpleNamespace:
    """A clock that goes on only while the ledger sleeps."""
    made = SimpleNamespace(time=time.time, seconds=0.0)
    made.monotonic = lambda: made.seconds
    made.sleep = lambda seconds: setattr(made, "seconds", made.seconds + seconds)
    return made


@pytest.fixture
def away(tmp_path: Path, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Away:
    """Makes the ledger of a server that does not answer the first requests."""

    def make(failures: int, error: Exception) -> Ledger:
        flaky = Flaky(tmp_path / "ledger.sqlite", failures, error)
        monkeypatch.setattr(module, "Database", lambda *words: flaky)
        monkeypatch.setattr(module, "time", clock)
        return Ledger(ADDRESS)

    return make


def test_an_absent_server_is_waited_for(away: Away, clock: SimpleNamespace) -> None:
    assert away(3, ConnectionError("refused")).entries() == {}
    assert clock.seconds == 1.5


def test_an_absent_server_is_named_after_a_minute(away: Away, clock: SimpleNamespace) -> None:
    with pytest.raises(UniferumError, match=ADDRESS):
        away(1_000_000, ConnectionError("refused")).entries()
    assert 60 < clock.seconds <= 61


def test_a_full_disk_is_raised_at_once(away: Away, clock: SimpleNamespace) -> None:
    with pytest.raises(OperationalError):
        away(1, sqlite3.OperationalError("database or disk is full")).entries()
    assert clock.seconds == 0


def test_a_file_that_fails_is_not_waited_for(
    tmp_path: Path, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.sqlite"
    book = Ledger(path)
    with sqlite3.connect(path) as other:
        other.execute("DROP TABLE cells")
    monkeypatch.setattr(module, "time", clock)
    with pytest.raises(OperationalError):
        book.entries()
    assert clock.seconds == 0
