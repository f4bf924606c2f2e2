"""The ledger in a SQLite file and on a PostgreSQL server: states, events, commands taken once, one driver at a time."""

import multiprocessing
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path
from threading import Timer

import pytest
from sqlalchemy import update

from orchestration.grid.states import CellState
from orchestration.ledger import database
from orchestration.ledger import ledger as module
from orchestration.ledger.database import LEASE
from orchestration.ledger.ledger import Holder, Ledger
from orchestration.ledger.status import status_of
from tests.support.postgres_server import SECRET, PostgresServer
from tests.support.small_grids import cell, grid
from uniferum.errors import UniferumError

Open = Callable[[], Ledger]


@pytest.fixture(params=["file", "server"])
def another(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Open the same ledger once more, as another shell does."""
    if request.param == "file":
        return partial(Ledger, tmp_path / "ledger.sqlite")
    return partial(Ledger, request.getfixturevalue("postgres").address, tmp_path.name)


@pytest.fixture
def book(another: Open) -> Iterator[Ledger]:
    ledger = another()
    yield ledger
    ledger.close()


def test_a_cell_keeps_what_later_notes_do_not_change(book: Ledger) -> None:
    book.note("a", "running", folder="f", attempt=1)
    book.note("a", "failed", fault="storage", reason="disk full")
    entry = book.entries()["a"]
    assert isinstance(entry.state, CellState)
    assert (entry.state, entry.attempt, entry.folder, entry.fault) == ("failed", 1, "f", "storage")
    assert [state for _, _, state, _ in book.events("a")] == ["running", "failed"]


def test_facts_are_replaced_and_forgotten(book: Ledger) -> None:
    book.set_fact("paused", "disk full")
    book.set_fact("paused", "too many failures")
    assert book.facts() == {"paused": "too many failures"}
    book.set_fact("paused", None)
    assert book.facts() == {}


def test_commands_come_in_order_and_once(book: Ledger, another: Open) -> None:
    other_shell = another()
    other_shell.add_command("pause")
    other_shell.add_command("cancel", "a")
    assert [(command.verb, command.cell) for command in book.take_commands()] == [("pause", None), ("cancel", "a")]
    assert book.take_commands() == []


def _take(another: Open, answers: "multiprocessing.Queue[int | None]", start: "Event | None" = None) -> None:
    ledger = another()
    if start is not None:
        start.wait()
    answers.put(ledger.take_lease())
    time.sleep(30)


def test_of_simultaneous_processes_one_gets_the_lease(another: Open) -> None:
    context = multiprocessing.get_context("fork")
    answers, start = context.Queue(), context.Event()
    rivals = [context.Process(target=_take, args=(another, answers, start)) for _ in range(6)]
    for rival in rivals:
        rival.start()
    start.set()
    taken = [answers.get(timeout=60) for _ in rivals]
    for rival in rivals:
        rival.kill()
        rival.join()
    assert sorted(taken, key=str) == [1, *[None] * 5]


def test_a_second_process_gets_no_lease_until_the_first_is_killed(book: Ledger, another: Open) -> None:
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    first = context.Process(target=_take, args=(another, answers))
    first.start()
    assert answers.get(timeout=20) == 1
    assert book.take_lease() is None
    holder = book.holder()
    assert holder is not None
    assert holder.owner.endswith(f":{first.pid}")

    first.kill()
    first.join()
    assert book.take_lease() == 2, "the lease of a dead process on this machine is free at once"


def test_a_lease_of_another_machine_is_kept_until_it_expires(book: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.socket, "gethostname", lambda: "elsewhere")
    assert book.take_lease() == 1
    monkeypatch.undo()
    assert book.take_lease() is None
    with book.transaction() as db:
        db.execute(update(LEASE).values(expires=time.time() - 1))
    assert book.take_lease() == 2


def test_a_driver_that_lost_its_lease_cannot_renew_it(book: Ledger) -> None:
    token = book.take_lease()
    assert token is not None
    assert book.renew(token)
    with book.transaction() as db:
        db.execute(update(LEASE).values(owner="elsewhere:1", token=LEASE.c.token + 1))
    assert not book.renew(token)


def test_pause_stop_and_cancel_for_a_driver_that_is_gone_do_not_reach_the_next(book: Ledger) -> None:
    token = book.take_lease()
    assert token is not None
    for verb in ("stop", "cancel", "pause"):
        book.add_command(verb)
    book.add_command("parallel", value="3")
    book.add_command("priority", "a", "9")
    book.release(token)
    assert book.take_lease() is not None
    assert [command.verb for command in book.take_commands()] == ["parallel", "priority"]


def test_a_released_lease_is_free(book: Ledger) -> None:
    token = book.take_lease()
    assert token is not None
    book.release(token)
    assert book.holder() is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_location_is_a_users_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UniferumError, match="another root"):
        Ledger(tmp_path / "sub" / "ledger.sqlite")


def test_a_file_that_is_no_database_is_a_users_error(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_text("not a database, but long enough to be read as one" * 100)
    with pytest.raises(UniferumError, match=r"ledger\.sqlite cannot be written \(file is not a database\)"):
        Ledger(path)


def test_a_ledger_of_an_earlier_version_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as old:
        old.executescript(
            "CREATE TABLE cells (name TEXT PRIMARY KEY, folder TEXT, state TEXT NOT NULL, attempt INTEGER NOT NULL"
            " DEFAULT 0, fault TEXT, reason TEXT, node TEXT, started REAL, updated REAL NOT NULL, seconds REAL NOT NULL"
            " DEFAULT 0); INSERT INTO cells (name, state, updated) VALUES ('a', 'done', 1.5);"
        )
    book = Ledger(path)
    assert book.entries()["a"].updated == 1.5
    assert book.take_lease() == 1


def test_grids_of_other_roots_share_a_server_and_nothing_else(postgres: PostgresServer, tmp_path: Path) -> None:
    books = [Ledger.of(grid(tmp_path / name, ledger=postgres.address)) for name in ("one", "two")]
    books[0].note("a", "running")
    assert [book.take_lease() for book in books] == [1, 1]
    assert [list(book.entries()) for book in books] == [["a"], []]


def test_a_server_that_restarts_costs_a_driver_nothing(postgres: PostgresServer, tmp_path: Path) -> None:
    book = Ledger(postgres.address, tmp_path.name)
    token = book.take_lease()
    assert token is not None
    postgres.stop()
    again = Timer(2.0, postgres.start)
    again.start()
    book.note("a", "done")
    again.join()
    assert book.renew(token)
    assert book.entries()["a"].state == "done"


def test_a_server_that_stays_away_ends_the_driver_with_one_line(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Ledger(postgres.address, tmp_path.name)
    monkeypatch.setattr(module, "RETRY_S", 0.0)
    postgres.stop()
    try:
        with pytest.raises(UniferumError, match=r"The ledger postgresql://grid@.* does not answer"):
            book.note("a", "done")
    finally:
        postgres.start()


def test_status_works_without_an_answering_ledger(tmp_path: Path) -> None:
    away = grid(tmp_path, ledger="postgresql://grid@127.0.0.1:1/grids")
    (tmp_path / "store" / "store.json").unlink()
    rows, headline = status_of(away, [cell()])
    assert [row.texts[0] for row in rows] == [cell().name]
    assert "from the cells' folders only: The ledger postgresql://grid@127.0.0.1:1/grids cannot be written" in headline


def test_a_wrong_password_is_named_and_not_shown(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", f"{SECRET}-wrong")
    with pytest.raises(UniferumError, match="PGPASSWORD or") as caught:
        Ledger(postgres.address, "scope")
    assert SECRET not in str(caught.value)


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "find_spec", lambda name: None)
    with pytest.raises(UniferumError, match=r"pip install --editable '\.\[postgres\]'"):
        Ledger("postgresql://grid@127.0.0.1:1/grids")


def test_a_reader_never_waits_for_a_writer(book: Ledger, another: Open) -> None:
    reader = another()
    with book.transaction():
        assert reader.entries() == {}


def test_events_have_their_cell_and_their_details_in_the_order_of_the_moves(book: Ledger) -> None:
    book.note("a", "running", attempt=1, node=None)
    book.note("b", "running", attempt=2)
    book.note("a", "done", seconds=2.5)
    events = [(cell, state, detail) for _, cell, state, detail in book.events()]
    assert events == [
        ("a", "running", {"attempt": 1}),
        ("b", "running", {"attempt": 2}),
        ("a", "done", {"seconds": 2.5}),
    ]
    assert [state for _, _, state, _ in book.events("b")] == ["running"]


def test_a_fact_is_replaced_alone(book: Ledger) -> None:
    book.set_fact("paused", "no room")
    book.set_fact("ray", "127.0.0.1")
    book.set_fact("paused", "by hand")
    assert book.facts() == {"paused": "by hand", "ray": "127.0.0.1"}


def test_a_renewed_lease_is_held_and_its_owner_may_take_it_again(book: Ledger) -> None:
    assert book.holder() is None
    token = book.take_lease()
    assert token is not None
    with book.transaction() as db:
        db.execute(update(LEASE).values(expires=0))
    assert book.holder() is None, "it has expired"
    assert book.renew(token)
    holder = book.holder()
    assert holder is not None
    assert holder.alive
    assert holder.token == token
    assert book.take_lease() == token + 1


def test_a_process_of_another_user_is_alive_and_one_that_is_gone_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(error: type[OSError]) -> bool:
        def refuse(pid: int, number: int) -> None:
            raise error

        monkeypatch.setattr(module.os, "kill", refuse)
        return Holder(f"{socket.gethostname()}:12345", 1, 5.0).alive

    assert answer(PermissionError)
    assert not answer(ProcessLookupError)
    assert Holder("elsewhere:12345", 1, 5.0).alive, "nothing is known of a process on another machine"
    assert not Holder("elsewhere:12345", 1, 0.0).alive
