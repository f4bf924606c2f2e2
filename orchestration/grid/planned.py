"""One cell of a plan."""

from dataclasses import dataclass
from pathlib import Path

from orchestration.grid.cells import Cell
from orchestration.grid.records import CellFolder
from orchestration.grid.states import PlanState


@dataclass(frozen=True)
class PlannedCell:
    """A cell with its state, the reason, its folder and its estimated hours; ``measured`` if from finished cells.

    ``cell.config.evaluate_on`` names only test cohorts that have a store; ``untested`` names the others.
    """

    cell: Cell
    state: PlanState
    why: str
    folder: Path | None
    training_fingerprint: str | None
    evaluation_fingerprint: str | None
    hours: float | None
    measured: bool = False
    untested: tuple[str, ...] = ()

    @property
    def record(self) -> CellFolder:
        """The cell's folder; only for a cell whose stores exist."""
        assert self.folder is not None, f"{self.cell.name} has no data, so no fingerprint and no folder"
        return CellFolder(self.folder)
