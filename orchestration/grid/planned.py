"""One line of a plan: a cell, its state, and why."""

from dataclasses import dataclass
from pathlib import Path

from orchestration.grid.cells import Cell
from orchestration.grid.records import CellFolder


@dataclass(frozen=True)
class PlannedCell:
    """One cell, what is to be done with it, and why."""

    cell: Cell
    state: str
    why: str
    folder: Path | None
    training_fingerprint: str | None
    evaluation_fingerprint: str | None
    hours: float | None
    measured: bool = False

    @property
    def record(self) -> CellFolder:
        """The cell's record; only for a cell whose data is there."""
        assert self.folder is not None, f"{self.cell.name} has no data, so no identity and no folder"
        return CellFolder(self.folder)
