"""A full disk is recognised in the errors of every library, and writes are retried."""

import errno
import json
import sqlite3
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from orchestration.attempt.failures import STORAGE, classify
from orchestration.attempt.spool import append_line
from orchestration.disk import is_full, retry_while_disk_full
from tests.support.small_disk import Disk, small_disk
from tests.support.small_grids import config
from uniferum.errors import UniferumError


@pytest.fixture
def disk(tmp_path: Path) -> object:
    """A disk of two mebibytes."""
    with small_disk(tmp_path / "disk", megabytes=2) as made:
        yield made


def _raised(write: object) -> Exception:
    with pytest.raises(Exception) as caught:
        write()  # pyright: ignore[reportCallIssue]
    return caught.value


def test_the_error_of_every_library_that_writes_is_recognised_on_a_full_disk(disk: Disk) -> None:
    weights = {"x": torch.zeros(1_000_000)}
    for write in (
        lambda: save_file(weights, disk.folder / "a.safetensors"),
        lambda: torch.save(weights, disk.folder / "b.pt"),
        lambda: (disk.folder / "c.json").write_text("x" * 4_000_000),
    ):
        fault = classify(_raised(write))
        assert fault.kind == STORAGE
        assert fault.retried
        for file in disk.folder.iterdir():
            file.unlink()


def test_the_error_of_a_database_is_recognised_and_the_next_write_succeeds(disk: Disk) -> None:
    from orchestration.ledger.ledger import Ledger

    ledger = Ledger(disk.folder / "ledger.sqlite")
    ledger.note("a", "running", reason="x")
    with disk.full():
        error = _raised(lambda: [ledger.note("a", "waiting", reason="x" * 5000) for _ in range(500)])
        assert is_full(error)
    ledger.note("a", "done", reason=None)
    assert ledger.entries()["a"].state == "done"
    ledger.close()


def test_a_checkpoint_that_did_not_fit_is_removed(disk: Disk) -> None:
    from uniferum.training.checkpoint import Checkpoints, Identity
    from uniferum.training.state import TrainingProgress

    model = torch.nn.Linear(1000, 1000)
    optimizer = torch.optim.AdamW(model.parameters())
    checkpoints = Checkpoints(disk.folder / "checkpoints", Identity("c", "f", config().model_dump(mode="json"), ()))
    assert is_full(_raised(lambda: checkpoints.save(model, optimizer, TrainingProgress(step=1))))
    assert list(checkpoints.folder.iterdir()) == []


def test_a_spool_on_a_full_disk_has_no_half_line(disk: Disk) -> None:
    spool = disk.folder / "spool.jsonl"
    append_line(spool, {"step": 1})
    error = _raised(lambda: [append_line(spool, {"step": 2, "text": "x" * 999_999}) for _ in range(3)])
    assert is_full(error)
    append_line(spool, {"step": 3})
    steps = [json.loads(line)["step"] for line in spool.read_text().splitlines()]
    assert (steps[0], set(steps[1:-1]), steps[-1]) == (1, {2}, 3)


def test_a_write_is_retried_until_there_is_space_with_one_line_at_each_end() -> None:
    said: list[str] = []
    beats: list[int] = []
    left = [OSError(errno.ENOSPC, "No space left on device"), sqlite3.OperationalError("disk is full"), None]

    def write() -> str:
        error = left.pop(0)
        if error is not None:
            raise error
        return "written"

    assert retry_while_disk_full(write, said.append, lambda: beats.append(1), every_s=0) == "written"
    assert [line.partition(" (")[0] for line in said] == [
        "the disk is full",
        "the disk has free space again; continuing",
    ]
    assert len(beats) == 2


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "no"), ValueError("x"), UniferumError("a", must="b")])
def test_other_errors_are_not_retried(error: Exception) -> None:
    def write() -> None:
        raise error

    with pytest.raises(type(error)):
        retry_while_disk_full(write, lambda line: None, every_s=0)


def test_the_error_is_raised_after_the_time_limit() -> None:
    def write() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError):
        retry_while_disk_full(write, lambda line: None, every_s=0, longest_s=0)
