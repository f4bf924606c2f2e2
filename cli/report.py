"""The commands `uniferum report` and `uniferum why`: recorded predictions to tables, figures and pages."""

from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.examples import examples
from cli.report_checks import check_options, given_options
from cli.report_output import (
    Drawing,
    Guidelines,
    Judgement,
    Page,
    Selection,
    Tests,
    only_auroc,
    print_data,
    print_results,
    read_cells,
    write_files,
)
from cli.search_output import print_search

TABLE_NAMES = (
    *("auroc", "aupr", "table2", "appendix3", "appendix4", "appendix5"),
    *("labels", "labels-aupr", "segmentation", "segmentation-sensitivity", "segmentation-volume"),
    *("calibration", "wording"),
    *("operating-points", "operating-points-labels", "calibration-slope", "decision", "subgroups", "flow"),
)

TABLES, JUDGE, FIGURES, PAGE, DATA = "Tables", "Judge the numbers", "Figures", "Page", "Cells and data"
GUIDELINES = "Tables of reporting guidelines"
"""Headings under which `uniferum report --help` groups the options."""

GridOption = Annotated[
    Path | None,
    typer.Option("--grid", help="Grid file: which cells are expected, and where MLflow is.", rich_help_panel=DATA),
]
FromOption = Annotated[
    Path | None, typer.Option("--from", help="Read cell folders from here instead of MLflow.", rich_help_panel=DATA)
]
MlflowOption = Annotated[
    str | None, typer.Option("--mlflow", help="Address of the MLflow server.", rich_help_panel=DATA)
]

REPORT = examples(
    "uniferum report --grid configs/demo_grid.yaml --table auroc --table aupr",
    "uniferum report --from demo/runs/cells --table labels --cohort CTRATE --format csv > labels.csv",
    "uniferum report --grid configs/demo_grid.yaml --rows model,train_on --columns cohort,group --metric ece",
    "uniferum report --grid configs/demo_grid.yaml --table operating-points --threshold specificity=0.9 --intervals",
    "uniferum report --grid GRID.yaml --table subgroups --metadata CTRATE=validation_metadata.csv --by sex,age",
    "uniferum report --grid ablation.yaml --rows model,lr --columns cohort,freeze",
    "uniferum report --grid ablation.yaml --vary lr --base 1e-4 --cohort CTRATE",
    "uniferum report --grid configs/paper_grid.yaml --published --intervals --format latex",
    "uniferum report --grid configs/paper_grid.yaml --verdict",
    "uniferum report --grid configs/paper_grid.yaml --attainable",
    "uniferum report --grid configs/paper_grid.yaml --claims",
    "uniferum report --grid GRID.yaml --compare ENSEMBLE --compare CELL  # rows of `ensembles` are named like cells",
    "uniferum report --grid configs/demo_grid.yaml --figures figures --figure roc-ctrate --figure-format svg",
    "uniferum report --grid configs/demo_grid.yaml --html page",
    "uniferum report --search configs/searches/demo.yaml --figures figures",
    "uniferum report --data stores --figures figures",
)
WHY = examples('uniferum why auroc "tiny-64 CTRATE+SEG" "INSPECT shared" --grid configs/demo_grid.yaml')


