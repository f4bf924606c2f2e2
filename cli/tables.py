"""Tables in three forms: drawn for a terminal, tab-separated lines for a pipe, JSON for a script."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

Format = Annotated[
    Literal["table", "tsv", "json"] | None,
    typer.Option("--format", help="table, tsv or json. Default: a table on a terminal, tsv in a pipe."),
]

Texts = Sequence[Sequence[str]]

FRAME = 3
"""Characters that rich adds to each column: a space on both sides and a line."""

READABLE = 24
"""Characters that the last column, mostly a sentence, gets at least before it is folded."""

MAX_DRAWN = 100
"""Rows of a table that is drawn with a frame; above it rich takes half a second for 1,000 rows."""


def chosen_format(wanted: str | None) -> str:
    """The format that the user asked for, else a table on a terminal and tab-separated lines in a pipe."""
    return wanted or ("table" if sys.stdout.isatty() else "tsv")


def as_texts(rows: Iterable[Sequence[Any]]) -> list[list[str]]:
    """Cells as text; None is an empty cell."""
    return [["" if cell is None else str(cell) for cell in row] for row in rows]


def as_tsv(columns: Sequence[str], rows: Texts) -> str:
    """Tab-separated lines, the headings first; tabs and line ends within a cell become spaces."""
    return "".join("\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in (columns, *rows))


def as_objects(columns: Sequence[str], rows: Texts) -> list[dict[str, str]]:
    """One dictionary a row, with the headings as keys."""
    return [dict(zip(columns, row, strict=True)) for row in rows]


def as_json(objects: Iterable[Mapping[str, Any]]) -> str:
    """A JSON array with one object a row."""
    return json.dumps([dict(one) for one in objects], indent=2)


def as_lines(columns: Sequence[str], rows: Texts) -> list[str]:
    """Aligned plain columns, one line a row however long it is."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = (columns, ["-" * width for width in widths], *rows)
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in lines]


def draw(
    title: str,
    columns: Sequence[str],
    rows: Texts,
    width: int,
    *,
    numbers: Sequence[str] = (),
    styles: Sequence[str | None] = (),
) -> RenderableType:
    """Draw a table of which the first column, a name to copy, is never broken.

    Args:
        title: stands above the table.
        columns: headings.
        rows: cells as text.
        width: of the terminal, in characters. If the columns do not fit side by side, empty ones are left out; if that
            is not enough, each name gets a line of its own; and if that is not enough, each cell.
        numbers: headings of the columns that are aligned to the right.
        styles: a rich style for each row.
    """
    styles = styles or [None] * len(rows)
    if not _fits(columns, rows, width):
        columns, rows = _without_empty(columns, rows)
    if _fits(columns, rows, width):
        return _draw_framed(title, columns, rows, numbers, styles)
    middle = sum(_longest(column) + 2 for column in list(zip(columns, *rows, strict=True))[1:-1])
    if middle + READABLE + 2 <= width:
        return _draw_stacked(title, columns, rows, numbers, styles)
    return _draw_listed(title, columns, rows, styles)


def _fits(columns: Sequence[str], rows: Texts, width: int) -> bool:
    """Whether the names, the words of the other columns and a readable last column fit side by side."""
    name, *middle, last = _minimal_widths(columns, rows)
    readable = min(READABLE, _longest([columns[-1], *(row[-1] for row in rows)]))
    return name + sum(middle) + max(last, readable) + FRAME * len(columns) + 1 <= width


def _without_empty(columns: Sequence[str], rows: Texts) -> tuple[list[str], list[list[str]]]:
    """Leave out columns without any text."""
    kept = [at for at in range(len(columns)) if at == 0 or any(row[at] for row in rows)]
    return [columns[at] for at in kept], [[row[at] for at in kept] for row in rows]


def _minimal_widths(columns: Sequence[str], rows: Texts) -> list[int]:
    """The longest text of the first column, and the longest word of each other column."""
    texts = [[heading, *cells] for heading, *cells in zip(columns, *rows, strict=True)]
    return [_longest(texts[0]), *(_longest(" ".join(column).split()) for column in texts[1:])]


def _draw_framed(
    title: str, columns: Sequence[str], rows: Texts, numbers: Sequence[str], styles: Sequence[str | None]
) -> RenderableType:
    table = Table(title=Text(title), title_justify="left")
    for at, (column, least) in enumerate(zip(columns, _minimal_widths(columns, rows), strict=True)):
        table.add_column(column, overflow="fold", no_wrap=at == 0, min_width=least, justify=_side(column, numbers))
    for row, style in zip(rows, styles, strict=True):
        table.add_row(*map(Text, row), style=style)
    return table


def _draw_stacked(
    title: str, columns: Sequence[str], rows: Texts, numbers: Sequence[str], styles: Sequence[str | None]
) -> RenderableType:
    """Draw each name on a line of its own, with the other cells below it."""
    widths = [_longest(column) for column in zip(columns, *rows, strict=True)]

    def below(cells: Sequence[str], style: str | None) -> RenderableType:
        grid = Table.grid(padding=(0, 2, 0, 0))
        for at, column in enumerate(columns[1:], 1):
            least = widths[at] if at < len(columns) - 1 else None
            grid.add_column(overflow="fold", min_width=least, justify=_side(column, numbers))
        grid.add_row(*map(Text, cells[1:]), style=style)
        return Padding(grid, (0, 0, 0, 2))

    parts: list[RenderableType] = [Text(title, style="italic")]
    for row, style in zip((columns, *rows), ("bold", *styles), strict=True):
        parts.append(Text(row[0], style=style or "", no_wrap=True, overflow="ignore"))
        parts += [below(row, style)] if len(columns) > 1 else []
    return Group(*parts)


def _draw_listed(title: str, columns: Sequence[str], rows: Texts, styles: Sequence[str | None]) -> RenderableType:
    """Draw each name on a line of its own, and each other cell below it with its heading."""
    parts: list[RenderableType] = [Text(title, style="italic")]
    for row, style in zip(rows, styles, strict=True):
        parts.append(Text(row[0], style=style or "", no_wrap=True, overflow="ignore"))
        cells = [f"{heading}: {cell}" for heading, cell in zip(columns[1:], row[1:], strict=True) if cell]
        parts += [Padding(Text(cell, style=style or "", overflow="fold"), (0, 0, 0, 2)) for cell in cells]
    return Group(*parts)


def _longest(texts: Iterable[str]) -> int:
    return max(map(len, texts), default=0)


def _side(column: str, numbers: Sequence[str]) -> Literal["left", "right"]:
    return "right" if column in numbers else "left"
