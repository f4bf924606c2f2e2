"""What `uniferum report` prints and writes: tables, tests, figures, a page, and the data card of prepared stores."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cli import output

if TYPE_CHECKING:
    from orchestration.report_source import Gathered
    from uniferum.preprocessing.store.store import Store
    from uniferum.report.checks.effects import Wanted
    from uniferum.report.figures.catalogue import ByAxis
    from uniferum.report.records import RowKey
    from uniferum.report.tables.entries import ReportTable
    from uniferum.report.tables.sheet import Sheet


@dataclass(frozen=True)
class Drawing:
    """The figures that are drawn: their folder, names (all if empty), file formats, and montages a cohort."""

    folder: Path | None
    names: Sequence[str]
    formats: list[str]
    montages: int
    style: str = "screen"


@dataclass(frozen=True)
class Page:
    """The page: its folder, and what it shows beside the cells.

    ``volumes`` is a folder of prepared stores of which images are shown, ``data`` one of stores that are counted (by
    default those of the images, else those of the grid), ``search`` a search whose trials are shown.
    """

    folder: Path | None
    volumes: Path | None
    data: Path | None
    search: Path | None


@dataclass(frozen=True)
class Guidelines:
    """Options of the tables that reporting guidelines ask for (:mod:`uniferum.report.guidelines`)."""

    threshold: str = "youden"
    probabilities: str = ""
    by: str = ""
    metadata: Sequence[str] = ()
    smallest: int = 20


@dataclass(frozen=True)
class Selection:
    """The tables that are printed: by name, or one of the user's own rows and columns."""

    names: Sequence[str]
    rows: str | None
    columns: str
    metric: str
    only: Mapping[str, str]
    published: bool
    intervals: bool
    protocol: bool = False
    guidelines: Guidelines = Guidelines()


@dataclass(frozen=True)
class Judgement:
    """Whether numbers are judged against the paper's, which published values are set beside them, and the margins."""

    verdict: bool
    against: str | None
    attainable: bool = False


@dataclass(frozen=True)
class Tests:
    """The tests that are run on the cells, and whether the rows that they were trained on are printed."""

    claims: bool
    cells: Sequence[str]
    encoders: bool
    named: Sequence[str]
    common: bool
    rows: bool
    vary: Sequence[str] = ()
    base: str | None = None

    @property
    def wanted(self) -> bool:
        """Whether there is any."""
        return bool(self.claims or self.cells or self.encoders or self.named or self.rows or self.vary)

    def wanted_of(self, selection: Selection) -> "Wanted":
        """Which numbers effects compare."""
        from uniferum.report.checks.effects import Wanted

        return Wanted(selection.metric, selection.only, self.base, self.common)


def only_auroc(selection: Selection) -> bool:
    """Whether AUROC is the only stored metric of the tables that are asked for; those of guidelines use none."""
    from uniferum.report.guidelines.catalogue import NAMES
    from uniferum.report.tables.catalogue import TABLES

    if selection.rows is not None:
        return selection.metric == "auroc"
    names = [name for name in selection.names if name not in NAMES]
    return selection.metric == "auroc" and all(n in TABLES and TABLES[n].metric == "auroc" for n in names)


def read_cells(
    grid: Path | None,
    folder: Path | None,
    mlflow: str | None,
    *,
    recompute: bool = False,
    unit: str = "volume",
    full: bool = True,
) -> "Gathered":
    """Read the recorded cells, and say what was noticed.

    Args:
        grid: the grid file.
        folder: cell folders, instead of MLflow.
        mlflow: address of the MLflow server.
        recompute: compute all scores again from the prediction files.
        unit: what one case is; scores of another unit than the volume are always computed again.
        full: compute all metrics and intervals again, not those of AUROC alone.
    """
    from orchestration.report_source import gather
    from uniferum.evaluation.units import check_unit
    from uniferum.report.recompute import by_unit, recomputed

    check_unit(unit)
    cells = gather(grid, folder, mlflow, say=output.say)
    if not recompute and unit == "volume":
        return cells
    return replace(cells, records=recomputed(by_unit(cells.records, unit), full=full))


def print_data(root: Path, kind: str, drawing: Drawing, grid: Path | None) -> None:
    """Print the data card of prepared stores, and draw its figures."""
    from uniferum.report import datacard

    stores = datacard.read_stores(root)
    phantoms = datacard.of_phantoms(stores) or (grid is not None and _of_phantoms(grid))
    print_sheets(datacard.sheets(stores), kind, phantoms=phantoms)
    if drawing.folder is not None:
        _draw_data(stores, drawing.folder, drawing, phantoms)


