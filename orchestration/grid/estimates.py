"""How long the cells of a plan take: as finished cells like them did, else as the grid file declares."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from statistics import median
from typing import Any

from orchestration.grid.cells import Cell
from orchestration.grid.config import GridConfig
from orchestration.grid.planned import PlannedCell
from orchestration.grid.records import CellFolder
from orchestration.grid.states import PlanState


def with_hours(grid: GridConfig, planned: list[PlannedCell]) -> list[PlannedCell]:
    """What each finished cell took, and what is left of each other: as finished cells like it, else as declared."""
    results = {p.cell.name: p.record.result() or {} for p in planned if p.state in (PlanState.DONE, PlanState.RESCORE)}
    finished = [p for p in planned if p.cell.name in results]
    steps = SimilarCells((p.cell, _seconds_a_step(results[p.cell.name])) for p in finished)
    scored = ((p.cell, _scoring_seconds(p.record, results[p.cell.name])) for p in finished)
    scores = SimilarCells((cell, seconds) for cell, seconds in scored if seconds is not None)
    declared = 3600 / grid.resources.steps_per_hour if grid.resources.steps_per_hour else None
    return [_estimated(p, results.get(p.cell.name, {}), steps, scores, declared) for p in planned]


class SimilarCells:
    """Numbers measured on cells; a cell is expected to have the median of those most like it."""

    def __init__(self, measured: Iterable[tuple[Cell, float]]) -> None:
        found: dict[tuple[str | None, ...], list[float]] = {}
        for cell, number in measured:
            for group in self._groups(cell):
                found.setdefault(group, []).append(number)
        self.medians = {group: median(numbers) for group, numbers in found.items()}

    def of(self, cell: Cell) -> float | None:
        """The same model, text encoder and training mix, else the same model and text encoder, else all."""
        return next((self.medians[group] for group in self._groups(cell) if group in self.medians), None)

    @staticmethod
    def _groups(cell: Cell) -> tuple[tuple[str | None, ...], ...]:
        return (cell.model, cell.text_encoder, cell.mix), (cell.model, cell.text_encoder), ()


def _seconds_a_step(result: Mapping[str, Any]) -> float:
    return float(result.get("seconds", 0.0)) / max(1, int(result.get("steps", 1)))


def _scoring_seconds(record: CellFolder, result: Mapping[str, Any]) -> float | None:
    """How long scoring alone took, where that was the cell's last attempt and it led to the result."""
    progress = record.progress()
    if progress is None or progress.phase != "scoring" or progress.step or result.get("finished", 0) < progress.started:
        return None
    return progress.updated - progress.started


def _estimated(
    planned: PlannedCell, result: Mapping[str, Any], steps: SimilarCells, scores: SimilarCells, declared: float | None
) -> PlannedCell:
    if planned.state == PlanState.DONE:
        return replace(planned, hours=float(result.get("seconds", 0.0)) / 3600, measured=True)
    if planned.state == PlanState.RESCORE:
        return replace(planned, hours=(scores.of(planned.cell) or 0.0) / 3600, measured=True)
    measured = steps.of(planned.cell)
    a_step = measured or declared
    if a_step is None:
        return planned
    reached = (planned.record.resumable_step() or 0) if planned.folder else 0
    left = max(0, planned.cell.config.training.steps - reached)
    return replace(planned, hours=left * a_step / 3600, measured=bool(measured))
