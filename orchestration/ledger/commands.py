"""Control a grid from another shell: commands to its driver, stop requests to its cells, and the cells' logs.

Commands go through the ledger, and the driver reads them every second or two. Without a driver, ``cancel`` writes the
stop request into the cell's folder, because a worker may outlive its driver, and ``retry`` clears the failure for the
next ``grid run``.
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
from orchestration.grid.states import CellState, PlanState
from orchestration.ledger.ledger import Holder, Ledger
from orchestration.ledger.status import open_ledger
from uniferum.errors import StateError, UniferumError, near_miss

EVENT_COLUMNS = ("cell", "time", "state", "attempt", "fault", "reason", "node")


@dataclass(frozen=True)
class GridClient:
    """Client of a grid: sends commands to its driver and reads its records."""

    grid: GridConfig
    cells: tuple[Cell, ...]

    @classmethod
    def open(cls, file: Path, settings: Iterable[str] = ()) -> "GridClient":
        """Load the grid file with the overrides that ``grid run`` was started with.

        Raises:
            UniferumError: the file or an override is wrong.
        """
        grid = load_grid(file, settings)
        return cls(grid, tuple(expand(grid, source=str(file))))

    @property
    def names(self) -> list[str]:
        """Cell names in the order of the grid file."""
        return [cell.name for cell in self.cells]

    def record(self, cell: str) -> CellFolder:
        """Find the newest folder of a cell, or the one where it finished under another name.

        Raises:
            UniferumError: the grid has no such cell.
            StateError: the cell has not started yet.
        """
        self.check(cell)
        folders = named_folders(self.grid.cells_folder, cell)
        if folders:
            return CellFolder(folders[-1])
        planned = self._planned(cell)
        if planned.folder is None or not planned.folder.is_dir():
            raise StateError(f"Cell {cell} has not started yet", cure="See `uniferum grid status`.")
        return planned.record

    def log(self, cell: str) -> Path:
        """Path of the cell's log file."""
        return self.record(cell).log

    def check(self, cell: str) -> None:
        """Check that the grid has this cell.

        Raises:
            UniferumError: it has not; the nearest name is suggested.
        """
        if cell not in self.names:
            raise UniferumError("cell", cell, must="be a cell of the grid", cure=near_miss(cell, self.names))

    def send(self, verb: str, cell: str | None = None, value: str | None = None) -> str:
        """Send a command to the driver.

        Returns:
            One line for the terminal: what will happen.

        Raises:
            UniferumError: the grid has no such cell.
            StateError: the command does not apply to the cell's state.
        """
        if cell is not None:
            self.check(cell)
        with open_ledger(self.grid) as ledger:
            holder = ledger.holder() if ledger else None
            if ledger is None or holder is None:
                return self._without_driver(verb, cell)
            if cell is not None:
                self._check_applies(verb, cell, ledger, holder)
            ledger.add_command(verb, cell, value)
        return f"{verb}{f' {cell}' if cell else ''}: sent to the driver {holder.owner}"

    def history(self, cell: str | None) -> list[dict[str, Any]]:
        """List the events of a cell, or of all cells, oldest first, with the keys of :data:`EVENT_COLUMNS`."""
        if cell is not None:
            self.check(cell)
        with open_ledger(self.grid) as ledger:
            events = ledger.events(cell) if ledger else []
        return [
            {"cell": name, "time": _iso(at), "state": state, **{key: detail.get(key) for key in EVENT_COLUMNS[3:]}}
            for at, name, state, detail in events
        ]

    def _check_applies(self, verb: str, cell: str, ledger: Ledger, holder: Holder) -> None:
        """Refuse a command that the driver would ignore: it knows only the cells that its own run started with."""
        entry, run_start = ledger.entries().get(cell), float(ledger.facts().get("began", 0))
        if entry is None or entry.updated < run_start:
            raise StateError(
                f"The driver {holder.owner} does not run cell {cell}, which is {_state(self._planned(cell))}"
            )
        if entry.state == CellState.DONE:
            raise StateError(f"Cell {cell} is done, so there is nothing to {verb}")
        if verb == "retry" and entry.state in (CellState.PENDING, CellState.RUNNING):
            raise StateError(f"Cell {cell} is {entry.state}", cure="Only failed or stopped cells can be retried.")

    def _without_driver(self, verb: str, cell: str | None) -> str:
        if verb == "cancel":
            return self._stop_orphans(cell)
        if verb == "retry" and cell is not None:
            return self._retry_later(cell)
        return f"No driver is running, so there is nothing to {verb}. Start one with `uniferum grid run FILE`."

    def _retry_later(self, cell: str) -> str:
        planned = self._planned(cell)
        if planned.state in (PlanState.DONE, PlanState.NO_DATA):
            raise StateError(f"Cell {cell} cannot be retried, it is {_state(planned)}")
        planned.record.clear_failure()
        return f"No driver is running; the next `uniferum grid run` runs {cell} again ({_state(planned)})."

    def _stop_orphans(self, cell: str | None) -> str:
        names = [cell] if cell else self.names
        records = [
            CellFolder(folders[-1]) for name in names if (folders := named_folders(self.grid.cells_folder, name))
        ]
        records = [record for record in records if not record.done and record.progress() is not None]
        for record in records:
            record.request_stop("cancelled by hand")
        return f"No driver is running; {len(records)} cells are asked to stop, in case a worker is still alive."

    def _planned(self, name: str) -> PlannedCell:
        (planned,) = make_plan(self.grid, [cell for cell in self.cells if cell.name == name])
        return planned


def _iso(at: float) -> str:
    """Local time with its offset from UTC."""
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")


def _state(planned: PlannedCell) -> str:
    return f"{planned.state}: {planned.why}"


def last_lines(path: Path, lines: int) -> tuple[str, int]:
    """Read the last lines of a log, or all of it if ``lines`` is 0.

    Returns:
        The text, and the byte offset of its end.
    """
    data = path.read_bytes()
    end = b"".join(data.splitlines(keepends=True)[-lines:]) if lines else data
    return end.decode("utf-8", "replace"), len(data)


def follow_log(path: Path, start: int, *, every_s: float = 0.5) -> Iterator[str]:
    """Yield what is appended to a log after byte ``start``, without end.

    A new attempt may replace or truncate the file; reading then continues from the start of the new file.
    """
    while True:
        with path.open("rb") as log:
            log.seek(start)
            yield from _read_appended(log, path, every_s)
        start = 0


def _read_appended(log: BinaryIO, path: Path, every_s: float) -> Iterator[str]:
    """Yield appended text until the path is another file."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while True:
        data = log.read()
        if data:
            yield decoder.decode(data)
        elif _replaced(log, path):
            return
        else:
            time.sleep(every_s)


def _replaced(log: BinaryIO, path: Path) -> bool:
    try:
        now = path.stat()
    except FileNotFoundError:  # between two attempts: the next one creates it
        return False
    return not os.path.samestat(now, os.fstat(log.fileno())) or now.st_size < log.tell()
