"""Output to the terminal: results on standard output, messages and progress bars on standard error.

No other module writes to the terminal.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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

from cli import tables

people = Console(stderr=True, highlight=False)
results = Console(highlight=False)


def say_all(lines: Iterable[str]) -> None:
    """Print each line with :func:`say`."""
    for line in lines:
        say(line)


def say(message: str) -> None:
    """Print a message on standard error, so that results can be piped."""
    people.print(message, soft_wrap=True, markup=False)


def fail(message: str) -> None:
    """Print an error, as one line on standard error."""
    people.print(f"error: {message}", soft_wrap=True, style="bold red", markup=False)


def result(text: str) -> None:
    """Print a result on standard output."""
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
    sys.stdout.flush()


def stream(text: str) -> None:
    """Print a part of a result on standard output, without adding a line end."""
    sys.stdout.write(text)
    sys.stdout.flush()


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table on standard error, as part of what the command says while it works."""
    _print_table(people, title, columns, tables.as_texts(rows))


def listing(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    wanted: str | None = None,
    *,
    objects: Iterable[Mapping[str, Any]] | None = None,
    numbers: Sequence[str] = (),
    styles: Sequence[str | None] = (),
) -> None:
    """Print a table that is the command's result, on standard output.

    Args:
        title: the headline; on standard error where no table is drawn.
        columns: headings.
        rows: cells.
        wanted: table, tsv or json; by default a table on a terminal and tab-separated lines in a pipe.
        objects: the rows as they are printed in JSON; by default the texts under their headings.
        numbers: headings of the columns that are aligned to the right.
        styles: a rich style for each row.
    """
    form, texts = tables.chosen_format(wanted), tables.as_texts(rows)
    if form == "table":
        _print_table(results, title, columns, texts, numbers, styles)
        return
    say(title)
    if form == "tsv":
        result(tables.as_tsv(columns, texts))
    else:
        result(tables.as_json(tables.as_objects(columns, texts) if objects is None else objects))


def listings(several: Iterable[tuple[str, Sequence[str], Iterable[Sequence[Any]]]], wanted: str | None = None) -> None:
    """Print tables that are the command's result, on standard output.

    Args:
        several: title, headings and cells of each.
        wanted: table, tsv or json; see :func:`listing`. In tab-separated form the title is a line that begins with
            ``#``; in JSON each table is an object with ``title`` and ``rows``.
    """
    form = tables.chosen_format(wanted)
    texts = [(title, columns, tables.as_texts(rows)) for title, columns, rows in several]
    if form == "json":
        result(tables.as_json({"title": one, "rows": tables.as_objects(heads, rows)} for one, heads, rows in texts))
        return
    for title, columns, rows in texts:
        if form == "table":
            _print_table(results, title, columns, rows)
        else:
            result(f"# {title}\n{tables.as_tsv(columns, rows)}")


@dataclass(frozen=True)
class Summary:
    """Prints the lines and tables with which a command ends, on standard output or on standard error.

    Attributes:
        is_result: the summary is the command's result and goes to standard output; false beside a result in JSON, or
            where the same words only announce what the command is about to do.
        form: format of tables on standard output: table or tsv; see :func:`listing`.
    """

    is_result: bool = True
    form: str | None = None

    def line(self, text: str) -> None:
        """Print one line."""
        if self.is_result:
            result(text)
        else:
            say(text)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Print a table; on standard output in a pipe as tab-separated lines below ``# title``."""
        if self.is_result:
            listings([(title, columns, rows)], self.form)
        else:
            table(title, columns, rows)


def _print_table(
    console: Console,
    title: str,
    columns: Sequence[str],
    rows: tables.Texts,
    numbers: Sequence[str] = (),
    styles: Sequence[str | None] = (),
) -> None:
    if len(rows) > tables.MAX_DRAWN:
        console.file.write("".join(f"{line}\n" for line in [title, *tables.as_lines(columns, rows)]))
        return
    drawn = tables.draw(title, columns, rows, console.width, numbers=numbers, styles=styles)
    console.print(drawn, markup=False, crop=False)


def progress() -> Progress:
    """Make a progress bar with counts, elapsed and remaining time."""
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
    """Progress of a download: bytes on a bar, and the number of complete files."""

    def __init__(self, bar: Progress, name: str, total: int, files: int) -> None:
        self._bar, self._name, self._files, self._whole = bar, name, files, 0
        self._shown = bar.add_task(self._text(), total=total)

    def bytes(self, count: int) -> None:
        """Count received bytes; negative if some must be received again."""
        self._bar.advance(self._shown, count)

    def file(self) -> None:
        """Count a complete file."""
        self._whole += 1
        self._bar.update(self._shown, description=self._text())

    def _text(self) -> str:
        return f"{self._name}: {self._whole}/{self._files} files"


@contextmanager
def transfer(name: str, total: int, files: int) -> Iterator[Transfer]:
    """Make a progress bar in bytes, with speed and remaining time.

    Args:
        name: name of the download.
        total: number of bytes.
        files: number of files.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=people, transient=False) as bar:
        yield Transfer(bar, name, total, files)
