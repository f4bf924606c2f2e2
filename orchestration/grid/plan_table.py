"""A plan for people: one row a cell, and the whole in one line."""

from collections.abc import Sequence

from orchestration.grid.config import GridConfig
from orchestration.grid.plan import absent_stores
from orchestration.grid.planned import PlannedCell
from orchestration.grid.states import PlanState


def plan_columns(grid: GridConfig) -> tuple[str, ...]:
    """The headings of :func:`plan_rows`."""
    return "cell", "state", "steps", _unit(grid), "why"


def plan_rows(grid: GridConfig, planned: Sequence[PlannedCell]) -> list[tuple[str, ...]]:
    """One row a cell: name, state, steps, hours of all its GPUs, why."""
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
    """The whole grid in one line: cells by state, and hours of what is left."""
    states: dict[str, int] = {}
    for p in planned:
        states[p.state] = states.get(p.state, 0) + 1
    left = [p.hours for p in planned if p.state != PlanState.DONE]
    known = sum(hours for hours in left if hours is not None) * _gpus(grid)
    declared = sum(p.hours for p in planned if p.hours is not None and not p.measured) * _gpus(grid)
    guessed = f" ({declared:.1f} of them as declared, not measured)" if declared else ""
    unknown = "; no speed is known yet for some cells" if any(hours is None for hours in left) else ""
    counted = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    absent = absent_stores(grid)
    data = f"; no store at {', '.join(absent)}: uniferum data prepare makes them" if absent else ""
    return f"{counted}; {known:.1f} {_unit(grid)} left{guessed}{unknown}{data}"


def score_totals(grid: GridConfig, planned: Sequence[PlannedCell]) -> str:
    """What `grid evaluate` would do, in one line; the hours are those of scoring, where it was measured."""
    due = [p for p in planned if p.state == PlanState.RESCORE]
    known = sum(p.hours or 0.0 for p in due) * _gpus(grid)
    return f"{len(due)} of {len(planned)} cells would be scored again; {known:.1f} {_unit(grid)}"


def _gpus(grid: GridConfig) -> float:
    """What a cell's hours are multiplied by; ``resources.gpus`` are those of all its workers together."""
    return grid.resources.gpus or 1


def _unit(grid: GridConfig) -> str:
    return "GPU-hours" if grid.resources.gpus else "hours"


def plan_objects(grid: GridConfig, planned: Sequence[PlannedCell]) -> list[dict[str, object]]:
    """The plan for scripts: one dictionary a cell, in which a number that is not known is None."""
    return [
        {
            "cell": p.cell.name,
            "state": str(p.state),
            "steps": p.cell.config.training.steps,
            "hours": None if p.hours is None else p.hours * _gpus(grid),
            "measured": None if p.hours is None else p.measured,
            "why": p.why,
        }
        for p in planned
    ]
