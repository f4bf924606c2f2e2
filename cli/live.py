"""A running grid on the terminal: a live table where there is one, plain lines where there is none."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.table import Table

from cli import output
from orchestration.ledger.status import COLUMNS, NUMBERS, StatusRow

COLOURS = {"done": "green", "failed": "red", "no data": "yellow", "training": "cyan", "scoring": "cyan"}


class GridView:
    """Shows rows as they change; a context, so that the terminal is left as it was found."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.live = Live(console=output.people, refresh_per_second=2) if output.people.is_terminal else None

    def __enter__(self) -> Self:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self.live is not None:
            self.live.stop()

    def show(self, rows: Sequence[StatusRow], headline: str) -> None:
        """Redraw the table; without a terminal the lines of :meth:`say` tell enough."""
        if self.live is not None:
            self.live.update(drawn(self.name, rows, headline))

    def say(self, message: str) -> None:
        """One line, above the table."""
        output.say(message)


def drawn(name: str, rows: Sequence[StatusRow], headline: str) -> Table:
    """The cells as a rich table."""
    table = Table(title=f"{name}: {headline}", title_justify="left")
    for column in COLUMNS:
        table.add_column(column, overflow="fold", justify="right" if column in NUMBERS else "left")
    for row in rows:
        table.add_row(*row.texts, style=COLOURS.get(row.state))
    return table
