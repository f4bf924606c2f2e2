"""The rows that a person watches: every cell with its state, step, metric and time left, read from files and ledger.

Nothing here needs a driver: ``grid status`` in another shell, or after the driver's death, shows the same rows.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.grid import Cell, GridConfig
from orchestration.plan import DONE, NO_DATA, RESCORE, TO_TRAIN, Planned, absent_stores, look
from orchestration.records import CellRecord
from uniferum.errors import UniferumError
from uniferum.evaluation.mask_words import mask_note

if TYPE_CHECKING:
    from orchestration.drive import Summary
    from orchestration.ledger import Entry, Ledger

COLUMNS = ("cell", "state", "step", "volumes/s", "metric", "left", "note")
NUMBERS = COLUMNS[2:6]


@dataclass(frozen=True)
class Row:
    """One cell, ready to be shown."""

    cell: str
    state: str
    step: str = ""
    speed: str = ""
    metric: str = ""
    left: str = ""
    note: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """In the order of :data:`COLUMNS`."""
        return self.cell, self.state, self.step, self.speed, self.metric, self.left, self.note


def rows(planned: Sequence[Planned], entries: "dict[str, Entry]") -> list[Row]:
    """One row a cell, in the plan's order; the ledger's state wins over the plan's, which is older."""
    return [_row(p, entries.get(p.cell.name)) for p in planned]


def counts(shown: Sequence[Row]) -> str:
    """How many cells are in each state, in one line."""
    found: dict[str, int] = {}
    for row in shown:
        found[row.state] = found.get(row.state, 0) + 1
    return ", ".join(f"{number} {state}" for state, number in sorted(found.items()))


def span(seconds: float | None) -> str:
    """A length of time for people."""
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _row(planned: Planned, entry: "Entry | None") -> Row:
    name = planned.cell.name
    if planned.state == NO_DATA or planned.folder is None:
        return Row(name, NO_DATA, note=planned.why)
    record = planned.record
    result = record.result()
    state = entry.state if entry and entry.folder == str(planned.folder) else planned.state
    if result and state not in ("running", "waiting", "pending"):
        return _done(name, state, result)
    return _under_way(record, planned, state, entry)


def _done(name: str, state: str, result: dict) -> Row:
    selection = (result.get("selection") or {}).get("value")
    metric = "" if selection is None else f"{selection:.4f}"
    note = mask_note(result.get("masks"))
    return Row(name, DONE if state == "done" else state, str(result.get("steps", "")), metric=metric, note=note)


def _under_way(record: CellRecord, planned: Planned, state: str, entry: "Entry | None") -> Row:
    progress = record.progress()
    note = (entry.reason or "") if entry else planned.why
    if progress is None or state not in ("running", "waiting"):
        reached = record.resumable_step()
        return Row(planned.cell.name, state, "" if reached is None else str(reached), note=note)
    silent = time.time() - progress.updated
    shown = progress.phase if state == "running" else state
    return Row(
        planned.cell.name,
        shown,
        f"{progress.step} / {progress.steps}",
        "" if progress.volumes_per_second is None else f"{progress.volumes_per_second:.3g}",
        "" if progress.metric is None else f"{progress.metric:.4f}",
        span(progress.seconds_left),
        f"silent for {span(silent)}" if silent > 60 else note,
    )


def plan_columns(grid: GridConfig) -> tuple[str, ...]:
    """The headings of :func:`plan_rows`."""
    return "cell", "state", "steps", _unit(grid), "why"


def plan_rows(grid: GridConfig, planned: Sequence[Planned]) -> list[tuple[str, ...]]:
    """One row a cell: name, state, steps, hours of all its GPUs, why."""
    return [
        (
            p.cell.name,
            p.state,
            f"{p.cell.config.training.steps:,}",
            "" if p.hours is None else f"{p.hours * _gpus(grid):.2f}" + ("" if p.measured else " (declared)"),
            p.why,
        )
        for p in planned
    ]


