"""Steering a grid from another shell: wishes in its ledger, stop files in its cells, logs from their folders.

All of it works on files. Where a driver lives it takes the wish within a second or two; where none does, a cancellation
still reaches a worker that outlived its driver, and the rest waits for the next ``grid run``.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestration.grid import GridConfig, expand, load_grid
from orchestration.ledger import Ledger
from orchestration.records import CellRecord, named_folders
from uniferum.errors import UniferumError, near_miss


@dataclass(frozen=True)
class Desk:
    """A grid, seen from another shell."""

    grid: GridConfig
    names: tuple[str, ...]

    @classmethod
    def open(cls, file: Path) -> "Desk":
        """From the grid's file.

        Raises:
            UniferumError: the file is wrong.
        """
        grid = load_grid(file)
        return cls(grid, tuple(cell.name for cell in expand(grid, source=str(file))))

    def record(self, cell: str) -> CellRecord:
        """The newest record of a cell.

        Raises:
            UniferumError: the grid has no such cell, or it never started.
        """
        self.check(cell)
        folders = named_folders(self.grid.cells_folder, cell)
        if not folders:
            raise UniferumError("cell", cell, must="have started", cure="see uniferum grid status")
        return CellRecord(folders[-1])

    def log(self, cell: str) -> Path:
        """Where the cell's log is."""
        return self.record(cell).log

    def check(self, cell: str) -> None:
        """Raise when the grid has no such cell."""
        if cell not in self.names:
            raise UniferumError("cell", cell, must="be one of the grid's", cure=near_miss(cell, self.names))

    def wish(self, verb: str, cell: str | None = None, value: str | None = None) -> str:
        """Ask the driver for something; returns a line that says what will happen."""
        if cell is not None:
            self.check(cell)
        ledger = Ledger.of(self.grid)
        try:
            holder = ledger.holder()
            if holder is None:
                return self._without_driver(verb, cell)
            ledger.wish(verb, cell, value)
            return f"{verb}{f' {cell}' if cell else ''}: asked of {holder.owner}"
        finally:
            ledger.close()

    def history(self, cell: str | None) -> list[str]:
        """One line an event."""
        ledger = Ledger.of(self.grid)
        try:
            found = ledger.events(cell)
        finally:
            ledger.close()
        return [
            f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(at))}  {name}  {state}"
            + "".join(
                f"  {key}={value}" for key, value in detail.items() if key in ("attempt", "fault", "reason", "node")
            )
            for at, name, state, detail in found
        ]

    def _without_driver(self, verb: str, cell: str | None) -> str:
        if verb == "cancel":
            return self._stop_orphans(cell)
        if verb == "retry" and cell is not None:
            if named_folders(self.grid.cells_folder, cell):
                self.record(cell).clear_failure()
            return f"no driver runs; the next uniferum grid run tries {cell} again"
        return f"no driver runs, so there is nothing to {verb}"

    def _stop_orphans(self, cell: str | None) -> str:
        names = [cell] if cell else list(self.names)
        running = [
            CellRecord(folders[-1]) for name in names if (folders := named_folders(self.grid.cells_folder, name))
        ]
        running = [record for record in running if not record.done and record.progress() is not None]
        for record in running:
            record.request_stop("cancelled by hand")
        return f"no driver runs; {len(running)} cells are told to stop, should a worker of them still live"


def last_lines(path: Path, lines: int) -> str:
    """The end of a log; 0: all of it."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return text if lines == 0 else "\n".join(text.splitlines()[-lines:])


def follow_log(path: Path, *, every_s: float = 0.5) -> Iterator[str]:
    """What is appended from now on, for ever."""
    with path.open(encoding="utf-8", errors="replace") as log:
        log.seek(0, 2)
        while True:
            text = log.read()
            if text:
                yield text
            else:
                time.sleep(every_s)
