"""Commands of `uniferum grid` for another shell: logs, events, cancel, retry, pause, stop, resume, order, submit."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.examples import examples
from cli.tables import Format
from uniferum.errors import StateError, UniferumError

if TYPE_CHECKING:
    from orchestration.ledger.commands import GridClient

File = Annotated[Path, typer.Argument(help="The grid file.")]
CellName = Annotated[str, typer.Argument(help="A cell's name, as `grid status` prints it.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="a.b=value: replaces a value of the grid file.")]


RUN, WATCH, STEER, CLUSTER = "Run", "Watch", "Control a running grid", "On a cluster"
"""Headings under which `uniferum grid --help` groups the commands."""

DEMO, CELL = "configs/demo_grid.yaml", "uniferum-small-CTRATE"


def register(app: typer.Typer) -> None:
    """Add the commands to `uniferum grid`."""

    def add(command: Callable[..., None], panel: str, *lines: str) -> None:
        shown = examples(*(f"uniferum grid {line}" for line in lines))
        app.command(epilog=shown, rich_help_panel=panel)(command)

    add(logs, WATCH, f"logs {DEMO} {CELL} --lines 20", f"logs {DEMO} {CELL} --follow")
    add(events, WATCH, f"events {DEMO}", f"events {DEMO} {CELL} --format json")
    add(ui, WATCH, f"ui {DEMO}")
    add(cancel, STEER, f"cancel {DEMO} {CELL}", f"cancel {DEMO} --all")
    add(retry, STEER, f"retry {DEMO} {CELL}")
    add(pause, STEER, f"pause {DEMO}")
    add(resume, STEER, f"resume {DEMO}")
    add(stop, STEER, f"stop {DEMO}")
    add(parallel, STEER, f"parallel {DEMO} 2")
    add(priority, STEER, f"priority {DEMO} {CELL} 10")
    add(submit, CLUSTER, "submit configs/paper_grid.yaml --address http://HEAD:8265 --set root=/shared/runs")


def logs(
    file: File,
    cell: CellName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Only the last N lines; 0: all.")] = 0,
    settings: Settings = None,
) -> None:
    """Print the log of a cell, over all its attempts."""
    from orchestration.ledger.commands import follow_log, last_lines

    path = _client(file, settings).log(cell)
    if not path.exists():
        raise StateError(f"Cell {cell} has not written a log yet ({path})", cure="See `uniferum grid status`.")
    text, end = last_lines(path, lines)
    output.stream(text)
    if follow:
        for text in follow_log(path, end):
            output.stream(text)


def cancel(
    file: File,
    cell: Annotated[str | None, typer.Argument(help="A cell's name.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All running cells; no more cells start.")] = False,
    settings: Settings = None,
) -> None:
    """Stop a cell, or all cells, after a checkpoint."""
    if (cell is None) != every:
        raise UniferumError("cancel", must="be given one cell, or --all")
    output.say(_client(file, settings).send("cancel", cell))


def retry(file: File, cell: CellName, settings: Settings = None) -> None:
    """Run a failed or stopped cell again: now if a driver is running, otherwise with the next `grid run`."""
    output.say(_client(file, settings).send("retry", cell))


def pause(file: File, settings: Settings = None) -> None:
    """Start no new cells until `resume`."""
    output.say(_client(file, settings).send("pause"))


def stop(file: File, settings: Settings = None) -> None:
    """End the driver after the running cells have finished."""
    output.say(_client(file, settings).send("stop"))


def resume(file: File, settings: Settings = None) -> None:
    """Start cells again after `pause`, or after repeated failures paused the grid."""
    output.say(_client(file, settings).send("resume"))


def parallel(
    file: File, cells: Annotated[int, typer.Argument(min=1, help="Cells at once.")], settings: Settings = None
) -> None:
    """Change how many cells run at once."""
    output.say(_client(file, settings).send("parallel", value=str(cells)))


def priority(
    file: File,
    cell: CellName,
    number: Annotated[int, typer.Argument(help="Cells with a higher number run earlier.")],
    settings: Settings = None,
) -> None:
    """Change the priority of a waiting cell."""
    output.say(_client(file, settings).send("priority", cell, str(number)))


def events(
    file: File,
    cell: Annotated[str | None, typer.Argument(help="A cell's name; default: all.")] = None,
    settings: Settings = None,
    form: Format = None,
) -> None:
    """Show what happened to the cells, oldest first, from the ledger."""
    from orchestration.ledger.commands import EVENT_COLUMNS

    client = _client(file, settings)
    happened = client.history(cell)
    rows = [[event[column] for column in EVENT_COLUMNS] for event in happened]
    output.listing(f"{client.grid.name}: {len(rows)} events", EVENT_COLUMNS, rows, form, objects=happened)


def submit(
    file: File,
    address: Annotated[str, typer.Option(help="The cluster's dashboard, http://HEAD:8265.")],
    follow: Annotated[
        bool, typer.Option(help="Print the output of the driver; Ctrl-C detaches, the grid continues.")
    ] = True,
    settings: Settings = None,
    python: Annotated[
        str, typer.Option(help="The Python interpreter on the cluster that has the requirements.")
    ] = "python",
) -> None:
    """Run the driver of a grid on a cluster, as a Ray Job with a copy of the working tree.

    The same command attaches to a running job.
    """
    from orchestration.cluster.job import follow_submission, submit_grid

    submission = submit_grid(file, address, settings or [], python)
    output.say(f"submitted as {submission.identity} to {address}")
    if follow:
        raise typer.Exit(follow_submission(submission, output.say))


def ui(file: File, settings: Settings = None) -> None:
    """Serve the MLflow records of a grid, until Ctrl-C."""
    from orchestration.tracking import server as mlflow_server

    root = _client(file, settings).grid.root
    server = mlflow_server.start(root)
    output.say(f"MLflow: {server.uri} (Ctrl-C stops it)")
    try:
        mlflow_server.wait(server)
    finally:
        mlflow_server.stop(root, server)


def _client(file: Path, settings: list[str] | None) -> "GridClient":
    from orchestration.ledger.commands import GridClient

    return GridClient.open(file, settings or [])