def plan_totals(grid: GridConfig, planned: Sequence[Planned]) -> str:
    """The whole grid in one line: cells by state, and hours of what is left."""
    states: dict[str, int] = {}
    for p in planned:
        states[p.state] = states.get(p.state, 0) + 1
    left = [p.hours for p in planned if p.state != DONE]
    known = sum(hours for hours in left if hours is not None) * _gpus(grid)
    declared = sum(p.hours for p in planned if p.hours is not None and not p.measured) * _gpus(grid)
    guessed = f" ({declared:.1f} of them as declared, not measured)" if declared else ""
    unknown = "; no speed is known yet for some cells" if any(hours is None for hours in left) else ""
    counted = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    absent = absent_stores(grid)
    data = f"; no store at {', '.join(absent)}: uniferum data prepare makes them" if absent else ""
    return f"{counted}; {known:.1f} {_unit(grid)} left{guessed}{unknown}{data}"


def score_totals(grid: GridConfig, planned: Sequence[Planned]) -> str:
    """What `grid evaluate` would do, in one line; the hours are those of scoring, where it was measured."""
    due = [p for p in planned if p.state == RESCORE]
    known = sum(p.hours or 0.0 for p in due) * _gpus(grid)
    return f"{len(due)} of {len(planned)} cells would be scored again; {known:.1f} {_unit(grid)}"


def _gpus(grid: GridConfig) -> float:
    """What a cell's hours are multiplied by; ``resources.gpus`` are those of all its workers together."""
    return grid.resources.gpus or 1


def _unit(grid: GridConfig) -> str:
    return "GPU-hours" if grid.resources.gpus else "hours"


def status_of(grid: GridConfig, cells: Sequence[Cell]) -> tuple[list[Row], str]:
    """The rows and the headline of a grid, without its driver."""
    planned = look(grid, cells)
    try:
        with ledger_of(grid) as ledger:
            holder = ledger.holder() if ledger else None
            facts = ledger.facts() if ledger else {}
            entries = ledger.entries() if ledger and holder else {}
    except UniferumError as error:
        shown = rows(planned, {})
        return shown, f"{counts(shown)}; from the records alone: {error}"
    shown = rows(planned, entries)
    if ledger is None:
        return shown, counts(shown)
    driver = f"driven by {holder.owner}" if holder else "no driver"
    paused = f"; paused: {facts['paused']}" if "paused" in facts else ""
    return shown, f"{counts(shown)}; {driver}{paused}"


def ended(grid: GridConfig) -> bool:
    """Whether no driver lives, so that nothing changes any more; a ledger that does not answer says neither."""
    try:
        with ledger_of(grid) as ledger:
            return ledger is None or ledger.holder() is None
    except UniferumError:
        return False


@contextmanager
def ledger_of(grid: GridConfig) -> "Iterator[Ledger | None]":
    """The grid's ledger; None where no driver has made its file yet, for whoever only looks makes nothing."""
    if isinstance(grid.ledger_place, Path) and not grid.ledger_place.exists():
        yield None
        return
    from orchestration.ledger import Ledger  # SQLAlchemy: a tenth of a second that a grid without a ledger is spared

    ledger = Ledger.of(grid)
    try:
        yield ledger
    finally:
        ledger.close()


def untrained(summary: "Summary") -> list[str]:
    """Cells that have no result to be scored again."""
    return [p.cell.name for p in summary.planned if p.state in TO_TRAIN]


def mask_notes(summary: "Summary") -> list[str]:
    """A line a cell that is done and whose masks stay empty, of any structure."""
    results = ((p.cell.name, p.record.result()) for p in summary.planned if p.folder is not None)
    notes = ((name, mask_note((result or {}).get("masks"))) for name, result in results)
    return [f"{name}: {note}" for name, note in notes if note]


def failures(summary: "Summary") -> list[tuple[str, str, str]]:
    """Which cells failed, why, and where the log is."""
    found = []
    for p in summary.failed:
        failure = p.record.failure() if p.folder else None
        why = f"{failure.kind}: {failure.reason}" if failure else p.why
        found.append((p.cell.name, why, str(p.record.log) if p.folder else ""))
    return found
