"""AUROC of each label under its own prompt and under other wordings, and the spread over them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from uniferum.evaluation.wordings import spread
from uniferum.report.records import CellRecord, PendingCell, row_order
from uniferum.report.settings import row_with_setting
from uniferum.report.tables.entries import Entry, Key, ReportTable
from uniferum.report.tables.folding import ShownLine
from uniferum.report.tables.naming import of_phantoms, phantom_title
from uniferum.report.tables.paper import MODEL_FACTS, progress_notes, row_facts

OWN, RANGE, DEVIATION = "own prompt", "range", "deviation"
METRIC = "auroc_by_wording"
"""No metric of the registry, so that no published value is set beside these numbers."""
MEAN = "(mean)"
"""Row of the mean over the labels of a cohort that have an AUROC under every wording."""


@dataclass(frozen=True)
class _Line:
    """One label of one cell: its values by column."""

    row: Key
    cell: str
    values: Mapping[str, float]
    n: int


def wording_table(
    name: str,
    title: str,
    records: Sequence[CellRecord],
    pending: Sequence[PendingCell],
    *,
    where: Mapping[str, str] | None = None,
    phantoms: bool = False,
) -> ReportTable:
    """Make the table of wordings; it has no row if no cell was scored with ``evaluation.prompts``.

    Args:
        name: the name of the table in ``uniferum why``.
        title: its title.
        records: finished cells.
        pending: expected cells without a result.
        where: limits, e.g. ``{"cohort": "CTRATE"}``.
        phantoms: the numbers are of phantoms, also if the table has no cell.
    """
    asked = [record for record in records if record.result.get("wordings")]
    templates = list(dict.fromkeys(one for record in asked for one in record.result["wordings"]["templates"]))
    numbered = {template: f"wording {at}" for at, template in enumerate(templates, 1)}
    lines: dict[Key, list[_Line]] = {}
    of_cells = row_facts([*records, *pending])
    rows = (*of_cells, "cohort", "label")
    for record in sorted(asked, key=lambda one: row_order(one.row)):
        for line in _lines(record, numbered, named=len(of_cells) > len(MODEL_FACTS)):
            facts = dict(zip(rows, line.row, strict=True))
            if all(facts.get(fact, value).lower() == value.lower() for fact, value in (where or {}).items()):
                lines.setdefault(line.row, []).append(line)
    columns = (OWN, *numbered.values(), RANGE, DEVIATION) if templates else (OWN,)
    title = phantom_title(title) if phantoms or of_phantoms([*records, *pending]) else title
    return ReportTable(
        name,
        title,
        METRIC,
        tuple(lines),
        tuple((column,) for column in columns),
        {(row, (column,)): _entry(of_row, column) for row, of_row in lines.items() for column in columns},
        tuple(map(ShownLine, _protocol(numbered))) if templates else (),
        (*_without(records, asked), *progress_notes(records, pending)),
        rows,
        ("wording",),
        phantoms=phantoms or of_phantoms([*records, *pending]),
    )


def _lines(record: CellRecord, numbered: Mapping[str, str], *, named: bool) -> Iterator[_Line]:
    """The labels of a cell, and for each cohort their mean."""
    wordings, row = record.result["wordings"], row_with_setting(record) if named else record.row
    columns = [OWN, *(numbered[template] for template in wordings["templates"])]
    by_cohort: dict[str, list[Mapping[str, Any]]] = {}
    for label in wordings["labels"]:
        by_cohort.setdefault(label["cohort"], []).append(label)
    for cohort, labels in by_cohort.items():
        for label in labels:
            yield _line(record, row, cohort, label["label"], columns, label["auroc"], int(label["n"]))
        whole = [label["auroc"] for label in labels if None not in label["auroc"]]
        if whole:
            means = [fmean(values) for values in zip(*whole, strict=True)]
            yield _line(record, row, cohort, MEAN, columns, means, max(int(label["n"]) for label in labels))


def _line(
    record: CellRecord, row: Key, cohort: str, label: str, columns: Sequence[str], areas: Sequence[float | None], n: int
) -> _Line:
    known = {column: math.nan if area is None else area for column, area in zip(columns, areas, strict=True)}
    over = spread(areas)
    values = {**known, RANGE: over.range, DEVIATION: over.deviation}
    return _Line((*row, cohort, label), record.name, values, n)


def _entry(lines: Sequence[_Line], column: str) -> Entry:
    """Mean over the cells of a row, which differ in their seed, with its standard deviation."""
    known = [line.values[column] for line in lines if math.isfinite(line.values.get(column, math.nan))]
    return Entry(
        value=fmean(known) if known else math.nan,
        spread=stdev(known) if len(known) > 1 else math.nan,
        seeds=len(known),
        n_labels=int(bool(known)),
        n_labels_total=1,
        n_cases=max(line.n for line in lines),
        missing="" if known else "n/a (one class, or not asked in these words)",
        cells=tuple(line.cell for line in lines),
    )


def _protocol(numbered: Mapping[str, str]) -> Iterator[str]:
    yield from (f"{column}: {template}" for template, column in numbered.items())
    yield (
        "Values: AUROC on the test split, the same cases and weights for every wording. Range: largest minus smallest, "
        "deviation: standard deviation, both over all wordings with the own prompt. Not selected on: the checkpoint is "
        "that of the own prompts."
    )


def _without(records: Sequence[CellRecord], asked: Sequence[CellRecord]) -> list[str]:
    """Say how many cells were not asked in other words, where some were."""
    without = len(records) - len(asked)
    return [f"{without} of {len(records)} cells were scored without evaluation.prompts."] if without and asked else []
