"""Commands of `uniferum grid` for another shell: logs, events, cancel, retry, pause, stop, resume, order, submit."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.examples import examples
from cli.tables import Format
from uniferum.errors import UniferumError

if TYPE_CHECKING:
    from orchestration.ledger.commands import GridClient

File = Annotated[Path, typer.Argument(help="The grid file.")]
CellName = Annotated[str, typer.Argument(help="A cell's name, as `grid status` prints it.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Another value for a key of the grid file: a.b=value.")
]


RUN, WATCH, STEER, CLUSTER = "Run", "Watch", "Steer a running grid", "On a cluster"
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
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="The last lines only; 0: all.")] = 0,
    settings: Settings = None,
) -> None:
    """What a cell's process printed, attempt after attempt."""
    from orchestration.ledger.commands import follow_log, last_lines

    path = _client(file, settings).log(cell)
    if not path.exists():
        raise UniferumError(str(path), must="exist", cure="the cell has not started yet")
    text, end = last_lines(path, lines)
    output.stream(text)
    if follow:
        for text in follow_log(path, end):
            output.stream(text)


def cancel(
    file: File,
    cell: Annotated[str | None, typer.Argument(help="A cell's name.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every running cell; no more start.")] = False,
    settings: Settings = None,
) -> None:
    """Let a cell, or all, write a checkpoint and stop."""
    if (cell is None) != every:
        raise UniferumError("cancel", must="be given one cell, or --all")
    output.say(_client(file, settings).send("cancel", cell))


def retry(file: File, cell: CellName, settings: Settings = None) -> None:
    """Run a failed or stopped cell again: now where a driver has it, else with the next `grid run`."""
    output.say(_client(file, settings).send("retry", cell))


def pause(file: File, settings: Settings = None) -> None:
    """Start no new cells until `resume`."""
    output.say(_client(file, settings).send("pause"))


def stop(file: File, settings: Settings = None) -> None:
    """Let the running cells finish, then end the driver."""
    output.say(_client(file, settings).send("stop"))


def resume(file: File, settings: Settings = None) -> None:
    """Start cells again after `pause` or after the circuit breaker opened."""
    output.say(_client(file, settings).send("resume"))


def parallel(
    file: File, cells: Annotated[int, typer.Argument(min=1, help="Cells at once.")], settings: Settings = None
) -> None:
    """Change how many cells run at once."""
    output.say(_client(file, settings).send("parallel", value=str(cells)))


def priority(
    file: File,
    cell: CellName,
    number: Annotated[int, typer.Argument(help="Higher runs earlier.")],
    settings: Settings = None,
) -> None:
    """Change a waiting cell's place in the order."""
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
    follow: Annotated[bool, typer.Option(help="Print the driver's lines; Ctrl-C detaches, the grid goes on.")] = True,
    settings: Settings = None,
    python: Annotated[str, typer.Option(help="The cluster's interpreter that has the requirements.")] = "python",
) -> None:
    """Run the grid's driver on a cluster, as one Ray Job; the working tree travels. Given again, it attaches."""
    from orchestration.cluster.job import follow_submission, submit_grid

    submission = submit_grid(file, address, settings or [], python)
    output.say(f"submitted as {submission.identity} to {address}")
    if follow:
        raise typer.Exit(follow_submission(submission, output.say))


def ui(file: File, settings: Settings = None) -> None:
    """Serve what the grid recorded in its own MLflow, until Ctrl-C."""
    from orchestration.tracking import server as mlflow_server

    root = _client(file, settings).grid.root
    server = mlflow_server.start(root)
    output.say(f"MLflow: {server.uri} (Ctrl-C ends it)")
    try:
        mlflow_server.wait(server)
    finally:
        mlflow_server.stop(root, server)


def _client(file: Path, settings: list[str] | None) -> "GridClient":
    from orchestration.ledger.commands import GridClient

    return GridClient.open(file, settings or [])
