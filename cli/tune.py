"""The command `uniferum tune`: search for better values of a cell's keys."""

from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.examples import examples

EXAMPLES = examples(
    "uniferum tune configs/searches/demo.yaml --dry-run",
    "uniferum tune configs/searches/demo.yaml --address auto",
)


def register(app: typer.Typer) -> None:
    """Add the command to the main application."""
    app.command(epilog=EXAMPLES)(tune)


def tune(
    file: Annotated[Path, typer.Argument(help="The search file, e.g. configs/searches/demo.yaml.")],
    address: Annotated[
        str | None, typer.Option(help="A running Ray: auto, or HOST:PORT. Default: start one here.")
    ] = None,
    mlflow: Annotated[bool, typer.Option(help="Record the trials in MLflow as well.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the search space; do nothing.")] = False,
) -> None:
    """Search for config values with a better validation AUROC: Optuna proposes, ASHA stops.

    The same command continues an interrupted search.
    """
    from orchestration.search.config import load_search
    from orchestration.search.run import run_search

    search = load_search(file)
    rows = [(name, str(d.float or d.int or d.choice), d.log, d.when or "") for name, d in search.config.space.items()]
    space = output.Summary(is_result=dry_run)
    space.table(f"{search.config.name}: {search.config.trials} trials", ("key", "values", "log", "when"), rows)
    if dry_run:
        return
    best = run_search(search, output.say, address=address, mlflow=mlflow)
    failed = f", {best.failed} failed" if best.failed else ""
    title = f"best validation AUROC {best.best:.4f} of {best.trials} trials{failed}, {best.steps} steps in all"
    output.Summary().table(title, ("key", "value"), best.params.items())
    output.result(str(best.grid_file))
    output.say(f"run it: uniferum grid run {best.grid_file}; show the study: optuna-dashboard {best.study_url}")
