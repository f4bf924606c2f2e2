"""Render tables as terminal text, Markdown, LaTeX, HTML, CSV or JSON.

Invariant: all formats print the same numbers; CSV and JSON in full precision, the others with four decimals.
"""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from uniferum.errors import UniferumError, near_miss
from uniferum.report.systems import PAPER_TEXT, shown_encoder
from uniferum.report.tables import sheet
from uniferum.report.tables.entries import HEADINGS, Entry, Key, ReportTable
from uniferum.report.tables.folding import folded, shared_once
from uniferum.report.tables.roles import LETTERS, role_line, shown_roles
from uniferum.report.tables.sheet import Sheet, emphasised
from uniferum.systems import SYSTEMS

WAYS = {
    "ct_clip_zero_shot": "CT-CLIP (zero-shot)",
    "ct_clip_vocabfine": "CT-CLIP (vocabFine)",
    "ct_clip_classfine": "CT-CLIP (classFine)",
    "ct_clip_contrastive": "CT-CLIP (contrastive)",
}
"""Titles of the ways of CT-CLIP, each a row of its own (:func:`uniferum.report.cited_systems.row_model`)."""
_WORDS = {**WAYS, **PAPER_TEXT, "": "-"}


@dataclass(frozen=True)
class Style:
    """What is printed beside a value."""

    published: bool = False
    intervals: bool = False
    bold: bool = False
    """Print the best value in bold on a terminal; it has a star in any case."""
    protocol: bool = False
    """Print the whole protocol below the table."""
    width: int | None = None
    """Letters that fit into a line of the terminal; None: any number."""


