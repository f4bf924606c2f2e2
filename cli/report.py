"""The commands `uniferum report` and `uniferum why`: recorded predictions to tables, on standard output."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import output

TABLE_NAMES = (
    *("auroc", "aupr", "table2", "appendix3", "appendix4", "appendix5"),
    *("labels", "labels-aupr", "calibration"),
)

GridOption = Annotated[
    Path | None, typer.Option("--grid", help="Grid file: which cells are expected, and where MLflow is.")
]
FromOption = Annotated[Path | None, typer.Option("--from", help="Read cell folders from here instead of MLflow.")]
MlflowOption = Annotated[str | None, typer.Option("--mlflow", help="Address of the MLflow server.")]


def report(
    table: Annotated[list[str] | None, typer.Option("--table", help=f"One of {', '.join(TABLE_NAMES)}.")] = None,
    grid: GridOption = None,
    folder: FromOption = None,
    mlflow: MlflowOption = None,
    kind: Annotated[str, typer.Option("--format", help="terminal, md, csv, json, latex or html.")] = "terminal",
    published: Annotated[bool, typer.Option("--published", help="The paper's value beside each one.")] = False,
    intervals: Annotated[bool, typer.Option("--intervals", help="95 % intervals beside the values.")] = False,
    rows: Annotated[
        str | None, typer.Option(help="A table of your own: facts of its rows, e.g. model,train_on.")
    ] = None,
    columns: Annotated[str, typer.Option(help="Facts of its columns.")] = "cohort,group",
    metric: Annotated[str, typer.Option(help="auroc, aupr, sensitivity, brier or ece.")] = "auroc",
    cohort: Annotated[str | None, typer.Option(help="Only this cohort.")] = None,
    group: Annotated[str | None, typer.Option(help="Only this group of labels: all, shared or unique.")] = None,
    label: Annotated[str | None, typer.Option(help="Only this label, in tables of labels.")] = None,
    verdict: Annotated[bool, typer.Option("--verdict", help="Each number judged against the paper's.")] = False,
    claims: Annotated[bool, typer.Option("--claims", help="The paper's claims, tested on these cells.")] = False,
    common: Annotated[bool, typer.Option("--common", help="Compare cells on the cases that both have.")] = False,
) -> None:
    """Print tables of the recorded cells, also of a half-finished grid."""
    from cli.gather import gather
    from uniferum.report.catalogue import make_table
    from uniferum.report.examine import claims_sheet, examine
    from uniferum.report.pivot import Layout, pivot_table
    from uniferum.report.rendering import Style, render_sheet, several
    from uniferum.report.verdict import judge, verdict_sheet

    style = Style(published, intervals, bold=sys.stdout.isatty())
    where = {key: value for key, value in (("cohort", cohort), ("group", group), ("label", label)) if value}
    found = gather(grid, folder, mlflow)
    records, pending = found.records, found.pending
    if claims:
        output.result(render_sheet(claims_sheet(examine(records, found.agreement, common=common)), kind))
        return
    if rows is not None:
        layout = Layout(tuple(rows.split(",")), tuple(columns.split(",")), metric, where)
        made = [pivot_table("own", records, pending, layout)]
    else:
        names = table or ["auroc"]
        made = [make_table(name, records, pending, published_rows=published, where=where) for name in names]
    if verdict:
        judged = [verdict_sheet(judge(one, found.agreement), one.metric) for one in made]
        output.result("\n".join(render_sheet(one, kind) for one in judged))
        return
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

    found = gather(grid, folder, mlflow)
    output.result(trace(make_table(table, found.records, found.pending), row, column, found.records))


def register(app: typer.Typer) -> None:
    """Add the commands to the main application."""
    app.command("report")(report)
    app.command("why")(why)
