"""Summary of a grid run: exit code, and notes on its cells."""

from dataclasses import dataclass, field

from orchestration.grid.planned import PlannedCell
from orchestration.grid.states import TO_TRAIN, CellState, PlanState
from uniferum.evaluation.mask_words import mask_note


@dataclass
class GridSummary:
    """How a grid run ended: the state of each cell, and why it stopped."""

    states: dict[str, CellState | PlanState] = field(default_factory=dict)
    planned: list[PlannedCell] = field(default_factory=list)
    interrupted: bool = False
    paused: str | None = None
    seconds: float = 0.0
    not_in_mlflow: str | None = None
    """What is not in MLflow, and what sends it. The cells' folders have it, so the exit code does not tell it."""

    @property
    def failed(self) -> list[PlannedCell]:
        """Cells without a result because they failed or have no data; cells that can still run are not among them."""
        without = (CellState.FAILED, PlanState.NO_DATA)
        return [p for p in self.planned if self.states.get(p.cell.name, CellState.PENDING) in without]

    @property
    def exit_code(self) -> int:
        """0: all cells are done (`grid evaluate`: all with a result were scored); 1: some are not; 130: interrupted."""
        if self.interrupted:
            return 130
        return 0 if all(state in (CellState.DONE, CellState.UNTRAINED) for state in self.states.values()) else 1


def untrained(summary: GridSummary) -> list[str]:
    """Names of the cells that have no result to score again."""
    return [p.cell.name for p in summary.planned if p.state in TO_TRAIN]


def mask_notes(summary: GridSummary) -> list[str]:
    """One line per finished cell that predicts an empty mask for some structure."""
    results = ((p.cell.name, p.record.result()) for p in summary.planned if p.folder is not None)
    notes = ((name, mask_note((result or {}).get("masks"))) for name, result in results)
    return [f"{name}: {note}" for name, note in notes if note]


def failures(summary: GridSummary) -> list[tuple[str, str, str]]:
    """Failed cells: name, reason, path of the log."""
    rows = []
    for p in summary.failed:
        failure = p.record.failure() if p.folder else None
        why = f"{failure.kind}: {failure.reason}" if failure else p.why
        rows.append((p.cell.name, why, str(p.record.log) if p.folder else ""))
    return rows