def render(table: ReportTable, kind: str, style: Style | None = None) -> str:
    """Render a table as text.

    Raises:
        UniferumError: the format is unknown.
    """
    style = style or Style()
    check_kind(kind)
    if kind == "csv":
        return _csv([table])
    if kind == "json":
        return json.dumps(as_document(table), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return render_sheet(as_sheet(table, style), kind, bold=style.bold, width=style.width)


def render_sheet(drawn: Sheet, kind: str, *, bold: bool = False, width: int | None = None) -> str:
    """Render a sheet as text.

    Raises:
        UniferumError: the format is unknown.
    """
    check_kind(kind)
    return sheet.terminal(drawn, bold=bold, width=width) if kind == "terminal" else sheet.KINDS[kind](drawn)


def render_sheets(drawn: Sequence[Sheet], kind: str, *, bold: bool = False, width: int | None = None) -> str:
    """Render several sheets, one after the other; in JSON as one list, in CSV as one table.

    Raises:
        UniferumError: the format is unknown.
    """
    check_kind(kind)
    if kind == "csv" and len(drawn) > 1:
        return sheet.joined_csv(drawn)
    texts = [render_sheet(one, kind, bold=bold, width=width) for one in drawn]
    if kind == "json" and len(texts) != 1:
        return json.dumps([json.loads(text) for text in texts], indent=2, ensure_ascii=False) + "\n"
    return "\n".join(texts)


def check_kind(kind: str) -> None:
    """Check the name of a format.

    Raises:
        UniferumError: the format is unknown.
    """
    if kind not in sheet.KINDS:
        raise UniferumError("--format", kind, must="be a known format", cure=near_miss(kind, sheet.KINDS))


def several(tables: Sequence[ReportTable], kind: str, style: Style) -> str:
    """Render several tables, one after the other; in JSON as one list, in CSV as one table with all columns."""
    check_kind(kind)
    if len(tables) == 1:
        return render(tables[0], kind, style)
    if kind == "json":
        documents = [as_document(table) for table in tables]
        return json.dumps(documents, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if kind == "csv":
        return _csv(tables)
    sheets = shared_once([as_sheet(table, style) for table in tables])
    return render_sheets(sheets, kind, bold=style.bold, width=style.width)


def as_sheet(table: ReportTable, style: Style) -> Sheet:
    """Convert a table to a sheet; published values are left out if the paper has none for this table."""
    printed = any(math.isfinite(entry.published) for entry in table.entries.values())
    style, columns = replace(style, published=style.published and printed), table.columns
    letters = len(shown_roles(table)) > 1
    rows = [
        [
            *row_names(row),
            *(
                entry_text(table.entries[row, at], style, mark=_marks(table, row, at), letters=letters)
                for at in columns
            ),
        ]
        for row in table.rows
    ]
    prevalence = prevalence_row(table)
    if prevalence:
        rows.append([*("Prevalence", *[""] * (len(table.row_facts) - 1)), *prevalence])
    brief, rest = folded(table)
    said = [*([IN_BRACKETS] if style.published else []), *([line] if (line := role_line(table)) else [])]
    alike = " among cells of the same role" if len(shown_roles(table)) > 1 else ""
    return Sheet(
        table.title,
        [*(HEADINGS.get(name, name) for name in table.row_facts), *(table.heading(column) for column in table.columns)],
        rows,
        [*said, *(table.protocol if style.protocol else brief), *table.notes],
        words=len(table.row_facts),
        starred=f"best of the {table.best_of}{alike}",
        folded=[] if style.protocol else rest,
    )


IN_BRACKETS = "In brackets: the paper's value."


def _marks(table: ReportTable, row: Key, column: Key) -> str:
    return table.own_labels(row, column) + table.own_folds(row, column)


def row_names(row: Key) -> list[str]:
    """The printed names of a row."""
    return [shown_name(part) for part in row]


def shown_name(part: str) -> str:
    """The title of a system, the hub id of a text encoder, or the word itself."""
    if part in SYSTEMS:
        return SYSTEMS[part].title
    return _WORDS.get(part, part)


def entry_text(entry: Entry, style: Style, *, digits: int = 4, mark: str = "", letters: bool = False) -> str:
    """Format an entry: value, letter of its role, standard deviation, interval, mark, published value in brackets."""
    text = (
        _number(replace(entry, role=entry.role if letters else ""), style, digits) + mark
        if entry.known
        else _absence(entry)
    )
    if style.published:
        text += f" ({_printed(entry, style, digits)})"
    return text


def _printed(entry: Entry, style: Style, digits: int) -> str:
    if not math.isfinite(entry.published):
        return "-"
    half = style.intervals and math.isfinite(entry.published_half_width)
    return f"{entry.published:.{digits}f}" + (f" ±{entry.published_half_width:.{digits}f}" if half else "")


def _number(entry: Entry, style: Style, digits: int) -> str:
    value = f"{entry.value:.{digits}f}"
    text = (emphasised(value) if entry.best else value) + LETTERS.get(entry.role, "")
    text += f" ±{entry.spread:.{digits}f}" if math.isfinite(entry.spread) else ""
    return text + (_interval(entry, digits) if style.intervals else "")


def _interval(entry: Entry, digits: int) -> str:
    """The interval with what it is around, and the gain over the prevalence; or why there is none."""
    if not math.isfinite(entry.lo):
        return f" [{entry.reason}]" if entry.reason else ""
    text = f" [{entry.lo:.{digits}f}, {entry.hi:.{digits}f}]"
    if not math.isfinite(entry.corrected):
        return text
    return f" (gain {entry.value - entry.prevalence:+.{digits}f}; corrected {entry.corrected:.{digits}f}{text})"


def _absence(entry: Entry) -> str:
    if entry.missing.startswith("n/a"):
        return "n/a"
    short = entry.missing.split(":")[0]
    return "-" if short in ("", "not run", "not evaluated") else short


def prevalence_row(table: ReportTable) -> list[str]:
    """For AUPR, the prevalence in each column, which a random score reaches; empty for other metrics."""
    if table.metric != "aupr" or not {"cohort", "label"} & set(table.column_facts):
        return []
    return [_prevalence(table, column) for column in table.columns]


def _prevalence(table: ReportTable, column: Key) -> str:
    values = {round(entry.prevalence, 4) for (_, at), entry in table.entries.items() if at == column and entry.known}
    shown = sorted(value for value in values if math.isfinite(value))
    if not shown:
        return "-"
    return f"{shown[0]:.4f}" if len(shown) == 1 else f"{shown[0]:.4f} to {shown[-1]:.4f}"


def long_rows(table: ReportTable) -> list[dict[str, Any]]:
    """Make the rows of CSV and JSON: one dictionary for each entry, in which missing numbers are None."""
    lines = []
    for row in table.rows:
        for column in table.columns:
            facts = dict(zip((*table.row_facts, *table.column_facts), (*row, *column), strict=True))
            if "text_encoder" in facts:
                facts["text_encoder"] = shown_encoder(facts["text_encoder"])
            one = table.entries[row, column]
            entry = {key: plain(value) for key, value in asdict(one).items()}
            entry |= {"gain": plain(one.value - one.prevalence)} if table.metric == "aupr" else {}
            named = {"table": table.name, "metric": table.metric} | ({"data": "phantoms"} if table.phantoms else {})
            lines.append({**named, **facts, **entry})
    return lines


def plain(value: Any) -> Any:
    """Convert a value to a JSON type."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return list(value) if isinstance(value, tuple) else value


def as_document(table: ReportTable) -> dict[str, Any]:
    """Convert a table to a JSON document."""
    document = {"table": table.name, "title": table.title, "metric": table.metric, "entries": long_rows(table)}
    return document | {"protocol": list(table.protocol), "notes": list(table.notes)}


def _csv(tables: Sequence[ReportTable]) -> str:
    lines = [line for table in tables for line in long_rows(table)]
    text = io.StringIO()
    names = _columns(lines, [name for table in tables for name in (*table.row_facts, *table.column_facts)])
    writer = csv.DictWriter(text, names or ["table", "metric"], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({**line, "cells": " ".join(line["cells"])} for line in lines)
    return text.getvalue()


def _columns(lines: Sequence[dict[str, Any]], facts: Sequence[str]) -> list[str]:
    """The columns of rows: those that name a table, the facts of all tables, then the numbers."""
    names = dict.fromkeys(name for line in lines for name in line)
    first = [name for name in ("table", "metric", "data") if name in names]
    return list(dict.fromkeys((*first, *(fact for fact in facts if fact in names), *names)))
