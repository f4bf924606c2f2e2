"""A sheet (headings, rows of text, notes) and its output formats: terminal, Markdown, LaTeX, HTML, CSV, JSON."""

import csv
import html
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: Control characters around emphasised text; each format replaces them.
BOLD, PLAIN = "\x02", "\x03"
LATEX = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "±": r"$\pm$"}
LATEX |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


@dataclass(frozen=True)
class Sheet:
    """Headings and rows of text; the first ``words`` columns are left-aligned, the others hold numbers."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    below: Sequence[str] = ()
    words: int = 1
    starred: str = ""
    """What a star means in the terminal format."""


def emphasised(text: str) -> str:
    """Mark text as emphasised."""
    return f"{BOLD}{text}{PLAIN}"


def terminal(sheet: Sheet, *, bold: bool = False) -> str:
    """Format aligned columns; emphasised text has a star, and is bold if asked for."""
    lines = [[text.replace(BOLD, "").replace(PLAIN, "*") for text in line] for line in (sheet.headings, *sheet.rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(sheet.headings))]
    drawn = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    drawn.insert(1, "  ".join("-" * width for width in widths))
    if bold:
        drawn = [re.sub(r"[\d.]+\*", lambda match: f"\x1b[1m{match.group()}\x1b[0m", line) for line in drawn]
    star = [f"* {sheet.starred}."] if sheet.starred and any(BOLD in text for row in sheet.rows for text in row) else []
    return "\n".join([sheet.title, "", *drawn, "", *star, *sheet.below]) + "\n"


def markdown(sheet: Sheet) -> str:
    """Format a GitHub Markdown table, with the notes as a list."""
    lines = [[_markdown_text(text) for text in line] for line in (sheet.headings, *sheet.rows)]
    drawn = ["| " + " | ".join(line) + " |" for line in lines]
    numbers = len(sheet.headings) - sheet.words
    drawn.insert(1, "|" + "|".join(["---"] * sheet.words + ["---:"] * numbers) + "|")
    return "\n".join([f"**{sheet.title}**", "", *drawn, "", *(f"- {line}" for line in sheet.below)]) + "\n"


def _markdown_text(text: str) -> str:
    return text.replace("|", "\\|").replace(BOLD, "**").replace(PLAIN, "**")


def latex(sheet: Sheet) -> str:
    """Format a LaTeX ``table`` with booktabs rules, with the notes in small print."""
    rows = [" & ".join(latex_text(text) for text in line) + r" \\" for line in (sheet.headings, *sheet.rows)]
    columns = "l" * sheet.words + "r" * (len(sheet.headings) - sheet.words)
    head = [r"\begin{table}", r"\centering", rf"\caption{{{latex_text(sheet.title)}}}"]
    head += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", rows[0], r"\midrule", *rows[1:], r"\bottomrule"]
    said = [r"\par\footnotesize", *(latex_text(line) + r" \\" for line in sheet.below)]
    return "\n".join([*head, r"\end{tabular}", *said, r"\end{table}"]) + "\n"


def latex_text(text: str) -> str:
    """Escape text for LaTeX."""
    escaped = "".join(LATEX.get(letter, letter) for letter in text)
    return escaped.replace(BOLD, r"\textbf{").replace(PLAIN, "}")


def as_html(sheet: Sheet) -> str:
    """Format an HTML table with a caption, with the notes as paragraphs."""
    head = "".join(f"<th>{html.escape(text)}</th>" for text in sheet.headings)
    rows = "\n".join("<tr>" + "".join(f"<td>{html_text(text)}</td>" for text in line) + "</tr>" for line in sheet.rows)
    said = "\n".join(f"<p>{html.escape(line)}</p>" for line in sheet.below)
    caption = f"<caption>{html.escape(sheet.title)}</caption>"
    return f"<table>{caption}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>\n{said}\n"


def html_text(text: str) -> str:
    """Escape text for HTML."""
    return html.escape(text).replace(BOLD, "<b>").replace(PLAIN, "</b>")


def as_csv(sheet: Sheet) -> str:
    """Format headings and rows as CSV, without emphasis."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(sheet.headings)
    writer.writerows([_bare(cell) for cell in row] for row in sheet.rows)
    return text.getvalue()


def as_json(sheet: Sheet) -> str:
    """Format title, rows (one object each) and notes as JSON."""
    rows = [dict(zip(sheet.headings, map(_bare, row), strict=True)) for row in sheet.rows]
    document = {"title": sheet.title, "rows": rows, "notes": list(sheet.below)}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _bare(text: str) -> str:
    return text.replace(BOLD, "").replace(PLAIN, "")


KINDS: dict[str, Callable[[Sheet], str]] = {
    "terminal": terminal,
    "md": markdown,
    "latex": latex,
    "html": as_html,
    "csv": as_csv,
    "json": as_json,
}
