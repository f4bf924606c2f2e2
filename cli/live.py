"""Show a running grid on the terminal: a live table where there is one, else plain lines."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live

from cli import output, tables
from orchestration.grid.states import CellState, Phase, PlanState, ShownState
from orchestration.ledger.status import COLUMNS, NUMBERS, StatusRow

COLOURS: dict[ShownState, str] = {
    CellState.DONE: "green",
    CellState.FAILED: "red",
    PlanState.NO_DATA: "yellow",
    Phase.TRAINING: "cyan",
    Phase.SCORING: "cyan",
}


class GridView:
    """A live table of the cells; a context manager, so that the terminal is restored at the end."""

    def __init__(self, name: str, console: Console | None = None) -> None:
        self.name = name
        self.console = console or output.people
        self.live = Live(console=self.console, refresh_per_second=2) if self.console.is_terminal else None

    def __enter__(self) -> Self:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self.live is not None:
            self.live.stop()

    def show(self, rows: Sequence[StatusRow], headline: str) -> None:
        """Redraw the table; without a terminal do nothing, because :meth:`say` prints what happens."""
        if self.live is not None:
            self.live.update(drawn(self.name, rows, headline, self.console.width))

    def say(self, message: str) -> None:
        """Print one line above the table."""
        output.say(message)


def drawn(name: str, rows: Sequence[StatusRow], headline: str, width: int) -> RenderableType:
    """Draw the cells as a table of at most this width."""
    texts, styles = [row.texts for row in rows], [COLOURS.get(row.state) for row in rows]
    return tables.draw(f"{name}: {headline}", COLUMNS, texts, width, numbers=NUMBERS, styles=styles)
