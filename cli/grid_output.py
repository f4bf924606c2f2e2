"""What the commands of `uniferum grid` print: the plan, the status and the end of a run."""

import time
from typing import TYPE_CHECKING

from cli import output

if TYPE_CHECKING:
    from pathlib import Path

    from orchestration.grid.cells import Cell
    from orchestration.grid.config import GridConfig
    from orchestration.grid.planned import PlannedCell
    from orchestration.ledger.status import StatusRow
    from orchestration.ledger.summary import GridSummary

LOOK_S, REPEAT_S = 1.0, 60.0
"""Seconds between two readings of a grid, and between two tables in which only steps and times differ."""


def show_plan(
    grid: "GridConfig",
    cells: "list[Cell]",
    wanted: str | None = None,
    *,
    only_scores: bool = False,
    is_result: bool = True,
) -> "list[PlannedCell]":
    """Print the plan of a grid: a row a cell, then the totals and the data that the cells train on.

    Args:
        grid: the grid.
        cells: those that are planned.
        wanted: table, tsv or json; see :func:`cli.output.listing`.
        only_scores: nothing is trained.
        is_result: the plan goes to standard output; else to standard error, for the person who is asked to run it.

    Returns:
        The plan.

    Raises:
        UniferumError: a store does not fit, or masks are missing.
    """
    from orchestration.grid.plan import make_plan
    from orchestration.grid.plan_table import plan_columns, plan_objects, plan_rows, score_totals

    planned = make_plan(grid, cells)
    title, columns, rows = f"{grid.name}: {len(planned)} cells", plan_columns(grid), plan_rows(grid, planned)
    if is_result:
        output.listing(title, columns, rows, wanted, objects=plan_objects(grid, planned), numbers=("steps", columns[3]))
    else:
        output.table(title, columns, rows)
    if only_scores:
        output.say(score_totals(grid, planned))
    else:
        _show_data(grid, cells, planned)
    return planned


def _show_data(grid: "GridConfig", cells: "list[Cell]", planned: "list[PlannedCell]") -> None:
    from orchestration.grid import weights_plan
    from orchestration.grid.cells import expand
    from orchestration.grid.data_plan import COLUMNS, DataPlan
    from orchestration.grid.ensembles import ensemble_lines
    from orchestration.grid.margins_plan import margin_lines
    from orchestration.grid.plan_table import plan_totals
    from orchestration.grid.recipe import recipe_lines

    data = DataPlan(grid, planned)
    counted = data.cohort_rows()
    output.say_all(data.left_out())
    output.say_all(data.organ_lines(counted))
    output.say(plan_totals(grid, planned))
    output.say_all(recipe_lines(grid, cells))
    output.say_all(ensemble_lines(grid, expand(grid), planned) if grid.ensembles else ())
    if counted:
        output.table("training rows", COLUMNS, [one.texts for one in counted])
    output.say_all(data.lines(counted))
    output.say_all(weights_plan.lines(planned))
    output.say_all(margin_lines(grid))
    data.refuse(counted)


def show_sources(file: "Path", wanted: str | None = None) -> None:
    """Print the values of a grid file and of its base with the comments beside them.

    Raises:
        UniferumError: a file is missing or is no YAML.
    """
    from orchestration.grid.sources import COLUMNS, sourced_values

    rows = [value.texts for value in sourced_values(file)]
    output.listing(f"{file}: values and their sources", COLUMNS, rows, wanted)


def show_status(grid: "GridConfig", cells: "list[Cell]", wanted: str | None = None) -> None:
    """Print the state of each cell."""
    from orchestration.ledger.status import status_of

    _show_rows(grid, *status_of(grid, cells), wanted)


def watch(grid: "GridConfig", cells: "list[Cell]") -> None:
    """Show the state of each cell in a live table, until Ctrl-C."""
    from cli.live import GridView
    from orchestration.ledger.status import status_of

    with GridView(grid.name, output.results) as shown:
        while True:
            shown.show(*status_of(grid, cells))
            time.sleep(LOOK_S)


def print_changes(grid: "GridConfig", cells: "list[Cell]", wanted: str | None = None) -> None:
    """Print the status when a cell changes its state, and every minute, until no driver runs."""
    from orchestration.ledger.status import ended, status_of

    shown, printed_at, over = None, 0.0, False
    while not over:
        over = ended(grid)  # before the rows, so that the last table is how the grid ended
        rows, headline = status_of(grid, cells)
        states = headline, [(row.cell, row.state) for row in rows]
        if states != shown or time.monotonic() - printed_at > REPEAT_S:
            shown, printed_at = states, time.monotonic()
            _show_rows(grid, rows, headline, wanted)
        if not over:
            time.sleep(LOOK_S)


def _show_rows(grid: "GridConfig", rows: "list[StatusRow]", headline: str, wanted: str | None) -> None:
    from cli.live import COLOURS
    from orchestration.ledger.status import COLUMNS, NUMBERS

    output.listing(
        f"{grid.name}: {headline}",
        COLUMNS,
        [row.texts for row in rows],
        wanted,
        objects=[row.to_dict() for row in rows],
        numbers=NUMBERS,
        styles=[COLOURS.get(row.state) for row in rows],
    )


def show_end(grid: "GridConfig", summary: "GridSummary", *, only_scores: bool) -> None:
    """Print how a run of the grid ended: cells done, why it paused, and the cells that failed with their logs."""
    from orchestration.grid.states import CellState
    from orchestration.ledger.status import span
    from orchestration.ledger.summary import failures, mask_notes

    done = sum(state == CellState.DONE for state in summary.states.values())
    output.result(
        f"{grid.name}: {done} of {len(summary.states)} cells done in {span(summary.seconds)}; records: {grid.root}"
    )
    if summary.paused:
        output.result(f"paused: {summary.paused}")
    output.say_all(mask_notes(summary))
    if summary.failed:
        output.Summary().table("failed cells", ("cell", "why", "log"), failures(summary))
    if only_scores:
        _show_untrained(summary)
    if summary.not_in_mlflow:
        output.say(f"warning: {summary.not_in_mlflow}")


def _show_untrained(summary: "GridSummary") -> None:
    from orchestration.ledger.summary import untrained

    names = untrained(summary)
    if names:
        output.say(f"not trained, so not scored: {', '.join(names)} (uniferum grid run trains them)")
