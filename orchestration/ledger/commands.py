"""Steering a grid from another shell: wishes in its ledger, stop files in its cells, logs from their folders.

All of it works on files. Where a driver lives it takes the wish within a second or two; where none does, a cancellation
still reaches a worker that outlived its driver, and the rest waits for the next ``grid run``.
"""

import codecs
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from orchestration.grid.cells import Cell, expand
from orchestration.grid.config import GridConfig, load_grid
from orchestration.grid.plan import make_plan
from orchestration.grid.planned import PlannedCell
from orchestration.grid.records import CellFolder, named_folders
from orchestration.grid.states import PlanState
from orchestration.ledger.ledger import Holder, Ledger
from orchestration.ledger.status import ledger_of
from uniferum.errors import UniferumError, near_miss

EVENT_COLUMNS = ("cell", "time", "state", "attempt", "fault", "reason", "node")


@dataclass(frozen=True)
class GridClient:
    """A grid, seen from another shell."""

    grid: GridConfig
    cells: tuple[Cell, ...]

    @classmethod
    def open(cls, file: Path, settings: Iterable[str] = ()) -> "GridClient":
        """From the grid's file, with the settings that it is run with.

        Raises:
            UniferumError: the file or a setting is wrong.
        """
        grid = load_grid(file, settings)
        return cls(grid, tuple(expand(grid, source=str(file))))

    @property
    def names(self) -> list[str]:
        """Of the cells, in the grid's order."""
        return [cell.name for cell in self.cells]

    def record(self, cell: str) -> CellFolder:
        """The newest record of a cell.

        Raises:
            UniferumError: the grid has no such cell, or it never started.
        """
        self.check(cell)
        folders = named_folders(self.grid.cells_folder, cell)
        if not folders:
            raise UniferumError("cell", cell, must="have started", cure="see uniferum grid status")
        return CellFolder(folders[-1])

    def log(self, cell: str) -> Path:
        """Where the cell's log is."""
        return self.record(cell).log

    def check(self, cell: str) -> None:
        """Raise when the grid has no such cell."""
        if cell not in self.names:
            raise UniferumError("cell", cell, must="be one of the grid's", cure=near_miss(cell, self.names))

    def wish(self, verb: str, cell: str | None = None, value: str | None = None) -> str:
        """Ask the driver for something; returns a line that says what will happen.

        Raises:
            UniferumError: the grid has no such cell, or there is nothing that could be done with it.
        """
        if cell is not None:
            self.check(cell)
        with ledger_of(self.grid) as ledger:
            holder = ledger.holder() if ledger else None
            if ledger is None or holder is None:
                return self._without_driver(verb, cell)
            if cell is not None:
                self._check_heard(verb, cell, ledger, holder)
            ledger.wish(verb, cell, value)
        return f"{verb}{f' {cell}' if cell else ''}: asked of {holder.owner}"

    def history(self, cell: str | None) -> list[dict[str, Any]]:
        """List the events of a cell, or of all cells, oldest first, with the keys of :data:`EVENT_COLUMNS`."""
        if cell is not None:
            self.check(cell)
        with ledger_of(self.grid) as ledger:
            events = ledger.events(cell) if ledger else []
        return [
            {"cell": name, "time": _iso(at), "state": state, **{key: detail.get(key) for key in EVENT_COLUMNS[3:]}}
            for at, name, state, detail in events
        ]

    def _check_heard(self, verb: str, cell: str, ledger: Ledger, holder: Holder) -> None:
        """Raise where the driver would let the wish fall: it knows the cells that its run began with, and no others."""
        entry, began = ledger.entries().get(cell), float(ledger.facts().get("began", 0))
        if entry is None or entry.updated < began:
            found = f"it is {_state(self._planned(cell))}"
            raise UniferumError("cell", cell, must=f"be among the cells that {holder.owner} runs", cure=found)
        if entry.state == PlanState.DONE:
            raise UniferumError("cell", cell, must=f"have something left to {verb}", cure="it is done")
        if verb == "retry" and entry.state in ("pending", "running"):
            raise UniferumError("cell", cell, must="have failed or been stopped", cure=f"it is {entry.state}")

    def _without_driver(self, verb: str, cell: str | None) -> str:
        if verb == "cancel":
            return self._stop_orphans(cell)
        if verb == "retry" and cell is not None:
            return self._retry_later(cell)
        return f"no driver runs, so there is nothing to {verb}"

    def _retry_later(self, cell: str) -> str:
        planned = self._planned(cell)
        if planned.state in (PlanState.DONE, PlanState.NO_DATA):
            raise UniferumError("cell", cell, must="have something to try again", cure=f"it is {_state(planned)}")
        planned.record.clear_failure()
        return f"no driver runs; the next uniferum grid run tries {cell} again, which is {_state(planned)}"

    def _stop_orphans(self, cell: str | None) -> str:
        names = [cell] if cell else self.names
        running = [
            CellFolder(folders[-1]) for name in names if (folders := named_folders(self.grid.cells_folder, name))
        ]
        running = [record for record in running if not record.done and record.progress() is not None]
        for record in running:
            record.request_stop("cancelled by hand")
        return f"no driver runs; {len(running)} cells are told to stop, should a worker of them still live"

    def _planned(self, name: str) -> PlannedCell:
        (planned,) = make_plan(self.grid, [cell for cell in self.cells if cell.name == name])
        return planned


def _iso(at: float) -> str:
    """Local time with its offset from UTC."""
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")


def _state(planned: PlannedCell) -> str:
    return f"{planned.state}: {planned.why}"


def last_lines(path: Path, lines: int) -> tuple[str, int]:
    """The end of a log, or all of it where ``lines`` is 0; and the byte up to which it was read."""
    data = path.read_bytes()
    wanted = b"".join(data.splitlines(keepends=True)[-lines:]) if lines else data
    return wanted.decode("utf-8", "replace"), len(data)


def follow_log(path: Path, start: int, *, every_s: float = 0.5) -> Iterator[str]:
    """What is written after byte ``start``, for ever.

    A new attempt may replace the file or cut it short; then it goes on from the new beginning.
    """
    while True:
        with path.open("rb") as log:
            log.seek(start)
            yield from _appended(log, path, every_s)
        start = 0


def _appended(log: BinaryIO, path: Path, every_s: float) -> Iterator[str]:
    """What is appended, until the path leads to something else."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while True:
        data = log.read()
        if data:
            yield decoder.decode(data)
        elif _began_anew(log, path):
            return
        else:
            time.sleep(every_s)


def _began_anew(log: BinaryIO, path: Path) -> bool:
    try:
        now = path.stat()
    except FileNotFoundError:  # between two attempts; the next one makes it
        return False
    return not os.path.samestat(now, os.fstat(log.fileno())) or now.st_size < log.tell()
