"""Format a plan as a table: one row per cell, and the totals in one line."""

from collections.abc import Sequence

from orchestration.grid.config import GridConfig
from orchestration.grid.planned import PlannedCell
from orchestration.grid.states import PlanState
from orchestration.grid.stores import absent_stores


def plan_columns(grid: GridConfig) -> tuple[str, ...]:
    """Headings of :func:`plan_rows`."""
    return "cell", "state", "steps", _unit(grid), "why"


def plan_rows(grid: GridConfig, planned: Sequence[PlannedCell]) -> list[tuple[str, ...]]:
    """One row per cell: name, state, steps, hours of all its GPUs, reason."""
    return [
        (
            p.cell.name,
            p.state,
            f"{p.cell.config.training.steps:,}",
            "" if p.hours is None else f"{p.hours * _gpus(grid):.2f}" + ("" if p.measured else " (declared)"),
            p.why,
        )
        for p in planned
    ]


def plan_totals(grid: GridConfig, planned: Sequence[PlannedCell]) -> str:
    """Totals of a grid in one line: cells by state, and the hours that are left."""
    states: dict[str, int] = {}
    for p in planned:
        states[p.state] = states.get(p.state, 0) + 1
    hours_left = [p.hours for p in planned if p.state != PlanState.DONE]
    total = sum(hours for hours in hours_left if hours is not None) * _gpus(grid)
    declared = sum(p.hours for p in planned if p.hours is not None and not p.measured) * _gpus(grid)
    assumed = f" ({declared:.1f} of them as declared, not measured)" if declared else ""
    unknown = "; the speed of some cells is not known yet" if any(hours is None for hours in hours_left) else ""
    counts = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    absent = absent_stores(grid)
    data = f"; missing stores: {', '.join(absent)} (make them with uniferum data prepare)" if absent else ""
    return f"{counts}; {total:.1f} {_unit(grid)} left{assumed}{unknown}{data}"


def score_totals(grid: GridConfig, planned: Sequence[PlannedCell]) -> str:
    """Totals of `grid evaluate` in one line; hours count only scoring that was measured before."""
    due = [p for p in planned if p.state == PlanState.RESCORE]
    total = sum(p.hours or 0.0 for p in due) * _gpus(grid)
    return f"{len(due)} of {len(planned)} cells would be scored again; {total:.1f} {_unit(grid)}"


def _gpus(grid: GridConfig) -> float:
    """Number of GPUs of a cell, all its workers together; 1 for cells without a GPU."""
    return grid.resources.gpus or 1


def _unit(grid: GridConfig) -> str:
    return "GPU-hours" if grid.resources.gpus else "hours"


def plan_objects(grid: GridConfig, planned: Sequence[PlannedCell]) -> list[dict[str, object]]:
    """The plan for scripts: one dictionary per cell; unknown numbers are None. A cell with axes has its labels, too."""
    return [
        {
            "cell": p.cell.name,
            "state": str(p.state),
            "steps": p.cell.config.training.steps,
            "hours": None if p.hours is None else p.hours * _gpus(grid),
            "measured": None if p.hours is None else p.measured,
            "why": p.why,
            **({"axes": dict(p.cell.axes)} if p.cell.axes else {}),
        }
        for p in planned
    ]
