"""A table of the report: rows are models with their training data, columns are groups of labels, entries are numbers.

Invariant: every place of a table is filled, by a number with what it rests on, or by the reason why there is none. A
table never mixes protocols unmarked: what all its numbers share stands in its protocol lines, what differs is marked.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev

from uniferum.report.protocol import protocol_lines
from uniferum.report.published import find, rows
from uniferum.report.records import CellRecord, GroupScore, Pending, RowKey, row_order

Column = tuple[str, str]
"""Cohort and group of labels, or cohort and one label."""

#: The columns of the paper's Table 2; those of other cohorts follow.
COLUMNS: tuple[Column, ...] = (
    ("CTRATE", "all"),
    ("INSPECT", "shared"),
    ("INSPECT", "unique"),
    ("RADCHEST", "shared"),
    ("RADCHEST", "unique"),
)
METRIC_TITLES = {
    "auroc": "Average area under the ROC curve (AUROC)",
    "aupr": "Average precision (AUPR), to be read against the prevalence",
}


@dataclass(frozen=True)
class Entry:
    """One place of a table: a number and what it rests on, or ``missing`` and why."""

    value: float = math.nan
    lo: float = math.nan
    hi: float = math.nan
    spread: float = math.nan
    """Standard deviation over seeds, NaN for one seed."""
    seeds: int = 0
    n_labels: int = 0
    n_labels_total: int = 0
    n_cases: int = 0
    n_patients: int = 0
    prevalence: float = math.nan
    published: float = math.nan
    missing: str = ""
    command: str = ""
    cells: tuple[str, ...] = ()
    best: bool = False

    @property
    def known(self) -> bool:
        """Whether there is a number."""
        return math.isfinite(self.value)


@dataclass(frozen=True)
class ReportTable:
    """What every format renders."""

    name: str
    title: str
    metric: str
    rows: tuple[RowKey, ...]
    columns: tuple[Column, ...]
    entries: dict[tuple[RowKey, Column], Entry]
    protocol: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    column_names: dict[Column, str] = field(default_factory=dict)

    def heading(self, column: Column) -> str:
        """``INSPECT shared``, with the count of labels where some could not be scored."""
        cohort, group = column
        text = self.column_names.get(column) or (
            cohort if (cohort, group) == ("CTRATE", "all") else f"{cohort} {group}"
        )
        counts = {(e.n_labels, e.n_labels_total) for (_, c), e in self.entries.items() if c == column and e.known}
        partial = [f"{n}/{total}" for n, total in sorted(counts) if n < total]
        return f"{text} ({', '.join(partial)} labels)" if partial else text


def group_table(
    name: str,
    records: Sequence[CellRecord],
    pending: Sequence[Pending] = (),
    *,
    metric: str,
    title: str = "",
    columns: Sequence[Column] | None = None,
    published_rows: bool = False,
    shows: Callable[[RowKey], bool] = lambda row: True,
) -> ReportTable:
    """Group means of every cell, seeds of one row averaged, and the reason of every place without a number.

    Args:
        name: what ``uniferum why`` calls the table.
        records: finished cells.
        pending: expected cells without a result.
        metric: ``auroc`` or ``aupr``.
        title: of the table; by default the metric's.
        columns: (cohort, group) pairs; by default the paper's, then those of other cohorts that were evaluated.
        published_rows: also the rows that only the paper has.
        shows: which of those rows.
    """
    wanted = tuple(columns) if columns is not None else _columns(records)
    ordered = _rows(records, pending, [row for row in rows(metric) if published_rows and shows(row)])
    values = _values(records, metric)
    entries = {
        (row, column): _entry(row, column, metric, values, records, pending) for row in ordered for column in wanted
    }
    _mark_best(entries, wanted)
    return ReportTable(
        name,
        title or METRIC_TITLES.get(metric, metric),
        metric,
        tuple(ordered),
        wanted,
        entries,
        protocol_lines(records, wanted, metric),
        _notes(records, pending),
    )


def _columns(records: Sequence[CellRecord]) -> tuple[Column, ...]:
    found = {(score.cohort, score.group) for record in records for score in record.groups}
    if not found:
        return COLUMNS
    known = [column for column in COLUMNS if column in found]
    return (*known, *sorted(found - set(COLUMNS)))


def _rows(records: Sequence[CellRecord], pending: Sequence[Pending], more: Iterable[RowKey]) -> list[RowKey]:
    found = {one.row for one in (*records, *pending)}
    return sorted(found | set(more), key=row_order)


def _values(records: Sequence[CellRecord], metric: str) -> dict[tuple[RowKey, Column], list[GroupScore]]:
    """The stored means of one metric by place of the table, one a seed."""
    places: dict[tuple[RowKey, Column], list[GroupScore]] = {}
    for record in records:
        for score in record.groups:
            if score.metric == metric:
                places.setdefault((record.row, (score.cohort, score.group)), []).append(score)
    return places


def _entry(
    row: RowKey,
    column: Column,
    metric: str,
    values: dict[tuple[RowKey, Column], list[GroupScore]],
    records: Sequence[CellRecord],
    pending: Sequence[Pending],
) -> Entry:
    printed = find(metric, row, *column)
    paper = printed.value if printed else math.nan
    scores = values.get((row, column))
    if scores:
        return averaged(scores, paper)
    waiting = [one for one in pending if one.row == row]
    if waiting:
        return Entry(published=paper, missing=waiting[0].reason, command=waiting[0].command)
    if any(record.row == row for record in records):
        return Entry(published=paper, missing="not evaluated")
    return Entry(published=paper, missing="not run")


def averaged(scores: Sequence[GroupScore], paper: float = math.nan) -> Entry:
    """One entry from one score a seed: their mean; the interval is the mean of theirs, the spread their deviation."""
    known = [score.value for score in scores if math.isfinite(score.value)]
    total = max(score.n_labels_total for score in scores)
    return Entry(
        value=_mean(known),
        lo=_mean([score.lo for score in scores]),
        hi=_mean([score.hi for score in scores]),
        spread=stdev(known) if len(known) > 1 else math.nan,
        seeds=len(known),
        n_labels=min(score.n_labels for score in scores),
        n_labels_total=total,
        n_cases=max(score.n_cases for score in scores),
        n_patients=max(score.n_patients for score in scores),
        prevalence=_mean([score.prevalence for score in scores]),
        published=paper,
        missing="" if known else f"n/a (0 of {total} labels have both classes)",
        cells=tuple(score.cell for score in scores),
    )


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return fmean(known) if known else math.nan


def _mark_best(entries: dict[tuple[RowKey, Column], Entry], columns: Sequence[Column]) -> None:
    """Mark the largest number of each column, all of them where several are equal to four digits."""
    for column in columns:
        known = {key: round(entry.value, 4) for key, entry in entries.items() if key[1] == column and entry.known}
        top = max(known.values(), default=math.nan)
        for key, value in known.items():
            if value == top and len(known) > 1:
                entries[key] = replace(entries[key], best=True)


def _notes(records: Sequence[CellRecord], pending: Sequence[Pending]) -> tuple[str, ...]:
    done, waiting = len(records), len(pending)
    lines = [f"{done} of {done + waiting} cells are done."] if waiting else []
    for one in pending:
        how = f"; fill it with: {one.command}" if one.command else ""
        lines.append(f"{one.name}: {one.reason}{how}")
    return tuple(lines)
