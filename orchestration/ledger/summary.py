"""How a grid ended: its exit code, and what a person is told of its cells."""

from dataclasses import dataclass, field

from orchestration.grid.planned import PlannedCell
from orchestration.grid.states import TO_TRAIN, CellState, PlanState
from uniferum.evaluation.mask_words import mask_note


@dataclass
class GridSummary:
    """How a grid ended."""

    states: dict[str, str] = field(default_factory=dict)
    planned: list[PlannedCell] = field(default_factory=list)
    interrupted: bool = False
    paused: str | None = None
    seconds: float = 0.0

    @property
    def failed(self) -> list[PlannedCell]:
        """Cells without a result that are not merely left for later."""
        without = (CellState.FAILED, PlanState.NO_DATA)
        return [p for p in self.planned if self.states.get(p.cell.name, CellState.PENDING) in without]

    @property
    def exit_code(self) -> int:
        """0 all done (of `grid evaluate`: all that could be scored were), 1 some not, 130 interrupted."""
        if self.interrupted:
            return 130
        return 0 if all(state in (CellState.DONE, CellState.UNTRAINED) for state in self.states.values()) else 1


def untrained(summary: GridSummary) -> list[str]:
    """Cells that have no result to be scored again."""
    return [p.cell.name for p in summary.planned if p.state in TO_TRAIN]


def mask_notes(summary: GridSummary) -> list[str]:
    """A line a cell that is done and whose masks stay empty, of any structure."""
    results = ((p.cell.name, p.record.result()) for p in summary.planned if p.folder is not None)
    notes = ((name, mask_note((result or {}).get("masks"))) for name, result in results)
    return [f"{name}: {note}" for name, note in notes if note]


def failures(summary: GridSummary) -> list[tuple[str, str, str]]:
    """Which cells failed, why, and where the log is."""
    found = []
    for p in summary.failed:
        failure = p.record.failure() if p.folder else None
        why = f"{failure.kind}: {failure.reason}" if failure else p.why
        found.append((p.cell.name, why, str(p.record.log) if p.folder else ""))
    return found
