"""Commands of `uniferum grid`: plan, run, evaluate, and look at a grid."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output, steer, weights

if TYPE_CHECKING:
    from orchestration.drive import Options, Summary
    from orchestration.grid import Cell, GridConfig

app = typer.Typer(no_args_is_help=True)
steer.register(app)

File = Annotated[Path, typer.Argument(help="The grid file, e.g. configs/demo_grid.yaml.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Another value for a key of the grid file: a.b=value.")
]
Address = Annotated[str | None, typer.Option(help="A running Ray: auto, or HOST:PORT. Default: start one here.")]
Parallel = Annotated[int | None, typer.Option(min=1, help="Cells at once; default: what fits.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Only = Annotated[list[str] | None, typer.Option(help="Only this cell; may be given again.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan, do nothing.")]


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
    notify: Annotated[str | None, typer.Option(help="URL that is told when the grid ends or a cell fails.")] = None,
    weights_dir: weights.WeightsDir = None,
) -> None:
    """Run every cell that is not done. Exit code: 0 all done, 1 some failed, 2 bad input, 130 interrupted."""
    from orchestration.drive import Options

    weights.use(weights_dir)
    settings = [*(settings or []), *([] if mlflow else ["tracking.enabled=false"])]
    grid, cells = _open(file, settings, only)
    if dry_run or not yes:
        _show_plan(grid, cells, totals=True)
    if not dry_run and (yes or _agreed()):
        _run(grid, cells, Options(address, parallel, wait, notify=notify))


@app.command()
def evaluate(file: File, settings: Settings = None, address: Address = None, parallel: Parallel = None) -> None:
    """Score again the cells whose test set changed; nothing is trained."""
    from orchestration.drive import Options

    grid, cells = _open(file, settings)
    _run(grid, cells, Options(address, parallel, only_scores=True))


@app.command()
def plan(file: File, settings: Settings = None) -> None:
    """What is done, resumable, due, failed, changed or to be scored again, why, and how many hours it takes."""
    _show_plan(*_open(file, settings), totals=True)


@app.command()
def status(
    file: File,
    settings: Settings = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep looking until Ctrl-C.")] = False,
) -> None:
    """Every cell's state, step, metric and time left, from files alone: the driver may be elsewhere, or dead."""
    import time

    from cli.live import GridView

    grid, cells = _open(file, settings)
    if not watch:
        _show_status(grid, cells)
        return
    with GridView(grid.name) as shown:
        while True:
            shown.show(*_status(grid, cells))
            time.sleep(1.0)


def _open(file: Path, settings: list[str] | None, only: list[str] | None = None) -> "tuple[GridConfig, list[Cell]]":
    from orchestration.grid import expand, load_grid, select

    grid = load_grid(file, settings or [])
    return grid, select(expand(grid, source=str(file)), only or [])


def _run(grid: "GridConfig", cells: "list[Cell]", options: "Options") -> None:
    from cli.live import GridView
    from orchestration.drive import run_grid

    with GridView(grid.name) as shown:
        summary = run_grid(grid, cells, shown, options)
    _show_end(grid, summary)
    raise typer.Exit(summary.exit_code)


def _agreed() -> bool:
    import sys

    if not sys.stdin.isatty():
        return True
    return typer.confirm("Run these?", default=True, err=True)


def _show_plan(grid: "GridConfig", cells: "list[Cell]", *, totals: bool) -> None:
    from orchestration.plan import make_plan
    from orchestration.view import plan_rows, plan_totals

    planned = make_plan(grid, cells)
    output.table(f"{grid.name}: {len(planned)} cells", ("cell", "state", "steps", "hours", "why"), plan_rows(planned))
    if totals:
        output.say(plan_totals(grid, planned))


def _status(grid: "GridConfig", cells: "list[Cell]") -> "tuple[list, str]":
    from orchestration.view import status_of

    return status_of(grid, cells)


def _show_status(grid: "GridConfig", cells: "list[Cell]") -> None:
    from orchestration.view import COLUMNS

    rows, headline = _status(grid, cells)
    output.table(f"{grid.name}: {headline}", COLUMNS, [row.texts for row in rows])


def _show_end(grid: "GridConfig", summary: "Summary") -> None:
    from orchestration.view import failures, span

    done = sum(state == "done" for state in summary.states.values())
    output.say(
        f"{grid.name}: {done} of {len(summary.states)} cells done in {span(summary.seconds)}; records: {grid.root}"
    )
    if summary.paused:
        output.say(f"paused: {summary.paused}")
    if summary.failed:
        output.table("failed cells", ("cell", "why", "log"), failures(summary))