def report(
    context: typer.Context,
    table: Annotated[
        list[str] | None, typer.Option("--table", help=f"One of {', '.join(TABLE_NAMES)}.", rich_help_panel=TABLES)
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(
            help="A table of your own: its rows, e.g. model,train_on; also axes of the grid (lr) and keys of the "
            "config (optim.lr).",
            rich_help_panel=TABLES,
        ),
    ] = None,
    columns: Annotated[
        str,
        typer.Option(help="With --rows: its columns, e.g. cohort,freeze.", rich_help_panel=TABLES),
    ] = "cohort,group",
    metric: Annotated[
        str,
        typer.Option(
            help="With --rows and --vary: auroc, aupr, sensitivity, brier, ece; dice, mask_sensitivity, volume_error.",
            rich_help_panel=TABLES,
        ),
    ] = "auroc",
    cohort: Annotated[str | None, typer.Option(help="Only this cohort.", rich_help_panel=TABLES)] = None,
    group: Annotated[
        str | None, typer.Option(help="Only this group of labels: all, shared or unique.", rich_help_panel=TABLES)
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Only this label, in tables of labels.", rich_help_panel=TABLES)
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Print the paper's value beside each one.", rich_help_panel=TABLES)
    ] = False,
    intervals: Annotated[
        bool, typer.Option("--intervals", help="Print 95 % intervals beside the values.", rich_help_panel=TABLES)
    ] = False,
    protocol: Annotated[
        bool,
        typer.Option(
            "--protocol",
            help="Print the whole protocol below each table.",
            rich_help_panel=TABLES,
        ),
    ] = False,
    training_rows: Annotated[
        bool,
        typer.Option(
            "--training-rows",
            help="The rows that each cell was trained on, by cohort, kind and label.",
            rich_help_panel=TABLES,
        ),
    ] = False,
    kind: Annotated[
        str, typer.Option("--format", help="terminal, md, csv, json, latex or html.", rich_help_panel=TABLES)
    ] = "terminal",
    threshold: Annotated[
        str,
        typer.Option(
            help="Of operating-points: youden, sensitivity=VALUE or specificity=VALUE, chosen on validation.",
            rich_help_panel=GUIDELINES,
        ),
    ] = "youden",
    probabilities: Annotated[
        str,
        typer.Option(
            help="Of decision: threshold probabilities, separated by commas; 0.05,0.1,0.2,0.3,0.5 if empty.",
            rich_help_panel=GUIDELINES,
        ),
    ] = "",
    by: Annotated[
        str,
        typer.Option(
            help="Of subgroups: sex, age, scanner, kernel, contrast, slice spacing; all that are known if empty.",
            rich_help_panel=GUIDELINES,
        ),
    ] = "",
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            "--metadata", help="Of subgroups: COHORT=FILE, a table of scans or patients.", rich_help_panel=GUIDELINES
        ),
    ] = None,
    smallest: Annotated[
        int,
        typer.Option(min=1, help="Of subgroups: fewer patients are suppressed.", rich_help_panel=GUIDELINES),
    ] = 20,
    verdict: Annotated[
        bool, typer.Option("--verdict", help="Judge each number against the paper's.", rich_help_panel=JUDGE)
    ] = False,
    attainable: Annotated[
        bool,
        typer.Option(
            "--attainable",
            help="By column, which margin the scans, positives and seeds at hand can decide.",
            rich_help_panel=JUDGE,
        ),
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            help="paper, or all: published values beside each cell, and why others do not compare. With --format csv "
            "these reasons go to standard error; json has them as notes.",
            rich_help_panel=JUDGE,
        ),
    ] = None,
    claims: Annotated[
        bool, typer.Option("--claims", help="Test the paper's claims on these cells.", rich_help_panel=JUDGE)
    ] = False,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            "--compare",
            help="A cell's name, given twice or more: paired tests between the cells.",
            rich_help_panel=JUDGE,
        ),
    ] = None,
    compare_encoders: Annotated[
        bool,
        typer.Option(
            "--compare-encoders",
            help="Paired tests between two text encoders, for each choice of training data.",
            rich_help_panel=JUDGE,
        ),
    ] = False,
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            "--encoder", help="Given twice: which two encoders, where the cells have more.", rich_help_panel=JUDGE
        ),
    ] = None,
    common: Annotated[
        bool, typer.Option("--common", help="Compare cells on the cases that both have.", rich_help_panel=JUDGE)
    ] = False,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            help="An axis of the grid (lr) or a key of the config (optim.lr): the effect of its values, with paired "
            "tests.",
            rich_help_panel=JUDGE,
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option("--base", help="With --vary: the value that others are compared with.", rich_help_panel=JUDGE),
    ] = None,
    unit: Annotated[
        str,
        typer.Option(
            "--unit",
            help="What one case is: volume; scan or patient pool their volumes (mean logit, positive if any is).",
            rich_help_panel=JUDGE,
        ),
    ] = "volume",
    recompute: Annotated[
        bool,
        typer.Option("--recompute", help="Compute all scores again from the prediction files.", rich_help_panel=JUDGE),
    ] = False,
    figures: Annotated[
        Path | None, typer.Option("--figures", help="Draw the figures into this folder.", rich_help_panel=FIGURES)
    ] = None,
    figure: Annotated[
        list[str] | None, typer.Option("--figure", help="Only this figure.", rich_help_panel=FIGURES)
    ] = None,
    figure_format: Annotated[
        str, typer.Option(help="png, svg and pdf, separated by commas.", rich_help_panel=FIGURES)
    ] = "png,svg,pdf",
    style: Annotated[
        str,
        typer.Option(
            "--style",
            help="Widths and fonts of figures: screen, nature, ieee, elsevier, radiology.",
            rich_help_panel=FIGURES,
        ),
    ] = "screen",
    montages: Annotated[
        int,
        typer.Option(help="With --data and --figures: number of scans to draw per cohort.", rich_help_panel=FIGURES),
    ] = 0,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Write a page into this folder; it needs no network.", rich_help_panel=PAGE),
    ] = None,
    with_volumes: Annotated[
        Path | None,
        typer.Option(
            help="Folder of prepared stores: add images of patients, with the model's masks.", rich_help_panel=PAGE
        ),
    ] = None,
    grid: GridOption = None,
    folder: FromOption = None,
    mlflow: MlflowOption = None,
    search: Annotated[
        Path | None,
        typer.Option(
            "--search",
            help="A search file (or a study.db): its trials instead of cells, or with --html beside them.",
            rich_help_panel=DATA,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Print the data card of the stores in this folder.", rich_help_panel=DATA),
    ] = None,
) -> None:
    """Print tables of the recorded cells, also of a half-finished grid; draw its figures; write its page."""
    check_options(given_options(context))
    drawing = Drawing(figures, figure or [], figure_format.split(","), montages, style)
    tests = Tests(claims, compare or [], compare_encoders, encoder or [], common, training_rows, vary or [], base)
    if html is None and _other_than_cells(data, search, kind, drawing, tests, grid):
        return
    only = {key: value for key, value in (("cohort", cohort), ("group", group), ("label", label)) if value}
    guidelines = Guidelines(threshold, probabilities, by, metadata or [], smallest)
    selection = Selection(table or ["auroc"], rows, columns, metric, only, published, intervals, protocol, guidelines)
    full = not (only_auroc(selection) and figures is None and html is None)
    cells = read_cells(grid, folder, mlflow, recompute=recompute, unit=unit, full=full)
    write_files(cells, drawing, Page(html, with_volumes, data, search), tests, selection)
    if tests.wanted or (figures is None and html is None):
        print_results(cells, tests, selection, Judgement(verdict, against, attainable), kind)


