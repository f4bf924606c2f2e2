"""Write the page: cells, tables, verdicts, claims, figures, provenance and, if asked for, cases.

Invariant: all content comes from recorded files and is escaped; the page refers to nothing outside its folder.
"""

import base64
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from uniferum.atomic import write_text
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.preprocessing.store.store import Store
from uniferum.report import datacard
from uniferum.report.axes import Varied
from uniferum.report.checks.against import against_sheet
from uniferum.report.checks.claims_table import claims_sheet
from uniferum.report.checks.effect_sheet import effect_sheet
from uniferum.report.checks.effects import effects
from uniferum.report.checks.examine import examine
from uniferum.report.checks.margins import Margins
from uniferum.report.checks.verdict import judge
from uniferum.report.checks.verdict_table import verdict_sheet
from uniferum.report.figures.by_axis import effects_figure, learning_curves
from uniferum.report.figures.catalogue import ByAxis, figures, varied_axes
from uniferum.report.figures.flow import flow_diagram
from uniferum.report.figures.parallel import parallel_coordinates
from uniferum.report.figures.style import as_bytes, look, mark_phantoms
from uniferum.report.guidelines.flow import flow_sheet
from uniferum.report.records import CellRecord, PendingCell
from uniferum.report.site.cases import Pictures, write_cases
from uniferum.report.site.cells import cell_details, config_differences, glance, learning
from uniferum.report.site.heat_map import heat_numbers, label_curves
from uniferum.report.site.overview import overview
from uniferum.report.site.parts import embedded, opened_later, write_data, write_part
from uniferum.report.tables import sheet
from uniferum.report.tables.catalogue import TABLES, make_table
from uniferum.report.tables.naming import of_phantoms, phantom_title, title_of, titled
from uniferum.report.tables.rendering import Style, as_sheet
from uniferum.report.tables.trials import Trials, trials_sheet

HERE = Path(__file__).parent
UPLOT = HERE / "vendor" / "uplot.js"
ELSEWHERE = ("learning-curves-", "effects-", "roc-", "pr-", "flow")
"""Figures that other sections have: effects, the flow of the scans, and the curves of each label."""
FURTHER = re.compile(r"(learning|(decision|calibration)-.+)-\d+")
"""Figures of further cells, which the page leaves out: at 200 cells there are hundreds."""
FIGURES_SAID = (
    "<p>ROC and precision-recall curves of all cells: choose a label in the heat map. Learning curves of each: choose "
    "the cell. Learning, decision and calibration curves have at most eight cells a figure, and here is the first: "
    "<code>uniferum report --figures DIR</code> draws all.</p>"
)
MONTAGES = 2
"""Number of scans of each cohort."""
BANNER = (
    '<p class="banner">This page holds images and predictions of single patients. Data of gated datasets may not be '
    "passed on: keep the page where the data may be.</p>"
)


