"""Rows of text in each format that people read, and as CSV and JSON for programs.

Invariant: a cell's emphasis and the lines below travel with the text through every format.
"""

import csv
import html
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: Marks around emphasised text, which no input holds; each format replaces them.
BOLD, PLAIN = "\x02", "\x03"
LATEX = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "±": r"$\pm$"}
LATEX |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


@dataclass(frozen=True)
class Sheet:
    """Headings and rows of text; ``words`` of the headings are left-aligned, the rest are numbers."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    below: Sequence[str] = ()
    words: int = 1
    starred: str = ""
    """What a star means, for the format that marks emphasis with one."""


def emphasised(text: str) -> str:
    """Text set off in each format's own way."""
    return f"{BOLD}{text}{PLAIN}"


def terminal(sheet: Sheet, *, bold: bool = False) -> str:
    """Aligned columns; emphasis is a star, and bold where the terminal can."""
    lines = [[text.replace(BOLD, "").replace(PLAIN, "*") for text in line] for line in (sheet.headings, *sheet.rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(sheet.headings))]
    drawn = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    drawn.insert(1, "  ".join("-" * width for width in widths))
    if bold:
        drawn = [re.sub(r"[\d.]+\*", lambda found: f"\x1b[1m{found.group()}\x1b[0m", line) for line in drawn]
    star = [f"* {sheet.starred}."] if sheet.starred and any(BOLD in text for row in sheet.rows for text in row) else []
    return "\n".join([sheet.title, "", *drawn, "", *star, *sheet.below]) + "\n"


def markdown(sheet: Sheet) -> str:
    """A table of GitHub's Markdown, the lines below as a list."""
    lines = [[_markdown_text(text) for text in line] for line in (sheet.headings, *sheet.rows)]
    drawn = ["| " + " | ".join(line) + " |" for line in lines]
    numbers = len(sheet.headings) - sheet.words
    drawn.insert(1, "|" + "|".join(["---"] * sheet.words + ["---:"] * numbers) + "|")
    return "\n".join([f"**{sheet.title}**", "", *drawn, "", *(f"- {line}" for line in sheet.below)]) + "\n"


def _markdown_text(text: str) -> str:
    return text.replace("|", "\\|").replace(BOLD, "**").replace(PLAIN, "**")


def latex(sheet: Sheet) -> str:
    """A ``table`` with booktabs' rules, the lines below in small print."""
    rows = [" & ".join(latex_text(text) for text in line) + r" \\" for line in (sheet.headings, *sheet.rows)]
    columns = "l" * sheet.words + "r" * (len(sheet.headings) - sheet.words)
    head = [r"\begin{table}", r"\centering", rf"\caption{{{latex_text(sheet.title)}}}"]
    head += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", rows[0], r"\midrule", *rows[1:], r"\bottomrule"]
    said = [r"\par\footnotesize", *(latex_text(line) + r" \\" for line in sheet.below)]
    return "\n".join([*head, r"\end{tabular}", *said, r"\end{table}"]) + "\n"


def latex_text(text: str) -> str:
    """Text with LaTeX's own letters escaped."""
    escaped = "".join(LATEX.get(letter, letter) for letter in text)
    return escaped.replace(BOLD, r"\textbf{").replace(PLAIN, "}")


def as_html(sheet: Sheet) -> str:
    """A table with a caption, the lines below as paragraphs."""
    head = "".join(f"<th>{html.escape(text)}</th>" for text in sheet.headings)
    rows = "\n".join("<tr>" + "".join(f"<td>{html_text(text)}</td>" for text in line) + "</tr>" for line in sheet.rows)
    said = "\n".join(f"<p>{html.escape(line)}</p>" for line in sheet.below)
    caption = f"<caption>{html.escape(sheet.title)}</caption>"
    return f"<table>{caption}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>\n{said}\n"


def html_text(text: str) -> str:
    """Text with HTML's own letters escaped."""
    return html.escape(text).replace(BOLD, "<b>").replace(PLAIN, "</b>")


def as_csv(sheet: Sheet) -> str:
    """Headings and rows, without emphasis."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(sheet.headings)
    writer.writerows([_bare(cell) for cell in row] for row in sheet.rows)
    return text.getvalue()


def as_json(sheet: Sheet) -> str:
    """Title, one mapping a row, and the lines below."""
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
