"""Commands of `uniferum grid`: plan, run, evaluate, and look at a grid."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output, steer, weights
from cli.steer import Settings

if TYPE_CHECKING:
    from orchestration.driver.run import Options
    from orchestration.grid.cells import Cell
    from orchestration.grid.config import GridConfig
    from orchestration.grid.planned import PlannedCell
    from orchestration.ledger.status import StatusRow
    from orchestration.ledger.summary import GridSummary

app = typer.Typer(no_args_is_help=True)
steer.register(app)

File = Annotated[Path, typer.Argument(help="The grid file, e.g. configs/demo_grid.yaml.")]
Address = Annotated[str | None, typer.Option(help="A running Ray: auto, or HOST:PORT. Default: start one here.")]
Parallel = Annotated[int | None, typer.Option(min=1, help="Cells at once; default: what fits.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Only = Annotated[list[str] | None, typer.Option(help="Only this cell; may be given again.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan, do nothing.")]
Notify = Annotated[str | None, typer.Option(help="URL that is told when the grid ends or a cell fails.")]

LOOK_S, REPEAT_S = 1.0, 60.0
"""Seconds between two looks at a grid, and between two tables in which only steps and times differ."""


@app.command()
def run(
    file: File,
    settings: Settings = None,
    address: Address = None,
    parallel: Parallel = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    only: Only = None,
    wait: Annotated[bool, typer.Option(help="Wait while another driver has the grid, then go on.")] = True,
    mlflow: Annotated[bool, typer.Option(help="Record in MLflow as well as in the cells' folders.")] = True,
    notify: Notify = None,
    weights_dir: weights.WeightsDir = None,
) -> None:
    """Run every cell that is not done. Exit code: 0 all done, 1 some failed, 2 bad input, 130 interrupted."""
    from orchestration.driver.run import Options

    weights.use(weights_dir)
    settings = [*(settings or []), *([] if mlflow else ["tracking.enabled=false"])]
    grid, cells = _open(file, settings, only)
    planned = _show_plan(grid, cells) if dry_run or not yes else ()
    if not dry_run and (yes or _agreed()):
        _run(grid, cells, Options(address, parallel, wait, notify=notify, shown_plan=planned))


@app.command()
def evaluate(
    file: File,
    settings: Settings = None,
    address: Address = None,
    parallel: Parallel = None,
    dry_run: DryRun = False,
    only: Only = None,
    notify: Notify = None,
) -> None:
    """Score again the cells whose test set changed; nothing is trained. Exit code 0: all that could be scored were."""
    from orchestration.driver.run import Options

    grid, cells = _open(file, settings, only)
    if dry_run:
        _show_plan(grid, cells, only_scores=True)
    else:
        _run(grid, cells, Options(address, parallel, only_scores=True, notify=notify))


@app.command(epilog="Example: uniferum grid plan configs/paper_grid.yaml")
def plan(file: File, settings: Settings = None) -> None:
    """What is done, resumable, due, failed, changed or to be scored again, why, and how many hours it takes."""
    _show_plan(*_open(file, settings))


@app.command()
def status(
    file: File,
    settings: Settings = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Look on until Ctrl-C; without a terminal, to the grid's end.")
    ] = False,
) -> None:
    """Every cell's state, step, metric and time left, from files alone: the driver may be elsewhere, or dead."""
    grid, cells = _open(file, settings)
    if not watch:
        _show_status(grid, *_status(grid, cells))
    elif output.people.is_terminal:
        _watch(grid, cells)
    else:
        _print_changes(grid, cells)


def _open(file: Path, settings: list[str] | None, only: list[str] | None = None) -> "tuple[GridConfig, list[Cell]]":
    from orchestration.grid.cells import expand, select
    from orchestration.grid.config import load_grid

    grid = load_grid(file, settings or [])
    return grid, select(expand(grid, source=str(file)), only or [])


def _run(grid: "GridConfig", cells: "list[Cell]", options: "Options") -> None:
    from cli.live import GridView
    from orchestration.driver.run import run_grid

    with GridView(grid.name) as shown:
        summary = run_grid(grid, cells, shown, options)
    _show_end(grid, summary)
    if options.only_scores:
        _show_untrained(summary)
    raise typer.Exit(summary.exit_code)


def _agreed() -> bool:
    import sys

    if not sys.stdin.isatty():
        return True
    return typer.confirm("Run these?", default=True, err=True)


def _show_plan(grid: "GridConfig", cells: "list[Cell]", *, only_scores: bool = False) -> "list[PlannedCell]":
    from orchestration.grid.data_plan import COLUMNS, DataPlan
    from orchestration.grid.plan import make_plan
    from orchestration.grid.plan_table import plan_columns, plan_rows, plan_totals, score_totals
    from orchestration.grid.recipe import recipe_lines

    planned = make_plan(grid, cells)
    output.table(f"{grid.name}: {len(planned)} cells", plan_columns(grid), plan_rows(grid, planned))
    if only_scores:
        output.say(score_totals(grid, planned))
        return planned
    data = DataPlan(grid, planned)
    counted = data.cohort_rows()
    for line in (*data.left_out(), *data.organ_lines(counted), plan_totals(grid, planned), *recipe_lines(grid, cells)):
        output.say(line)
    if counted:
        output.table("training rows", COLUMNS, [one.texts for one in counted])
    for line in data.lines(counted):
        output.say(line)
    data.refuse(counted)
    return planned


def _status(grid: "GridConfig", cells: "list[Cell]") -> "tuple[list[StatusRow], str]":
    from orchestration.ledger.status import status_of

    return status_of(grid, cells)


def _watch(grid: "GridConfig", cells: "list[Cell]") -> None:
    from cli.live import GridView

    with GridView(grid.name) as shown:
        while True:
            shown.show(*_status(grid, cells))
            time.sleep(LOOK_S)


def _print_changes(grid: "GridConfig", cells: "list[Cell]") -> None:
    """A table whenever a cell came into another state, and now and then for its steps, until no driver lives."""
    from orchestration.ledger.status import ended

    shown, printed_at, over = None, 0.0, False
    while not over:
        over = ended(grid)  # before the rows, so that the last table is how the grid ended
        rows, headline = _status(grid, cells)
        states = headline, [(row.cell, row.state) for row in rows]
        if states != shown or time.monotonic() - printed_at > REPEAT_S:
            shown, printed_at = states, time.monotonic()
            _show_status(grid, rows, headline)
        if not over:
            time.sleep(LOOK_S)


def _show_status(grid: "GridConfig", rows: "list[StatusRow]", headline: str) -> None:
    from orchestration.ledger.status import COLUMNS

    output.table(f"{grid.name}: {headline}", COLUMNS, [row.texts for row in rows])


def _show_end(grid: "GridConfig", summary: "GridSummary") -> None:
    from orchestration.ledger.status import span
    from orchestration.ledger.summary import failures, mask_notes

    done = sum(state == "done" for state in summary.states.values())
    output.say(
        f"{grid.name}: {done} of {len(summary.states)} cells done in {span(summary.seconds)}; records: {grid.root}"
    )
    if summary.paused:
        output.say(f"paused: {summary.paused}")
    for line in mask_notes(summary):
        output.say(line)
    if summary.failed:
        output.table("failed cells", ("cell", "why", "log"), failures(summary))


def _show_untrained(summary: "GridSummary") -> None:
    from orchestration.ledger.summary import untrained

    names = untrained(summary)
    if names:
        output.say(f"not trained, so not scored: {', '.join(names)} (uniferum grid run trains them)")
