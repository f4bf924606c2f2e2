"""The commands `uniferum report` and `uniferum why`: recorded predictions to tables, on standard output."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import output

GridOption = Annotated[
    Path | None, typer.Option("--grid", help="Grid file: which cells are expected, and where MLflow is.")
]
FromOption = Annotated[Path | None, typer.Option("--from", help="Read cell folders from here instead of MLflow.")]
MlflowOption = Annotated[str | None, typer.Option("--mlflow", help="Address of the MLflow server.")]


def report(
    table: Annotated[
        list[str] | None, typer.Option("--table", help="auroc, aupr, table2, appendix4, appendix5")
    ] = None,
    grid: GridOption = None,
    folder: FromOption = None,
    mlflow: MlflowOption = None,
    kind: Annotated[str, typer.Option("--format", help="terminal, md, csv, json, latex or html.")] = "terminal",
    published: Annotated[bool, typer.Option("--published", help="The paper's value beside each one.")] = False,
    intervals: Annotated[bool, typer.Option("--intervals", help="95 % intervals beside the values.")] = False,
) -> None:
    """Print tables of the recorded cells, also of a half-finished grid."""
    from cli.gather import gather
    from uniferum.report.catalogue import make_table
    from uniferum.report.rendering import Style, several

    style = Style(published, intervals, bold=sys.stdout.isatty())
    records, pending = gather(grid, folder, mlflow)
    made = [make_table(name, records, pending, published_rows=published) for name in table or ["auroc"]]
    output.result(several(made, kind, style))


def why(
    table: Annotated[str, typer.Argument(help="The table's name, e.g. auroc.")],
    row: Annotated[str, typer.Argument(help="Words that name one row, e.g. 'pubmedbert CTRATE+SEG'.")],
    column: Annotated[str, typer.Argument(help="Words that name one column, e.g. 'INSPECT shared'.")],
    grid: GridOption = None,
    folder: FromOption = None,
    mlflow: MlflowOption = None,
) -> None:
    """Trace a printed number to its runs, fingerprints, commit, data and prediction files."""
    from cli.gather import gather
    from uniferum.report.catalogue import make_table
    from uniferum.report.why import trace

    records, pending = gather(grid, folder, mlflow)
    output.result(trace(make_table(table, records, pending), row, column, records))


def register(app: typer.Typer) -> None:
    """Add the commands to the main application."""
    app.command("report")(report)
    app.command("why")(why)