def write_page(
    folder: Path,
    records: Sequence[CellRecord],
    pending: Sequence[PendingCell],
    agreement: Margins,
    *,
    data: Mapping[str, Store] | None = None,
    pictures: Pictures | None = None,
    by_axis: ByAxis | None = None,
    search: Trials | None = None,
    grid: str = "",
) -> Path:
    """Write ``index.html`` into a folder, and beside it in ``parts`` what is read when it is opened.

    Args:
        folder: it is created if missing.
        records: finished cells.
        pending: expected cells without a result.
        agreement: margins and comparability of the grid file.
        data: prepared stores by cohort, for the data card.
        by_axis: what figures and tables of axes need; default: what the records say of their axes.
        search: adds a section with the trials of a search.
        grid: the name of the grid.
        pictures: adds the hardest cases with their images, in files beside the page, montages and a banner.

    Returns:
        The path of the page.

    Raises:
        UniferumError: a file of a cell is unreadable, or a store of an evaluated cohort is missing.
    """
    phantoms = of_phantoms([*records, *pending])
    by_axis = by_axis or ByAxis(pending)
    varied = varied_axes(records, by_axis)
    judged = judge(make_table("auroc", records, pending), agreement, records) if records else []
    sections = {
        "Overview": overview(records, pending, judged, grid),
        "Heat map": _heat(folder, records),
        "Grid": glance(records, pending),
        "Tables": _later(folder, "tables", "All tables, as the report prints them", _tables(records, pending)),
        "Verdict": _later(
            folder, "verdict", "Each number beside the published ones", _verdicts(records, pending, agreement)
        ),
        "Figures": _later(folder, "figures", "The figures", _figures(records)),
    }
    _write_cells(folder, records)
    if varied:
        drawn = _effects(records, varied, by_axis)
        sections["Effects"] = _later(folder, "effects", "The effect of each axis", drawn)
    if search is not None:
        sections["Search"] = _later(folder, "search", "The trials", _search(search))
    if data:
        drawn = _data(data, montages=pictures is not None, phantoms=phantoms or datacard.of_phantoms(data))
        sections["Data"] = _later(folder, "data", "Counts of scans and labels", drawn)
    if records:
        drawn = _scans(records, by_axis, phantoms=phantoms)
        sections["Scans"] = _later(folder, "scans", "Flow of the scans: found, left out and why, scored", drawn)
    if pictures is not None:
        sections["Cases"] = write_cases(folder, pictures)
    scripts = ["page.js", "heat.js", "views.js", *([] if pictures is None else ["cases.js"])]
    parts = {
        "title": phantom_title("Uniferum report") if phantoms else "Uniferum report",
        "css": "\n".join((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "vendor/uplot.css")),
        "js": "\n".join((HERE / name).read_text(encoding="utf-8") for name in scripts),
        "banner": BANNER if pictures is not None else "",
        "nav": " ".join(f'<a href="#{_id(name)}">{name}</a>' for name in sections),
        "body": "\n".join(
            f'<section id="{_id(name)}"><h2>{name}</h2>\n{text}\n</section>' for name, text in sections.items()
        ),
    }
    text = (HERE / "page.html").read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"{{{{{name}}}}}", part)
    path = folder / "index.html"
    write_text(path, text)
    return path


def _id(name: str) -> str:
    return name.lower().replace(" ", "-")


def _later(folder: Path, name: str, said: str, text: str) -> str:
    """Write a part beside the page, and make the element that opens it."""
    write_part(folder, name, text)
    return opened_later(name, said)


def _heat(folder: Path, records: Sequence[CellRecord]) -> str:
    """Write the curves of each label beside the page, and make the heat map's place and numbers."""
    if not records:
        return "<p>No cell has finished.</p>"
    content = heat_numbers(records)
    index_of = {(one["cohort"], one["group"], one["label"]): at for at, one in enumerate(content["columns"])}
    for column, curves in label_curves(records):
        if column in index_of:
            content["columns"][index_of[column]]["part"] = f"label-{index_of[column]:03d}"
            write_data(folder, f"label-{index_of[column]:03d}", curves)
    write_text(folder / "parts" / UPLOT.name, UPLOT.read_text(encoding="utf-8"))
    return embedded("numbers", content) + (HERE / "heat.html").read_text(encoding="utf-8")


def _write_cells(folder: Path, records: Sequence[CellRecord]) -> None:
    for at, (record, difference) in enumerate(zip(records, config_differences(records), strict=True)):
        content = {"details": cell_details(record), "learning": learning(record), "difference": difference}
        write_data(folder, f"cell-{at:03d}", content)


def scrolled(drawn: Iterable[str]) -> str:
    """Wrap each table in a box that scrolls, because it may be wider than the page."""
    return "\n".join(f'<div class="scroll">{text}</div>' for text in drawn)