def _other_than_cells(
    data: Path | None, search: Path | None, kind: str, drawing: Drawing, tests: Tests, grid: Path | None
) -> bool:
    """Print the data card or the trials of a search, if they are wanted, and say whether they were."""
    if data is not None:
        print_data(data, kind, drawing, grid)
    elif search is not None:
        print_search(search, kind, drawing, tests)
    return data is not None or search is not None


def why(
    table: Annotated[str, typer.Argument(help="The table's name, e.g. auroc.")],
    row: Annotated[str, typer.Argument(help="Words that name one row, e.g. 'tiny-64 CTRATE+SEG'.")],
    column: Annotated[str, typer.Argument(help="Words that name one column, e.g. 'INSPECT shared'.")],
    grid: GridOption = None,
    folder: FromOption = None,
    mlflow: MlflowOption = None,
) -> None:
    """Trace a printed number to its runs, fingerprints, commit, data and prediction files."""
    from uniferum.report.checks.lineage import trace
    from uniferum.report.tables.catalogue import make_table

    cells = read_cells(grid, folder, mlflow)
    made = make_table(table, cells.records, cells.pending, published_rows=True)
    output.result(trace(made, row, column, cells.records))


def register(app: typer.Typer) -> None:
    """Add the commands to the main application."""
    app.command("report", epilog=REPORT)(report)
    app.command("why", epilog=WHY)(why)
