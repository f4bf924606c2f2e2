"""Decide what a run of a grid schedules: the cells that are due first, then those that waited for one of them.

A cell that starts from another cell's checkpoint is planned when that cell is done, because its fingerprint contains
the checkpoint. These decisions need neither Ray nor a cluster.
"""

from collections.abc import Sequence
from dataclasses import replace

from orchestration.grid import plan
from orchestration.grid.config import GridConfig
from orchestration.grid.plan import Identify
from orchestration.grid.planned import PlannedCell
from orchestration.grid.starts import WAITS, starts_from
from orchestration.grid.states import CellState, PlanState
from orchestration.ledger.summary import GridSummary


def first_state(planned: PlannedCell, *, only_scores: bool) -> CellState | PlanState:
    """The state of a cell before it is scheduled; pending if it is to be run."""
    if planned.state in (PlanState.DONE, PlanState.NO_DATA):
        return planned.state
    return CellState.PENDING if planned.state == PlanState.RESCORE or not only_scores else CellState.UNTRAINED


def second_round(
    grid: GridConfig, summary: GridSummary, *, only_scores: bool, identity: Identify | None = None
) -> list[PlannedCell]:
    """Plan the cells that waited for a cell which is done now, and enter them into the summary.

    Args:
        grid: the grid file.
        summary: the run so far; the plan and the state of cells that wait no more are replaced.
        only_scores: score again, and train nothing.
        identity: computes fingerprints; None: from the stores.

    Returns:
        The cells among them that are to be run.
    """
    ready = {p.cell.name: p for p in plan.startable(grid, summary.planned, identity)}
    summary.planned = [ready.get(p.cell.name, p) for p in summary.planned]
    summary.states |= {name: first_state(p, only_scores=only_scores) for name, p in ready.items()}
    return [p for name, p in ready.items() if summary.states[name] == CellState.PENDING]


def waiting_for(due: Sequence[PlannedCell], planned: Sequence[PlannedCell]) -> list[PlannedCell]:
    """The cells that start when cells which are due are done: what they need is looked for before Ray starts, too."""
    names, started = {p.cell.name for p in planned}, {p.cell.name for p in due}
    waiting = [p for p in planned if p.state == PlanState.NO_DATA and p.why.startswith(WAITS)]
    ready = [p for p in waiting if starts_from(p.cell.config, names) in started]
    return [replace(p, state=PlanState.DUE) for p in ready]


def still_waiting(planned: Sequence[PlannedCell]) -> list[str]:
    """One line for each cell that waits for another, as that cell failed, was stopped or is not in this run."""
    waiting = [p for p in planned if p.state == PlanState.NO_DATA and p.why.startswith(WAITS)]
    return [f"{p.cell.name} was not started: it {p.why}" for p in waiting]
