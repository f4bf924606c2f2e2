"""The ledger: states and events, wishes given once, one driver at a time."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from orchestration import ledger as module
from orchestration.ledger import Ledger
from uniferum.errors import UniferumError


@pytest.fixture
def book(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


def test_a_cell_keeps_what_later_notes_do_not_change(book: Ledger) -> None:
    book.note("a", "running", folder="f", attempt=1)
    book.note("a", "failed", fault="storage", reason="disk full")
    entry = book.entries()["a"]
    assert (entry.state, entry.attempt, entry.folder, entry.fault) == ("failed", 1, "f", "storage")
    assert [state for _, _, state, _ in book.events("a")] == ["running", "failed"]


def test_wishes_come_in_order_and_once(book: Ledger, tmp_path: Path) -> None:
    other_shell = Ledger(tmp_path / "ledger.sqlite")
    other_shell.wish("pause")
    other_shell.wish("cancel", "a")
    assert [(wish.verb, wish.cell) for wish in book.take_wishes()] == [("pause", None), ("cancel", "a")]
    assert book.take_wishes() == []


def _take(path: Path, answers: "multiprocessing.Queue[int | None]") -> None:
    answers.put(Ledger(path).take_lease())
    time.sleep(30)


def test_a_second_process_gets_no_lease_until_the_first_is_killed(book: Ledger) -> None:
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    first = context.Process(target=_take, args=(book.path, answers))
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
    book.connection.execute("UPDATE lease SET expires = ?", (time.time() - 1,))
    assert book.take_lease() == 2


def test_a_driver_that_lost_its_lease_cannot_renew_it(book: Ledger) -> None:
    token = book.take_lease()
    assert token is not None
    assert book.renew(token)
    book.connection.execute("UPDATE lease SET owner = 'elsewhere:1', token = token + 1")
    assert not book.renew(token)


def test_a_released_lease_is_free(book: Ledger) -> None:
    token = book.take_lease()
    assert token is not None
    book.release(token)
    assert book.holder() is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_place_is_a_users_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UniferumError, match="another root"):
        Ledger(tmp_path / "sub" / "ledger.sqlite")


def test_a_file_that_is_no_database_is_a_users_error(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_text("not a database, but long enough to be read as one" * 100)
    with pytest.raises(UniferumError, match="must be a ledger"):
        Ledger(path)
