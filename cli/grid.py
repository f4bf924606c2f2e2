"""Commands of `uniferum grid` that plan, run, evaluate and show a grid; the others are in `cli/steer.py`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import steer, weights
from cli.examples import examples
from cli.grid_output import print_changes, show_end, show_plan, show_sources, show_status, watch
from cli.steer import RUN, WATCH, Settings
from cli.tables import Format

if TYPE_CHECKING:
    from orchestration.driver.run import Options
    from orchestration.grid.cells import Cell
    from orchestration.grid.config import GridConfig

app = typer.Typer(no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="The grid file, e.g. configs/demo_grid.yaml.")]
Address = Annotated[str | None, typer.Option(help="A running Ray: auto, or HOST:PORT. Default: start one here.")]
Parallel = Annotated[int | None, typer.Option(min=1, help="Cells at once; default: what fits.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Only = Annotated[
    list[str] | None, typer.Option(help="Only this cell, or cells by values: 'lr=1e-4,train_on=CTRATE*'; repeatable.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan, do nothing.")]
Notify = Annotated[str | None, typer.Option(help="URL that gets a JSON message when a cell fails or the grid ends.")]

PLAN = examples(
    "uniferum grid plan configs/paper_grid.yaml",
    "uniferum grid plan configs/paper_grid.yaml --format json > plan.json  # one object a cell",
    "uniferum grid plan configs/paper_grid.yaml | cut -f 1,2  # names and states",
    "uniferum grid plan configs/paper_grid.yaml --only 'model=uniferum,train_on=CTRATE*'",
    "uniferum grid plan configs/paper_grid.yaml --only 'fold=0'  # in a grid with folds",
    "uniferum grid plan configs/paper_grid.yaml --sources",
)
RUN_EXAMPLES = examples(
    "uniferum grid run configs/demo_grid.yaml",
    "uniferum grid run configs/paper_grid.yaml --yes --parallel 4 --set root=/data/runs",
    "uniferum grid run configs/paper_grid.yaml --only cnn-INSPECT --dry-run",
    more="Exit code: 0 all cells are done, 1 some failed, 2 bad input, 130 interrupted.",
)
EVALUATE = examples(
    "uniferum grid evaluate configs/demo_grid.yaml --dry-run",
    "uniferum grid evaluate configs/demo_grid.yaml",
    more="Exit code: 0 all trained cells are scored, 1 some failed, 2 bad input, 130 interrupted.",
)
STATUS = examples(
    "uniferum grid status configs/demo_grid.yaml",
    "uniferum grid status configs/demo_grid.yaml --watch",
    "uniferum grid status configs/demo_grid.yaml | grep failed",
    "uniferum grid status configs/demo_grid.yaml --format json",
)


@app.command(epilog=PLAN, rich_help_panel=RUN)
def plan(
    file: File,
    settings: Settings = None,
    only: Only = None,
    sources: Annotated[bool, typer.Option("--sources", help="List the file's values with their sources.")] = False,
    form: Format = None,
) -> None:
    """Show what `grid run` would do: the state of each cell, the reason, and the expected hours."""
    if sources:
        show_sources(file, form)
    else:
        show_plan(*_open(file, settings, only), form)


@app.command(epilog=RUN_EXAMPLES, rich_help_panel=RUN)
def run(
    file: File,
    settings: Settings = None,
    address: Address = None,
    parallel: Parallel = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    only: Only = None,
    wait: Annotated[bool, typer.Option(help="Wait while another driver runs the grid, then continue.")] = True,
    mlflow: Annotated[bool, typer.Option(help="Record in MLflow as well as in the cells' folders.")] = True,
    notify: Notify = None,
    weights_dir: weights.WeightsDir = None,
) -> None:
    """Run every cell that is not done yet."""
    from orchestration.driver.run import Options

    weights.use(weights_dir)
    settings = [*(settings or []), *([] if mlflow else ["tracking.enabled=false"])]
    grid, cells = _open(file, settings, only)
    planned = show_plan(grid, cells, is_result=dry_run) if dry_run or not yes else ()
    if not dry_run and (yes or _agreed()):
        _run(grid, cells, Options(address, parallel, wait, notify=notify, shown_plan=planned))


@app.command(epilog=EVALUATE, rich_help_panel=RUN)
def evaluate(
    file: File,
    settings: Settings = None,
    address: Address = None,
    parallel: Parallel = None,
    dry_run: DryRun = False,
    only: Only = None,
    notify: Notify = None,
) -> None:
    """Score the cells again whose test set changed; nothing is trained."""
    from orchestration.driver.run import Options

    grid, cells = _open(file, settings, only)
    if dry_run:
        show_plan(grid, cells, only_scores=True)
    else:
        _run(grid, cells, Options(address, parallel, only_scores=True, notify=notify))


@app.command(epilog=STATUS, rich_help_panel=WATCH)
def status(
    file: File,
    settings: Settings = None,
    watched: Annotated[
        bool, typer.Option("--watch", "-w", help="Update until Ctrl-C; in a pipe, until the grid ends.")
    ] = False,
    form: Format = None,
) -> None:
    """Show the state, step, metric and time left of each cell; works without a driver."""
    grid, cells = _open(file, settings)
    if not watched:
        show_status(grid, cells, form)
    elif sys.stdout.isatty() and form in (None, "table"):
        watch(grid, cells)
    else:
        print_changes(grid, cells, form)


steer.register(app)


@app.callback(
    epilog=examples(
        "uniferum grid plan configs/demo_grid.yaml",
        "uniferum grid run configs/demo_grid.yaml",
        "uniferum grid status configs/demo_grid.yaml --watch",
        "uniferum grid cancel configs/demo_grid.yaml --all",
    )
)
def _grid() -> None:
    """Plan, run, watch and control a grid: many training runs (cells) that one YAML file declares."""


def _open(file: Path, settings: list[str] | None, only: list[str] | None = None) -> "tuple[GridConfig, list[Cell]]":
    from orchestration.grid.cells import expand, select
    from orchestration.grid.config import load_grid
    from orchestration.grid.ensembles import ensemble_members

    grid = load_grid(file, settings or [])
    cells = expand(grid, source=str(file))
    ensemble_members(grid, cells, source=str(file))
    return grid, select(cells, only or [])


def _run(grid: "GridConfig", cells: "list[Cell]", options: "Options") -> None:
    from cli.live import GridView
    from orchestration.driver.run import run_grid

    with GridView(grid.name) as shown:
        summary = run_grid(grid, cells, shown, options)
    show_end(grid, summary, only_scores=options.only_scores)
    raise typer.Exit(summary.exit_code)


def _agreed() -> bool:
    return not sys.stdin.isatty() or typer.confirm("Run these cells?", default=True, err=True)