def _draw_data(stores: "dict[str, Store]", folder: Path, drawing: Drawing, phantoms: bool) -> None:
    from uniferum.report import datacard
    from uniferum.report.figures.style import look, mark_phantoms, save

    with look():
        drawn = datacard.figures(stores)
        if phantoms:
            drawn = {name: mark_phantoms(figure) for name, figure in drawn.items()}
        written = [
            path
            for name, figure in drawn.items()
            for path in save(figure, folder, name, drawing.formats, style=drawing.style)
        ]
    pictures = datacard.montages(stores, drawing.montages)
    for name, png in pictures.items():
        (folder / f"{name}.png").write_bytes(png)
    output.say(f"{len(written) + len(pictures)} files in {folder}")
    if pictures:
        output.say("Montages are images of single patients: keep them where the data may be.")


def _of_phantoms(grid: Path) -> bool:
    from orchestration.grid.config import load_grid

    return load_grid(grid).synthetic


def _marked(sheet: "Sheet", phantoms: bool) -> "Sheet":
    from uniferum.report.tables.naming import phantom_title

    return replace(sheet, title=phantom_title(sheet.title)) if phantoms else sheet


def terminal_width() -> int | None:
    """Letters in a line of the terminal, or ``COLUMNS``; None in a pipe, where no line is wrapped."""
    fits = sys.stdout.isatty() or os.environ.get("COLUMNS")
    return shutil.get_terminal_size((80, 24)).columns if fits else None


def print_sheets(sheets: "Sequence[Sheet]", kind: str, *, phantoms: bool) -> None:
    """Print sheets on standard output; in CSV, which has rows alone, the lines below them go to standard error."""
    from uniferum.report.tables.rendering import render_sheets

    output.result(render_sheets([_marked(sheet, phantoms) for sheet in sheets], kind, width=terminal_width()))
    if kind == "csv":
        output.say_all(line for sheet in sheets for line in sheet.below)


def print_results(cells: "Gathered", tests: Tests, selection: Selection, judgement: Judgement, kind: str) -> None:
    """Print the results of tests, or tables if no test is asked for."""
    if tests.wanted:
        _print_tests(cells, tests, selection, kind)
    elif judgement.attainable:
        print_sheets([_attainable(cells)], kind, phantoms=cells.phantoms)
    else:
        _print_tables(cells, selection, judgement, kind)


def _attainable(cells: "Gathered") -> "Sheet":
    """Which margin can be decided by column, from finished cells, else from the stores of the grid."""
    from uniferum.data.prepared_cohort import PreparedCohort
    from uniferum.report.checks.attainable import attainable_sheet, counts_of_record, counts_of_store

    of_stores = [counts_of_store(PreparedCohort.open(path), name) for name, path in cells.stores.items()]
    counts = {key: one for of in (*of_stores, *map(counts_of_record, cells.records)) for key, one in of.items()}
    seeds: dict[RowKey, set[int]] = {}
    for one in (*cells.records, *cells.pending):
        seeds.setdefault(one.row, set()).add(one.seed)
    return attainable_sheet(counts.values(), cells.agreement, max(map(len, seeds.values()), default=1))


def _print_tables(cells: "Gathered", selection: Selection, judgement: Judgement, kind: str) -> None:
    """Print tables, or what they are judged to be."""
    from uniferum.report.checks.against import against_sheet
    from uniferum.report.checks.verdict import judge
    from uniferum.report.checks.verdict_table import verdict_sheet
    from uniferum.report.guidelines.catalogue import NAMES
    from uniferum.report.tables.pivot import LEFT_OUT, MEANS_OVER
    from uniferum.report.tables.rendering import Style, several

    asked = [name for name in selection.names if name in NAMES and selection.rows is None]
    if asked:
        print_sheets(_guidelines(cells, selection, asked, kind), kind, phantoms=cells.phantoms)
        selection = replace(selection, names=[name for name in selection.names if name not in NAMES])
        if not selection.names:
            return
    tables, sheets = _tables(cells, selection), []
    if judgement.verdict:
        sheets += [verdict_sheet(judge(one, cells.agreement, cells.records), one.metric) for one in tables]
    if judgement.against is not None:
        sheets += [against_sheet(one, cells.records, cells.agreement, judgement.against) for one in tables]
    if sheets:
        print_sheets(sheets, kind, phantoms=cells.phantoms)
    else:
        style = Style(
            selection.published,
            selection.intervals,
            bold=sys.stdout.isatty(),
            protocol=selection.protocol,
            width=terminal_width(),
        )
        output.result(several(tables, kind, style))
        if kind == "csv":  # its rows have no place for what they average
            lines = dict.fromkeys(line for table in tables for line in table.protocol)
            output.say_all(line for line in lines if line.startswith((MEANS_OVER, LEFT_OUT)))


