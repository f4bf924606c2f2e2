"""A table in each format that people and programs read: terminal, Markdown, CSV, JSON, LaTeX (booktabs), HTML.

Invariant: all formats print the same numbers; four decimals for people, full precision for programs.
"""

import csv
import html
import io
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from uniferum.errors import UniferumError, near_miss
from uniferum.report.entries import HEADINGS, Entry, Key, ReportTable

NAMES = {
    "uniferum": "Uniferum",
    "cnn": "CNN",
    "ct_net": "CT-NET",
    "ct_clip_zero_shot": "CT-CLIP (zero-shot)",
    "ct_clip_vocabfine": "CT-CLIP (vocabFine)",
    "ct_clip_classfine": "CT-CLIP (classFine)",
    "cnn_transformer": "CNN+Transformer",
    "cnn_draelos": "CNN (Draelos)",
    "pubmedbert": "PubMedBERT",
    "gatortron": "GatorTron",
    "": "-",
}


@dataclass(frozen=True)
class Style:
    """What stands in an entry beside its value."""

    published: bool = False
    intervals: bool = False
    bold: bool = False
    """Terminal only: best of a column in bold, for a terminal that can; a star stands there in any case."""


def render(table: ReportTable, kind: str, style: Style | None = None) -> str:
    """The table as text.

    Raises:
        UniferumError: ``kind`` is no known format.
    """
    if kind not in FORMATS:
        raise UniferumError("--format", kind, must="be a known format", cure=near_miss(kind, FORMATS))
    return FORMATS[kind](table, style or Style())


def row_names(row: Key) -> list[str]:
    """A row's headings as people read them."""
    return [NAMES.get(part, part) for part in row]


def entry_text(entry: Entry, style: Style, mark: Callable[[str], str], *, digits: int = 4) -> str:
    """One place as people read it: value, spread over seeds, interval, the published value in brackets.

    ``mark`` sets off the value of an entry that is the best of its column.
    """
    if not entry.known:
        text = "n/a" if entry.missing.startswith("n/a") else (entry.missing.split(":")[0] or "-")
        text = "-" if text in ("not run", "not evaluated") else text
    else:
        text = f"{entry.value:.{digits}f}"
        text = mark(text) if entry.best else text
        text += f" ±{entry.spread:.{digits}f}" if math.isfinite(entry.spread) else ""
        if style.intervals and math.isfinite(entry.lo):
            text += f" [{entry.lo:.{digits}f}, {entry.hi:.{digits}f}]"
    if style.published:
        text += f" ({entry.published:.{digits}f})" if math.isfinite(entry.published) else " (-)"
    return text


def prevalence_row(table: ReportTable) -> list[str]:
    """For AUPR, what a score at random would reach in each column; empty for other metrics."""
    if table.metric != "aupr" or not {"cohort", "label"} & set(table.column_facts):
        return []
    return [_prevalence(table, column) for column in table.columns]


def _prevalence(table: ReportTable, column: Key) -> str:
    found = {round(entry.prevalence, 4) for (_, at), entry in table.entries.items() if at == column and entry.known}
    shown = sorted(value for value in found if math.isfinite(value))
    if not shown:
        return "-"
    return f"{shown[0]:.4f}" if len(shown) == 1 else f"{shown[0]:.4f} to {shown[-1]:.4f}"


def _grid(table: ReportTable, mark: Callable[[str], str], style: Style) -> list[list[str]]:
    headings = [HEADINGS[name] for name in table.row_facts]
    lines = [[*headings, *(table.heading(column) for column in table.columns)]]
    for row in table.rows:
        entries = [table.entries[row, column] for column in table.columns]
        lines.append([*row_names(row), *(entry_text(entry, style, mark) for entry in entries)])
    prevalence = prevalence_row(table)
    if prevalence:
        blank = [""] * (len(table.row_facts) - 1)
        lines.append([*("Prevalence", *blank)[: len(table.row_facts)], *prevalence])
    return lines


def _below(table: ReportTable, style: Style) -> list[str]:
    said = ["In brackets: the paper's value."] if style.published else []
    return [*said, *table.protocol, *table.notes]


def _terminal(table: ReportTable, style: Style) -> str:
    lines = _grid(table, lambda text: f"{text}*", style)
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    drawn = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    drawn.insert(1, "  ".join("-" * width for width in widths))
    if style.bold:
        drawn = [_bold_starred(line) for line in drawn]
    star = [f"* best of the {table.best_of}."] if any(entry.best for entry in table.entries.values()) else []
    return "\n".join([table.title, "", *drawn, "", *star, *_below(table, style)]) + "\n"


