"""The command `uniferum tune`: search for better values of a cell's keys."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.examples import examples
from uniferum.errors import UniferumError

if TYPE_CHECKING:
    from orchestration.search.config import Search
    from orchestration.search.run import SearchResult

TRIALS = 20
"""Number of trials of a search without a search file."""

EXAMPLES = examples(
    "uniferum tune configs/searches/demo.yaml --dry-run",
    "uniferum tune configs/searches/demo.yaml --address auto",
    "uniferum tune GRID.yaml --over lr,freeze --trials 20",
    "uniferum tune GRID.yaml --over lr --cell 'model=uniferum,train_on=CTRATE' --trials 20",
    "uniferum tune configs/searches/demo.yaml --study second    # after a change of the space",
    "uniferum tune configs/searches/demo.yaml --promote         # the best trial becomes a cell of the grid",
)


def register(app: typer.Typer) -> None:
    """Add the command to the main application."""
    app.command(epilog=EXAMPLES)(tune)


def tune(
    file: Annotated[Path, typer.Argument(help="A search file; or a grid file, with --over.")],
    over: Annotated[str | None, typer.Option(help="Axes of the grid file to search, e.g. lr,freeze.")] = None,
    cell: Annotated[
        str | None, typer.Option(help="With --over: the cell to vary, by name or as model=NAME,train_on=MIX.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help=f"Number of trials. Default: the file's; {TRIALS} with --over.")
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Name of the Optuna study. Default: the file's; the name of the search.")
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote", help="Run nothing; add the best trial to the grid file as a cell.")
    ] = False,
    promote_as: Annotated[
        str | None, typer.Option(metavar="NAME", help="Like --promote, with this name. Default: NAME-best.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="A running Ray: auto, or HOST:PORT. Default: start one here.")
    ] = None,
    mlflow: Annotated[bool, typer.Option(help="Record the trials in MLflow as well.")] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the search space, or the lines that --promote adds; do nothing.")
    ] = False,
) -> None:
    """Search for config values with a better validation AUROC: Optuna proposes, ASHA stops.

    The same command continues an interrupted search. No trial sees a test split.
    """
    from orchestration.search.run import run_search

    search = _search(file, over, cell, trials, study)
    if promote or promote_as:
        _promote(search, promote_as, dry_run)
        return
    _show_space(search, is_result=dry_run)
    if not dry_run:
        _show_best(run_search(search, output.say, address=address, mlflow=mlflow))


def _show_space(search: "Search", *, is_result: bool) -> None:
    rows = [(name, str(d.float or d.int or d.choice), d.log, d.when or "") for name, d in search.space.dimensions]
    title = f"{search.config.name}: {search.config.trials} trials of {search.cell.name}"
    output.Summary(is_result=is_result).table(title, ("key", "values", "log", "when"), rows)


def _show_best(best: "SearchResult") -> None:
    failed = f", {best.failed} failed" if best.failed else ""
    title = f"best validation AUROC {best.best:.4f} of {best.trials} trials{failed}, {best.steps} steps in all"
    output.Summary().table(title, ("key", "value"), best.params.items())
    output.result(str(best.grid_file))
    output.say(f"run it: uniferum grid run {best.grid_file}; or add it to the grid: the same command with --promote")
    output.say(f"show the study: optuna-dashboard {shlex.quote(best.study_url)}")


def _search(file: Path, over: str | None, cell: str | None, trials: int | None, study: str | None) -> "Search":
    """The search of the search file, or over axes of the grid file."""
    from orchestration.search.config import load_search, search_over

    changes = {"study": study} if study else {}
    if over is not None:
        axes = list(dict.fromkeys(name.strip() for name in over.split(",") if name.strip()))
        return search_over(file, axes, cell, trials or TRIALS, **changes)
    if cell is not None:
        cure = "a search file has `cell`; a grid file is searched with --over AXES"
        raise UniferumError("--cell", cell, must="be given with --over", cure=cure)
    return load_search(file, **changes, **({"trials": trials} if trials else {}))


def _promote(search: "Search", name: str | None, dry_run: bool) -> None:
    """Add the best trial to the grid file; the added lines and the cell's name are the result."""
    from orchestration.search.promote import promote, promotion
    from orchestration.search.run import best_so_far

    best, finished = best_so_far(search)
    remark = f"best of {finished} trials of {search.study_name}: validation AUROC {best.value:.4f}"
    promoted = promotion(search, best.params, name=name, remark=remark)
    only = promoted.name if search.grid.seeds == (0,) or not promoted.lines else f"'name={promoted.name}*'"
    run = f"uniferum grid run {search.grid_file} --only {only}"
    if not promoted.lines:
        output.result(promoted.name)
        output.say(
            f"{remark}; it is cell {promoted.name} of {search.grid_file} already: nothing was added; run it: {run}"
        )
        return
    if not dry_run:
        promote(search, best.params, promoted)
    output.result("\n".join(promoted.lines))
    output.say(f"{'would be added' if dry_run else 'added'} to {search.grid_file} ({remark}); run it: {run}")
