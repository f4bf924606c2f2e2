"""The commands `uniferum report` and `uniferum why`: recorded predictions to tables, figures and pages."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output

if TYPE_CHECKING:
    from orchestration.report_source import Gathered
    from uniferum.report.tables.entries import ReportTable
    from uniferum.report.tables.sheet import Sheet

TABLE_NAMES = (
    *("auroc", "aupr", "table2", "appendix3", "appendix4", "appendix5"),
    *("labels", "labels-aupr", "segmentation", "segmentation-sensitivity", "segmentation-volume", "calibration"),
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
    metric: Annotated[
        str, typer.Option(help="auroc, aupr, sensitivity, brier, ece; dice, mask_sensitivity, volume_error.")
    ] = "auroc",
    cohort: Annotated[str | None, typer.Option(help="Only this cohort.")] = None,
    group: Annotated[str | None, typer.Option(help="Only this group of labels: all, shared or unique.")] = None,
    label: Annotated[str | None, typer.Option(help="Only this label, in tables of labels.")] = None,
    verdict: Annotated[bool, typer.Option("--verdict", help="Each number judged against the paper's.")] = False,
    against: Annotated[
        str | None,
        typer.Option("--against", help="paper or all: the published values that compare, and why the others do not."),
    ] = None,
    claims: Annotated[bool, typer.Option("--claims", help="The paper's claims, tested on these cells.")] = False,
    compare: Annotated[
        list[str] | None, typer.Option("--compare", help="A cell's name, twice or more: paired tests between them.")
    ] = None,
    compare_encoders: Annotated[
        bool, typer.Option("--compare-encoders", help="Two text encoders: paired tests of each training mix, claim 7.")
    ] = False,
    encoder: Annotated[
        list[str] | None, typer.Option("--encoder", help="Which two, one an option, where the cells have more.")
    ] = None,
    common: Annotated[bool, typer.Option("--common", help="Compare cells on the cases that both have.")] = False,
    training_rows: Annotated[
        bool, typer.Option("--training-rows", help="What each cell was trained on: rows by cohort, kind and label.")
    ] = False,
    recompute: Annotated[bool, typer.Option("--recompute", help="Score the prediction files again first.")] = False,
    figures: Annotated[Path | None, typer.Option("--figures", help="Draw the figures into this folder.")] = None,
    figure: Annotated[list[str] | None, typer.Option("--figure", help="Only this figure.")] = None,
    figure_format: Annotated[str, typer.Option(help="png, svg and pdf, comma between.")] = "png,svg,pdf",
    data: Annotated[Path | None, typer.Option("--data", help="Folder of prepared stores: report on them.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a self-contained page into this folder.")] = None,
    with_volumes: Annotated[
        Path | None, typer.Option(help="Root of prepared stores: add images of patients, with the model's masks.")
    ] = None,
    montages: Annotated[int, typer.Option(help="With --data and --figures: pictures of so many scans a cohort.")] = 0,
) -> None:
    """Print tables of the recorded cells, also of a half-finished grid; draw its figures; write its page."""
    from orchestration.report_source import gather

    if data is not None and html is None:
        _print_data(data, kind, figures, figure_format.split(","), montages, grid)
        return
    found = gather(grid, folder, mlflow)
    output.say_all(found.notes)
    if recompute:
        found = _recomputed(found)
    if figures is not None:
        _draw(found, figures, figure or [], figure_format.split(","))
    if html is not None:
        _write_page(found, html, with_volumes, data or with_volumes)
    tests = Tests(claims, compare or [], compare_encoders, encoder or [], common, training_rows)
    if tests.wanted:
        _print_tests(found, tests, kind)
    if figures or html or tests.wanted:
        return
    where = {key: value for key, value in (("cohort", cohort), ("group", group), ("label", label)) if value}
    if rows is not None:
        made = [_own(found, rows, columns, metric, where, published)]
    else:
        made = _named(found, table or ["auroc"], where, published)
    _print(found, made, kind, published=published, intervals=intervals, verdict=verdict, against=against)


@dataclass(frozen=True)
class Tests:
    """Which tests are asked for, and whether the rows that were trained on are."""

    claims: bool
    cells: Sequence[str]
    encoders: bool
    named: Sequence[str]
    common: bool
    rows: bool

    @property
    def wanted(self) -> bool:
        """Whether any is."""
        return bool(self.claims or self.cells or self.encoders or self.named or self.rows)


def _print_data(
    root: Path, kind: str, figures: Path | None, kinds: list[str], montages: int, grid: Path | None
) -> None:
    from uniferum.report import datacard
    from uniferum.report.figures.style import look, mark_phantoms, save
    from uniferum.report.tables.rendering import render_sheets

    stores = datacard.read_stores(root)
    phantoms = datacard.of_phantoms(stores) or (grid is not None and _of_phantoms(grid))
    output.result(render_sheets([_marked(one, phantoms) for one in datacard.sheets(stores)], kind))
    if figures is not None:
        with look():
            drawn = datacard.figures(stores)
            if phantoms:
                drawn = {name: mark_phantoms(one) for name, one in drawn.items()}
            written = [p for name, one in drawn.items() for p in save(one, figures, name, kinds)]
        pictures = datacard.montages(stores, montages)
        for name, png in pictures.items():
            (figures / f"{name}.png").write_bytes(png)
        output.say(f"{len(written) + len(pictures)} files in {figures}")
        if pictures:
            output.say("Montages are images of single patients: keep them where the data may be.")


def _of_phantoms(grid: Path) -> bool:
    from orchestration.grid.config import load_grid

    return load_grid(grid).synthetic


def _marked(drawn: "Sheet", phantoms: bool) -> "Sheet":
    from dataclasses import replace

    from uniferum.report.tables.naming import phantom_title

    return replace(drawn, title=phantom_title(drawn.title)) if phantoms else drawn


def _recomputed(found: "Gathered") -> "Gathered":
    from dataclasses import replace

    from uniferum.report.recompute import recomputed

    return replace(found, records=recomputed(found.records))


def _named(found: "Gathered", names: list[str], where: dict[str, str], published: bool) -> "list[ReportTable]":
    from uniferum.report.tables.catalogue import make_table

    return [make_table(name, found.records, found.pending, published_rows=published, where=where) for name in names]


def _own(
    found: "Gathered", rows: str, columns: str, metric: str, where: dict[str, str], published: bool
) -> "ReportTable":
    from uniferum.report.tables.pivot import Layout, pivot_table

    layout = Layout(tuple(rows.split(",")), tuple(columns.split(",")), metric, where)
    return pivot_table("own", found.records, found.pending, layout, published_rows=published)


def _print(
    found: "Gathered",
    made: "list[ReportTable]",
    kind: str,
    *,
    published: bool,
    intervals: bool,
    verdict: bool,
    against: str | None,
) -> None:
    from uniferum.report.checks.against import against_sheet
    from uniferum.report.checks.verdict import judge, verdict_sheet
    from uniferum.report.tables.rendering import Style, render_sheets, several

    judged = [verdict_sheet(judge(one, found.agreement, found.records), one.metric) for one in made if verdict]
    if against is not None:
        judged += [against_sheet(one, found.records, found.agreement, against) for one in made]
    if judged:
        output.result(render_sheets([_marked(one, found.phantoms) for one in judged], kind))
        return
    output.result(several(made, kind, Style(published, intervals, bold=sys.stdout.isatty())))


def _print_tests(found: "Gathered", tests: Tests, kind: str) -> None:
    from uniferum.report.checks.compare import compare_sheet
    from uniferum.report.checks.encoder_pairs import encoder_sheets
    from uniferum.report.checks.examine import claims_sheet, examine
    from uniferum.report.tables.rendering import render_sheets
    from uniferum.report.tables.row_counts import row_sheets

    records, common = found.records, tests.common
    drawn = row_sheets(records) if tests.rows else []
    drawn += [claims_sheet(examine(records, found.agreement, common=common))] if tests.claims else []
    drawn += [compare_sheet(records, tests.cells, common=common)] if tests.cells else []
    if tests.encoders or tests.named:
        drawn += encoder_sheets(records, found.agreement, tests.named, common=common)
    output.result(render_sheets([_marked(one, found.phantoms) for one in drawn], kind))


def _draw(found: "Gathered", folder: Path, names: list[str], kinds: list[str]) -> None:
    from uniferum.report.figures.catalogue import draw_all

    written = draw_all(found.records, folder, names=names, kinds=kinds)
    output.say(f"{len(written)} files in {folder}")


def _write_page(found: "Gathered", folder: Path, volumes: Path | None, data: Path | None) -> None:
    from cli.volumes import pictures
    from uniferum.preprocessing.store.store import Store
    from uniferum.report.datacard import read_stores
    from uniferum.report.site.page import write_page

    stores = read_stores(data) if data else {name: Store.open(path) for name, path in found.stores.items()}
    shown = pictures(found, volumes) if volumes else None
    path = write_page(folder, found.records, found.pending, found.agreement, data=stores, pictures=shown)
    output.say(f"The page is {path}; open it in a browser, no network is needed.")


def why(
    table: Annotated[str, typer.Argument(help="The table's name, e.g. auroc.")],
    row: Annotated[str, typer.Argument(help="Words that name one row, e.g. 'tiny-64 CTRATE+SEG'.")],
    column: Annotated[str, typer.Argument(help="Words that name one column, e.g. 'INSPECT shared'.")],
    grid: GridOption = None,
    folder: FromOption = None,
    mlflow: MlflowOption = None,
) -> None:
    """Trace a printed number to its runs, fingerprints, commit, data and prediction files."""
    from orchestration.report_source import gather
    from uniferum.report.checks.lineage import trace
    from uniferum.report.tables.catalogue import make_table

    found = gather(grid, folder, mlflow)
    output.say_all(found.notes)
    output.result(trace(make_table(table, found.records, found.pending), row, column, found.records))


def register(app: typer.Typer) -> None:
    """Add the commands to the main application."""
    app.command("report")(report)
    app.command("why")(why)
