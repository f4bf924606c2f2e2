"""A sheet (headings, rows of text, notes) and its output formats: terminal, Markdown, LaTeX, HTML, CSV, JSON."""

import csv
import html
import io
import json
import math
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from uniferum.report.tables.fitting import Block, fitted
from uniferum.report.tables.rounded import Rounded

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
    """What a star, or bold print, means."""
    folded: Sequence[str] = ()
    """Lines of the protocol that are not printed unless asked for; on a page they can be opened."""


def emphasised(text: str) -> str:
    """Mark text as emphasised."""
    return f"{BOLD}{text}{PLAIN}"


def terminal(sheet: Sheet, *, bold: bool = False, width: int | None = None) -> str:
    """Format aligned columns; emphasised text has a star, and is bold if asked for.

    Args:
        sheet: the sheet.
        bold: print emphasised text in bold.
        width: wrap headings, words and notes to this width, and print columns that do not fit in blocks below; None:
            as wide as the sheet is.
    """
    heads, *rows = [[text.replace(BOLD, "").replace(PLAIN, "*") for text in line] for line in _lines(sheet)]
    room = math.inf if width is None else width
    blocks = fitted(heads, rows, sheet.words, room, tight=1)
    drawn = "\n\n".join("\n".join(_drawn(block, room)) for block in blocks)
    if bold:
        drawn = re.sub(r"[\d.]+\*", lambda match: f"\x1b[1m{match.group()}\x1b[0m", drawn)
    star = [f"* {sheet.starred}."] if sheet.starred and _has_best(sheet) else []
    said = [_filled(line, width) for line in (*star, *sheet.below)]
    return "\n".join([_filled(sheet.title, width), "", drawn, "", *said]) + "\n"


def _lines(sheet: Sheet) -> Iterator[Sequence[str]]:
    yield sheet.headings
    yield from sheet.rows


def _has_best(sheet: Sheet) -> bool:
    return any(BOLD in text for row in sheet.rows for text in row)


def _drawn(block: Block, room: float) -> Iterator[str]:
    """The lines of a block: headings, a rule, rows."""
    widths = [int(width) for width in block.widths]
    between = "  " if sum(widths) + 2 * (len(widths) - 1) <= room else " "
    for at, row in enumerate((block.headings, *block.rows)):
        for texts in zip_longest(*row, fillvalue=""):
            yield between.join(text.ljust(width) for text, width in zip(texts, widths, strict=True)).rstrip()
        if at == 0:
            yield between.join("-" * width for width in widths)