def _tables(records: Sequence[CellRecord], pending: Sequence[PendingCell]) -> str:
    style = Style(published=True, intervals=True)
    made = [make_table(name, records, pending, published_rows=True) for name in TABLES] if records else []
    return scrolled(sheet.as_html(as_sheet(table, style)) for table in made if table.rows)


def _verdicts(records: Sequence[CellRecord], pending: Sequence[PendingCell], agreement: Margins) -> str:
    tables = [make_table(name, records, pending) for name in ("auroc", "aupr", "labels")]
    drawn = [verdict_sheet(judge(table, agreement, records), table.metric) for table in tables]
    drawn += [against_sheet(table, records, agreement, "all") for table in tables]
    drawn.append(claims_sheet(examine(records, agreement, common=True)))
    return scrolled(sheet.as_html(titled(one, [*records, *pending])) for one in drawn)


def _effects(records: Sequence[CellRecord], varied: Sequence[Varied], by_axis: ByAxis) -> str:
    """Each axis: the table of its effects, and its figures."""
    parts = []
    for one in varied:
        wanted = by_axis.wanted_of(one)
        computed = effects(one, wanted)
        parts += [f"<h3>{html.escape(one.name)}</h3>", scrolled([sheet.as_html(effect_sheet(one, computed, wanted))])]
        drawn = {
            f"Effects of {one.name}: difference to {one.name}={one.base(wanted.base)}": partial(
                effects_figure, one, computed, wanted
            ),
            f"Learning curves by {one.name}": partial(learning_curves, one),
        }
        with look():
            for title, draw in drawn.items():
                figure = mark_phantoms(draw()) if of_phantoms(records) else draw()
                parts.append(_figure(title_of(title, records), as_bytes(figure, "svg"), "svg+xml"))
    return "\n".join(parts)


def _search(search: Trials) -> str:
    """The table of the trials, and their parallel coordinates."""
    with look():
        figure = _figure(f"Trials of search {search.name}", as_bytes(parallel_coordinates(search), "svg"), "svg+xml")
    return f"{figure}\n{scrolled([sheet.as_html(trials_sheet(search))])}"


def _figures(records: Sequence[CellRecord]) -> str:
    with look():
        drawn = {
            name: as_bytes(draw(records), "svg")
            for name, draw in figures(records).items()
            if not name.startswith(ELSEWHERE) and not FURTHER.fullmatch(name)
        }
    return FIGURES_SAID + "\n".join(_figure(title_of(n, records), svg, "svg+xml") for n, svg in drawn.items())


def _scans(records: Sequence[CellRecord], by_axis: ByAxis, *, phantoms: bool) -> str:
    """The flow of the scans: the diagram of the test scans and the table of all splits."""
    stores = {name: PreparedCohort.open(path) for name, path in by_axis.stores.items()}
    flow = titled(flow_sheet(records, stores, {}), records)
    with look():
        diagram = flow_diagram(flow.rows)
        svg = as_bytes(mark_phantoms(diagram) if phantoms else diagram, "svg")
    return f"{scrolled([sheet.as_html(flow)])}\n{_figure(title_of('Flow of the test scans', records), svg, 'svg+xml')}"


def _data(stores: Mapping[str, Store], *, montages: bool, phantoms: bool) -> str:
    title = phantom_title if phantoms else str
    sheets = [replace(one, title=title(one.title)) for one in datacard.sheets(stores)]
    drawn = [scrolled(sheet.as_html(one) for one in sheets)]
    with look():
        for name, one in datacard.figures(stores).items():
            marked = mark_phantoms(one) if phantoms else one
            drawn.append(_figure(title(name), as_bytes(marked, "svg"), "svg+xml"))
    if montages:
        drawn += [_figure(title(name), png, "png") for name, png in datacard.montages(stores, MONTAGES).items()]
    return "\n".join(drawn)


def _figure(name: str, content: bytes, kind: str) -> str:
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    text = html.escape(name)
    return f'<figure><img alt="{text}" src="{source}"><figcaption>{text}</figcaption></figure>'
