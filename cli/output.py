"""The only place that writes to the terminal: rich on standard error for people, standard output for results."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

people = Console(stderr=True, highlight=False)

NAME = 26
"""Characters up to which a table's first column, a name to copy, is kept on one line."""

DRAWN = 100
"""Rows of a table that is drawn with a frame; the frame of 1,000 rows takes rich half a second."""


def say_all(lines: Iterable[str]) -> None:
    """Say each line; see :func:`say`."""
    for line in lines:
        say(line)


def say(message: str) -> None:
    """A line for the person at the terminal, on standard error, so that results can be piped."""
    people.print(message, soft_wrap=True, markup=False)


def fail(message: str) -> None:
    """The one line of an error."""
    people.print(f"error: {message}", soft_wrap=True, style="bold red", markup=False)


def result(text: str) -> None:
    """A result, on standard output and nothing else there."""
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
    sys.stdout.flush()


def stream(text: str) -> None:
    """A piece of a result as it comes, on standard output; no line is ended that the piece does not end."""
    sys.stdout.write(text)
    sys.stdout.flush()


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table for people, on standard error; a long one in plain columns, its lines as long as they have to be."""
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if len(texts) > DRAWN:
        people.file.write("".join(f"{line}\n" for line in [title, *_plain(columns, texts)]))
        return
    drawn = Table(title=title, title_justify="left")
    short = all(len(row[0]) <= NAME for row in texts if row)
    for at, column in enumerate(columns):
        drawn.add_column(column, overflow="fold", no_wrap=short and not at)
    for row in texts:
        drawn.add_row(*row)
    people.print(drawn, markup=False)


def _plain(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, ["-" * width for width in widths], *rows):
        yield "  ".join(map(str.ljust, row, widths)).rstrip()


def progress() -> Progress:
    """A progress bar with counts, time spent and time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=people,
        transient=False,
    )


class Transfer:
    """A download's progress: bytes on a bar, and how many files are whole."""

    def __init__(self, bar: Progress, name: str, total: int, files: int) -> None:
        self._bar, self._name, self._files, self._whole = bar, name, files, 0
        self._shown = bar.add_task(self._text(), total=total)

    def bytes(self, count: int) -> None:
        """Bytes came; negative where some have to come again."""
        self._bar.advance(self._shown, count)

    def file(self) -> None:
        """A file is whole."""
        self._whole += 1
        self._bar.update(self._shown, description=self._text())

    def _text(self) -> str:
        return f"{self._name}: {self._whole}/{self._files} files"


@contextmanager
def transfer(name: str, total: int, files: int) -> Iterator[Transfer]:
    """A progress bar in bytes, with speed and time left.

    Args:
        name: of what is downloaded.
        total: bytes.
        files: how many.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=people, transient=False) as bar:
        yield Transfer(bar, name, total, files)
