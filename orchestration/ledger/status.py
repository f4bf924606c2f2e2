"""Rows of ``grid status``: state, step, metric and time left of each cell, from the cells' folders and the ledger.

No driver is needed: any shell shows the same rows, also after the driver has ended.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.grid.cells import Cell
from orchestration.grid.config import GridConfig
from orchestration.grid.plan import plan_states
from orchestration.grid.planned import PlannedCell
from orchestration.grid.records import CellFolder
from orchestration.grid.states import UNDER_WAY, CellState, PlanState, ShownState
from orchestration.grid.unsent import waits_for_mlflow
from uniferum.errors import UniferumError
from uniferum.evaluation.mask_words import mask_note

if TYPE_CHECKING:
    from orchestration.ledger.ledger import CellEntry, Ledger

COLUMNS = ("cell", "state", "step", "volumes/s", "metric", "left", "note")
NUMBERS = COLUMNS[2:6]
NOT_SENT = "not all records are in MLflow"


@dataclass(frozen=True)
class StatusRow:
    """One row of the status table; an unknown value is None."""

    cell: str
    state: ShownState
    step: int | None = None
    steps: int | None = None
    volumes_per_second: float | None = None
    metric: float | None = None
    seconds_left: float | None = None
    note: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts in the order of :data:`COLUMNS`."""
        step = "" if self.step is None else f"{self.step}" if self.steps is None else f"{self.step} / {self.steps}"
        speed = "" if self.volumes_per_second is None else f"{self.volumes_per_second:.3g}"
        metric = "" if self.metric is None else f"{self.metric:.4f}"
        return self.cell, self.state, step, speed, metric, span(self.seconds_left), self.note

    def to_dict(self) -> dict[str, Any]:
        """Return the row for scripts; what is not known is None."""
        return asdict(self) | {"state": str(self.state)}


def rows(planned: Sequence[PlannedCell], entries: "dict[str, CellEntry]") -> list[StatusRow]:
    """Make one row per cell, in the plan's order; the ledger's state is newer than the plan's and replaces it."""
    return [_row(p, entries.get(p.cell.name)) for p in planned]


def counts(table: Sequence[StatusRow]) -> str:
    """Number of cells in each state, in one line."""
    states: dict[str, int] = {}
    for row in table:
        states[row.state] = states.get(row.state, 0) + 1
    return ", ".join(f"{number} {state}" for state, number in sorted(states.items()))


def span(seconds: float | None) -> str:
    """Format a duration: ``2 h 05 min``, ``3 min 20 s`` or ``15 s``."""
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _row(planned: PlannedCell, entry: "CellEntry | None") -> StatusRow:
    name = planned.cell.name
    if planned.state == PlanState.NO_DATA or planned.folder is None:
        return StatusRow(name, PlanState.NO_DATA, note=planned.why)
    record = planned.record
    result = record.result()
    state = entry.state if entry and entry.folder == str(planned.folder) else planned.state
    if result and state not in UNDER_WAY:
        return _done(name, state, result)
    return _under_way(record, planned, state, entry)


def _done(name: str, state: CellState | PlanState, result: dict) -> StatusRow:
    selection = (result.get("selection") or {}).get("value")
    note = mask_note(result.get("masks"))
    state = PlanState.DONE if state == CellState.DONE else state
    return StatusRow(name, state, result.get("steps"), metric=selection, note=note)


def _under_way(
    record: CellFolder, planned: PlannedCell, state: CellState | PlanState, entry: "CellEntry | None"
) -> StatusRow:
    progress = record.progress()
    note = (entry.reason or "") if entry else planned.why
    if progress is None or state not in (CellState.RUNNING, CellState.WAITING):
        return StatusRow(planned.cell.name, state, record.resumable_step(), note=note)
    silent = time.time() - progress.updated
    return StatusRow(
        planned.cell.name,
        progress.phase if state == CellState.RUNNING else state,
        progress.step,
        progress.steps,
        progress.volumes_per_second,
        progress.metric,
        progress.seconds_left,
        f"silent for {span(silent)}" if silent > 60 else note,
    )


def status_of(grid: GridConfig, cells: Sequence[Cell]) -> tuple[list[StatusRow], str]:
    """Rows and headline of a grid, read without its driver."""
    planned = plan_states(grid, cells)
    try:
        with open_ledger(grid) as ledger:
            holder = ledger.holder() if ledger else None
            facts = ledger.facts() if ledger else {}
            entries = ledger.entries() if ledger and holder else {}
    except UniferumError as error:
        table = rows(planned, {})
        return table, f"{counts(table)}; from the cells' folders only: {error}"
    table = rows(planned, entries)
    unsent = ""
    if grid.tracking.enabled and holder is None:  # a driver that runs sends them
        table, unsent = _with_unsent(table, planned)
    if ledger is None:
        return table, f"{counts(table)}{unsent}"
    driver = f"driver: {holder.owner}" if holder else "no driver"
    paused = f"; paused: {facts['paused']}" if "paused" in facts else ""
    return table, f"{counts(table)}; {driver}{paused}{unsent}"


def _with_unsent(table: Sequence[StatusRow], planned: Sequence[PlannedCell]) -> tuple[list[StatusRow], str]:
    """Add a note to finished cells whose records are not all in MLflow; the headline says what sends them."""
    pairs = list(zip(table, planned, strict=True))
    waits = [row.state == PlanState.DONE and waits_for_mlflow(p.record.folder) for row, p in pairs]
    if not any(waits):
        return list(table), ""
    notes = (
        "; ".join(filter(None, (row.note, NOT_SENT if wait else ""))) for row, wait in zip(table, waits, strict=True)
    )
    noted = [replace(row, note=note) for row, note in zip(table, notes, strict=True)]
    return noted, f"; {sum(waits)} not all in MLflow (grid run or grid evaluate sends the rest)"


def ended(grid: GridConfig) -> bool:
    """Whether no driver is alive, so no state changes; False if the ledger does not answer."""
    try:
        with open_ledger(grid) as ledger:
            return ledger is None or ledger.holder() is None
    except UniferumError:
        return False


@contextmanager
def open_ledger(grid: GridConfig) -> "Iterator[Ledger | None]":
    """Open the grid's ledger; None if no driver has created its file yet, because a reader creates no files."""
    if isinstance(grid.ledger_address, Path) and not grid.ledger_address.exists():
        yield None
        return
    from orchestration.ledger.ledger import Ledger  # imports SQLAlchemy: 0.1 s

    ledger = Ledger.of(grid)
    try:
        yield ledger
    finally:
        ledger.close()
