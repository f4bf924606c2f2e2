"""Training rows of cells: counts by cohort, kind and label, and mask rows found of those wanted.

Records of versions before the counts have none.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from uniferum.report.records import CellRecord
from uniferum.report.tables.shared_lines import shared_lines
from uniferum.report.tables.sheet import Sheet

HEADINGS = ["Cohort", "Kind", "Label", "Positive", "Negative", "Rows"]
NOT_RECORDED = "the version that trained it did not record its rows"


def row_lines(records: Sequence[CellRecord]) -> tuple[str, ...]:
    """One sentence for each cohort and kind of training row, with the cells to which it applies."""
    facts = [(line, record.name) for record in records for line in _record_lines(record)]
    return tuple(shared_lines(sorted(facts, key=lambda one: one[0].partition(":")[0]), len(records)))


def row_sheets(records: Sequence[CellRecord]) -> list[Sheet]:
    """Make tables of training rows by label; cells with the same counts share a table."""
    if not records:
        return [Sheet("Training rows", HEADINGS, [], ["No cell is done."], words=3)]
    alike: dict[str, list[CellRecord]] = {}
    for record in records:
        alike.setdefault(json.dumps([record.mix, _rows(record)], sort_keys=True), []).append(record)
    return [_sheet(cells) for cells in alike.values()]


def row_sheet(record: CellRecord) -> Sheet | None:
    """Make the table of training rows of one cell; None if nothing was recorded."""
    return _sheet([record]) if _rows(record) else None


def _sheet(cells: Sequence[CellRecord]) -> Sheet:
    rows, names = _rows(cells[0]), ", ".join(record.name for record in cells)
    lines = [f"Cells: {names}.", *(f"{line}." for line in _record_lines(cells[0]))]
    if not rows:
        lines.append(f"{NOT_RECORDED[0].upper()}{NOT_RECORDED[1:]}.")
    return Sheet(f"Training rows of {cells[0].mix}", HEADINGS, list(_label_rows(rows)), lines, words=3)


def _label_rows(rows: Mapping[str, Any]) -> Iterator[list[str]]:
    for cohort, kinds in rows.get("labels", {}).items():
        for label, counts in sorted(kinds.get("classification", {}).items()):
            positive, negative = counts["positive"], counts["negative"]
            numbers = [f"{number:,}" for number in (positive, negative, positive + negative)]
            yield [cohort, "classification", label, *numbers]
        for kind in ("organ", "nodule"):
            for label, count in sorted(kinds.get(kind, {}).items()):
                yield [cohort, kind, label, "", "", f"{count:,}"]


def _record_lines(record: CellRecord) -> Iterator[str]:
    rows = _rows(record)
    for cohort, kinds in rows.get("labels", {}).items():
        labels = kinds.get("classification", {}).values()
        if labels:
            positive, negative = (sum(counts[target] for counts in labels) for target in ("positive", "negative"))
            yield f"Training rows of {cohort}: {positive:,} positive, {negative:,} negative, of {len(labels)} labels"
    for masks in rows.get("masks", ()):
        number, wanted, without = masks["found"], masks["wanted"], masks["without_masks"]
        line = f"{masks['kind'].capitalize()} rows of {masks['cohort']}: {number:,} of {wanted:,} wanted"
        if without:
            line += f"; {without:,} of {masks['scans']:,} training scans have no {masks['kind']} mask"
        yield line


def _rows(record: CellRecord) -> Mapping[str, Any]:
    return record.result.get("rows") or {}