def _filled(line: str, width: int | None) -> str:
    """Wrap a line of prose; further lines are indented."""
    if width is None:
        return line
    return textwrap.fill(line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


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
    r"""Format LaTeX ``table``s with booktabs rules that fit the text width, with the notes in small print.

    Headings and words are wrapped. Columns that do not fit stand in further tables, and so do rows beyond one page.
    A table that is still too wide, because of the document's font or margins, is made smaller.
    """
    heads, *rows = [list(line) for line in _lines(sheet)]
    blocks = fitted(heads, rows, sheet.words, TEXT_WIDTH_PT, gap=GAP_PT, measure=printed_pt)
    parts = [(block, some) for block in blocks for some in _pages(block)]
    star = f" Bold: {sheet.starred}." if sheet.starred and _has_best(sheet) else ""
    caption = sheet.title if sheet.title.endswith(".") else f"{sheet.title}."
    lines = ["% needs \\usepackage{booktabs,graphicx}"]
    for at, (block, some) in enumerate(parts):
        continued = f" Part {at + 1} of {len(parts)}." if len(parts) > 1 else ""
        lines += [r"\begin{table}", r"\centering", r"\footnotesize", rf"\setlength{{\tabcolsep}}{{{GAP_PT / 2:g}pt}}"]
        lines += [rf"\caption{{{latex_text(caption + continued + star)}}}", *_tabular(block, some, sheet.words)]
        if at == len(parts) - 1 and sheet.below:
            lines.append(r"\par\smallskip\parbox{\linewidth}{\raggedright\scriptsize")
            lines += [*(latex_text(line) + r"\\" for line in sheet.below), "}"]
        lines.append(r"\end{table}")
    return "\n".join(lines) + "\n"


TEXT_WIDTH_PT, GAP_PT = 345.0, 6.0
"""Text width of LaTeX's article class at 10 pt, the narrowest that is common, and the space between two columns."""
PAGE_LINES = 46
"""Lines of a table in footnote size on one page, beside its caption."""
LETTER_PT = {
    " ": 2.8,
    ".": 2.4,
    ",": 2.4,
    "-": 2.9,
    "[": 2.4,
    "]": 2.4,
    "(": 3.4,
    ")": 3.4,
    "_": 4.3,
    "±": 6.6,
    "+": 6.6,
}


def printed_pt(text: str) -> float:
    """Width of a text in Computer Modern at 8 pt, which LaTeX's footnote size is, in points; rather too large."""
    plain = _bare(text)
    letters = sum(LETTER_PT.get(letter, 6.3 if letter.isupper() else 4.4) for letter in plain)
    return letters * (1.15 if len(plain) < len(text) else 1)


def _pages(block: Block) -> list[list[list[list[str]]]]:
    """The rows of a block, divided into pages."""
    pages: list[list[list[list[str]]]] = [[]]
    used = 0
    for row in block.rows:
        lines = max(map(len, row))
        if pages[-1] and used + lines > PAGE_LINES:
            pages.append([])
            used = 0
        pages[-1].append(row)
        used += lines
    return pages


def _tabular(block: Block, rows: Sequence[Sequence[Sequence[str]]], words: int) -> list[str]:
    columns = "l" * words + "r" * (len(block.columns) - words)
    lines = [_latex_row(row, words) for row in (block.headings, *rows)]
    fit = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
    return [fit, rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule",
            r"\end{tabular}}"]  # fmt: skip


def _latex_row(row: Sequence[Sequence[str]], words: int) -> str:
    texts = []
    for at, lines in enumerate(row):
        several = r"\\".join(latex_text(line) for line in lines)
        side = "l" if at < words else "r"
        texts.append(rf"\shortstack[{side}]{{{several}}}" if len(lines) > 1 else several)
    return " & ".join(texts) + r" \\"


def latex_text(text: str) -> str:
    """Escape text for LaTeX."""
    escaped = "".join(LATEX.get(letter, letter) for letter in text)
    escaped = f"{{[}}{escaped[1:]}" if escaped.startswith("[") else escaped  # after a line end, [ is an option
    return escaped.replace(BOLD, r"\textbf{").replace(PLAIN, "}")


def as_html(sheet: Sheet) -> str:
    """Format an HTML table with a caption, with the notes as paragraphs; what is folded opens on a click."""
    head = "".join(f"<th>{html.escape(text)}</th>" for text in sheet.headings)
    rows = "\n".join(f"<tr>{''.join(map(_html_cell, line))}</tr>" for line in sheet.rows)
    said = "\n".join(f"<p>{html.escape(line)}</p>" for line in sheet.below)
    if sheet.folded:
        folded = "\n".join(f"<p>{html.escape(line)}</p>" for line in sheet.folded)
        said += f"\n<details><summary>Protocol</summary>\n{folded}\n</details>"
    caption = f"<caption>{html.escape(sheet.title)}</caption>"
    return f"<table>{caption}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>\n{said}\n"


LONG = 40
"""Letters from which an entry of an HTML table may be wrapped."""


def _html_cell(text: str) -> str:
    kind = ' class="words"' if len(text) > LONG else ""
    return f"<td{kind}>{html_text(text)}</td>"


def html_text(text: str) -> str:
    """Escape text for HTML."""
    return html.escape(text).replace(BOLD, "<b>").replace(PLAIN, "</b>")


def as_csv(sheet: Sheet) -> str:
    """Format headings and rows as CSV, without emphasis, rounded numbers in full."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(sheet.headings)
    writer.writerows(map(_full, row) for row in sheet.rows)
    return text.getvalue()


def joined_csv(sheets: Sequence[Sheet]) -> str:
    """Format several sheets as one CSV table: the sheet of each row in the first column, then all headings."""
    text = io.StringIO()
    names = dict.fromkeys(name for one in sheets for name in one.headings)
    first = "Sheet" if "Table" in names else "Table"
    writer = csv.DictWriter(text, [first, *names], restval="", lineterminator="\n")
    writer.writeheader()
    for one in sheets:
        for row in one.rows:
            writer.writerow({first: one.title, **dict(zip(one.headings, map(_full, row), strict=True))})
    return text.getvalue()


def as_json(sheet: Sheet) -> str:
    """Format title, rows (one object each) and notes as JSON."""
    rows = [dict(zip(sheet.headings, map(_full, row), strict=True)) for row in sheet.rows]
    document = {"title": sheet.title, "rows": rows, "notes": [*sheet.below, *sheet.folded]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _full(text: str) -> str:
    """A cell for machines."""
    return text.full if isinstance(text, Rounded) else _bare(text)


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
