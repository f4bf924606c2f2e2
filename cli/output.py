"""The only place that writes to the terminal: rich on standard error for people, standard output for results."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

people = Console(stderr=True, highlight=False)


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


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table for people, on standard error."""
    drawn = Table(title=title, title_justify="left")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*("" if cell is None else str(cell) for cell in row))
    people.print(drawn, markup=False)


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
