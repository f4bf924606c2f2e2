"""Estimate the hours of planned cells from finished cells similar to them, else from the declared speed."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from statistics import median
from typing import Any

from orchestration.grid.cells import Cell
from orchestration.grid.config import GridConfig
from orchestration.grid.planned import PlannedCell
from orchestration.grid.records import CellFolder
from orchestration.grid.states import Phase, PlanState


def with_hours(grid: GridConfig, planned: list[PlannedCell]) -> list[PlannedCell]:
    """Add hours to a plan: measured for finished cells, estimated for the others."""
    results = {p.cell.name: p.record.result() or {} for p in planned if p.state in (PlanState.DONE, PlanState.RESCORE)}
    finished = [p for p in planned if p.cell.name in results]
    step_seconds = SimilarCells((p.cell, _seconds_per_step(results[p.cell.name])) for p in finished)
    scorings = ((p.cell, _scoring_seconds(p.record, results[p.cell.name])) for p in finished)
    scoring_seconds = SimilarCells((cell, seconds) for cell, seconds in scorings if seconds is not None)
    declared = 3600 / grid.resources.steps_per_hour if grid.resources.steps_per_hour else None
    return [_estimate(p, results.get(p.cell.name, {}), step_seconds, scoring_seconds, declared) for p in planned]


class SimilarCells:
    """Medians of a measurement over groups of cells; the estimate for a cell is that of its most similar group."""

    def __init__(self, measured: Iterable[tuple[Cell, float]]) -> None:
        numbers: dict[tuple[str | None, ...], list[float]] = {}
        for cell, number in measured:
            for group in self._groups(cell):
                numbers.setdefault(group, []).append(number)
        self.medians = {group: median(values) for group, values in numbers.items()}

    def of(self, cell: Cell) -> float | None:
        """Median of the cells with the same model, text encoder and mix, else without the mix, else of all cells."""
        return next((self.medians[group] for group in self._groups(cell) if group in self.medians), None)

    @staticmethod
    def _groups(cell: Cell) -> tuple[tuple[str | None, ...], ...]:
        return (cell.model, cell.text_encoder, cell.mix), (cell.model, cell.text_encoder), ()


def _seconds_per_step(result: Mapping[str, Any]) -> float:
    return float(result.get("seconds", 0.0)) / max(1, int(result.get("steps", 1)))


def _scoring_seconds(record: CellFolder, result: Mapping[str, Any]) -> float | None:
    """Seconds that scoring took, if the cell's last attempt only scored it and gave the result."""
    progress = record.progress()
    if (
        progress is None
        or progress.phase != Phase.SCORING
        or progress.step
        or result.get("finished", 0) < progress.started
    ):
        return None
    return progress.updated - progress.started


def _estimate(
    planned: PlannedCell,
    result: Mapping[str, Any],
    step_seconds: SimilarCells,
    scoring_seconds: SimilarCells,
    declared: float | None,
) -> PlannedCell:
    if planned.state == PlanState.DONE:
        return replace(planned, hours=float(result.get("seconds", 0.0)) / 3600, measured=True)
    if planned.state == PlanState.RESCORE:
        return replace(planned, hours=(scoring_seconds.of(planned.cell) or 0.0) / 3600, measured=True)
    measured = step_seconds.of(planned.cell)
    seconds_per_step = measured or declared
    if seconds_per_step is None:
        return planned
    reached = (planned.record.resumable_step() or 0) if planned.folder else 0
    steps_left = max(0, planned.cell.config.training.steps - reached)
    return replace(planned, hours=steps_left * seconds_per_step / 3600, measured=bool(measured))