def _guidelines(cells: "Gathered", chosen: Selection, names: Sequence[str], kind: str) -> "list[Sheet]":
    from uniferum.report.guidelines.catalogue import GuidelineOptions, guideline_sheet
    from uniferum.report.tables.naming import with_unit

    given, records = chosen.guidelines, cells.records
    options = GuidelineOptions(given.threshold, given.by, given.metadata, given.smallest, given.probabilities)
    sheets = [
        guideline_sheet(name, records, cells.stores, chosen.only, options, intervals=chosen.intervals, kind=kind)
        for name in names
    ]
    return [with_unit(one, records) for one in sheets]


def _tables(cells: "Gathered", chosen: Selection) -> "list[ReportTable]":
    from uniferum.report.tables.catalogue import make_table
    from uniferum.report.tables.pivot import SMALLER_IS_BETTER, Layout, pivot_table
    from uniferum.report.tables.roles import with_roles

    records, pending, published = cells.records, cells.pending, chosen.published
    if chosen.rows is None:
        return [make_table(n, records, pending, published_rows=published, where=chosen.only) for n in chosen.names]
    rows, columns = ([name.strip() for name in text.split(",")] for text in (chosen.rows, chosen.columns))
    layout = Layout(tuple(rows), tuple(columns), chosen.metric, chosen.only, axes=cells.axes)
    table = pivot_table("own", records, pending, layout, published_rows=published)
    return [with_roles(table, records, smallest=layout.metric in SMALLER_IS_BETTER)]


def _print_tests(cells: "Gathered", tests: Tests, selection: Selection, kind: str) -> None:
    """Print the results of tests on the cells; of ``selection`` effects take the metric and its limits."""
    from uniferum.report.axes import find_varied
    from uniferum.report.checks.claims_table import claims_sheet
    from uniferum.report.checks.compare import compare_sheet
    from uniferum.report.checks.effect_sheet import effect_sheet
    from uniferum.report.checks.effects import effects
    from uniferum.report.checks.encoder_pairs import encoder_sheets
    from uniferum.report.checks.examine import examine
    from uniferum.report.tables.naming import with_unit
    from uniferum.report.tables.row_counts import row_sheets

    records, common = cells.records, tests.common
    sheets = row_sheets(records) if tests.rows else []
    sheets += [claims_sheet(examine(records, cells.agreement, common=common))] if tests.claims else []
    sheets += [compare_sheet(records, tests.cells, common=common)] if tests.cells else []
    if tests.encoders or tests.named:
        sheets += encoder_sheets(records, cells.agreement, tests.named, common=common)
    wanted = tests.wanted_of(selection)
    for varied in [find_varied(name, [*records, *cells.pending], cells.axes) for name in tests.vary]:
        sheets.append(effect_sheet(varied, effects(varied, wanted), wanted))
    print_sheets([with_unit(one, records) for one in sheets], kind, phantoms=cells.phantoms)


def write_files(cells: "Gathered", drawing: Drawing, page: Page, tests: Tests, selection: Selection) -> None:
    """Draw the figures of the cells into their folder, and write the page, where they are asked for.

    Args:
        cells: recorded cells, and the axes of their grid.
        drawing: which figures are drawn; none without a folder.
        page: the page; none without a folder.
        tests: the axes and keys of ``--vary``, which have figures too.
        selection: the metric of these figures, and its limits.
    """
    if drawing.folder is None and page.folder is None:
        return
    from uniferum.report.figures.catalogue import ByAxis, draw_all

    by_axis = ByAxis(cells.pending, cells.axes, tests.vary, cells.stores, tests.wanted_of(selection))
    if drawing.folder is not None:
        names, kinds = drawing.names, drawing.formats
        written = draw_all(
            cells.records, drawing.folder, names=names, kinds=kinds, by_axis=by_axis, style=drawing.style
        )
        output.say(f"{len(written)} files in {drawing.folder}")
    if page.folder is not None:
        _write_page(cells, page.folder, page, by_axis)


def _write_page(cells: "Gathered", folder: Path, page: Page, by_axis: "ByAxis") -> None:
    from cli.volumes import pictures
    from cli.whole_folder import whole_folder
    from orchestration.search.trials import read_trials
    from uniferum.preprocessing.store.store import Store
    from uniferum.report.datacard import read_stores
    from uniferum.report.site.page import write_page

    counted = page.data or page.volumes
    stores = read_stores(counted) if counted else {name: Store.open(path) for name, path in cells.stores.items()}
    if counted:
        by_axis = replace(by_axis, stores={name: Path(store.url) for name, store in stores.items()})
    with whole_folder(folder) as draft:
        write_page(
            draft,
            cells.records,
            cells.pending,
            cells.agreement,
            data=stores,
            pictures=pictures(cells, page.volumes) if page.volumes else None,
            by_axis=by_axis,
            search=read_trials(page.search) if page.search else None,
            grid=cells.name,
        )
    path = folder / "index.html"
    output.say(f"The page is {path}; open it in a browser, no network is needed.")