def _bold_starred(line: str) -> str:
    return re.sub(r"[\d.]+\*", lambda found: f"\x1b[1m{found.group()}\x1b[0m", line)


def _markdown(table: ReportTable, style: Style) -> str:
    lines = _grid(table, lambda text: f"**{text}**", style)
    escaped = [[text.replace("|", "\\|") for text in line] for line in lines]
    drawn = ["| " + " | ".join(line) + " |" for line in escaped]
    drawn.insert(1, "|" + "|".join(["---"] * len(table.row_facts) + ["---:"] * len(table.columns)) + "|")
    return "\n".join([f"**{table.title}**", "", *drawn, "", *(f"- {line}" for line in _below(table, style))]) + "\n"


LATEX = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "±": r"$\pm$"}
LATEX |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def _latex(table: ReportTable, style: Style) -> str:
    lines = _grid(table, lambda text: f"\x02{text}\x03", style)
    drawn = [" & ".join(_latex_text(text) for text in line) + r" \\" for line in lines]
    body = [drawn[0], r"\midrule", *drawn[1:]]
    if table.metric == "aupr":
        body.insert(-1, r"\midrule")
    said = [r"\par\footnotesize", *(_latex_text(line) + r" \\" for line in _below(table, style))]
    head = [r"\begin{table}", r"\centering", rf"\caption{{{_latex_text(table.title)}}}"]
    head += [rf"\begin{{tabular}}{{{'l' * len(table.row_facts)}{'r' * len(table.columns)}}}", r"\toprule"]
    return "\n".join([*head, *body, r"\bottomrule", r"\end{tabular}", *said, r"\end{table}"]) + "\n"


def _latex_text(text: str) -> str:
    escaped = "".join(LATEX.get(letter, letter) for letter in text)
    return escaped.replace("\x02", r"\textbf{").replace("\x03", "}")


def _html(table: ReportTable, style: Style) -> str:
    lines = _grid(table, lambda text: f"\x02{text}\x03", style)
    head = "".join(f"<th>{html.escape(text)}</th>" for text in lines[0])
    rows = "\n".join("<tr>" + "".join(f"<td>{_html_text(text)}</td>" for text in line) + "</tr>" for line in lines[1:])
    said = "\n".join(f"<p>{html.escape(line)}</p>" for line in _below(table, style))
    caption = f"<caption>{html.escape(table.title)}</caption>"
    return f"<table>{caption}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>\n{said}\n"


def _html_text(text: str) -> str:
    return html.escape(text).replace("\x02", "<b>").replace("\x03", "</b>")


def long_rows(table: ReportTable) -> list[dict[str, Any]]:
    """One mapping a place of the table, absent numbers ``None``; what CSV and JSON hold."""
    found = []
    for row in table.rows:
        for column in table.columns:
            facts = dict(zip((*table.row_facts, *table.column_facts), (*row, *column), strict=True))
            entry = {key: _plain(value) for key, value in asdict(table.entries[row, column]).items()}
            found.append({"table": table.name, "metric": table.metric, **facts, **entry})
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return list(value) if isinstance(value, tuple) else value


def _csv(table: ReportTable, style: Style) -> str:
    lines = long_rows(table)
    text = io.StringIO()
    keys = list(lines[0]) if lines else ["table", "metric"]
    writer = csv.DictWriter(text, keys, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**line, "cells": " ".join(line["cells"])} for line in lines)
    return text.getvalue()


def _json(table: ReportTable, style: Style) -> str:
    document = {"table": table.name, "title": table.title, "metric": table.metric, "entries": long_rows(table)}
    document |= {"protocol": list(table.protocol), "notes": list(table.notes)}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[ReportTable, Style], str]] = {
    "terminal": _terminal,
    "md": _markdown,
    "csv": _csv,
    "json": _json,
    "latex": _latex,
    "html": _html,
}


def several(tables: Sequence[ReportTable], kind: str, style: Style) -> str:
    """Several tables in one text, one after the other; JSON as a list."""
    if kind == "json" and len(tables) != 1:
        return json.dumps([json.loads(_json(table, style)) for table in tables], indent=2, ensure_ascii=False) + "\n"
    return "\n".join(render(table, kind, style) for table in tables)
