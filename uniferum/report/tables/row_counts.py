"""What the cells were trained on: rows of every kind by cohort and label, and mask rows beside those that were wanted.

A record that was written before rows were recorded says nothing here.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from uniferum.report.records import CellRecord
from uniferum.report.tables.shared_lines import shared_lines
from uniferum.report.tables.sheet import Sheet

HEADINGS = ["Cohort", "Kind", "Label", "Positive", "Negative", "Rows"]
NOT_RECORDED = "rows were not recorded by the version that trained it"


def row_lines(records: Sequence[CellRecord]) -> tuple[str, ...]:
    """A sentence a cohort and kind of row that cells were trained on, with the cells that it holds for."""
    facts = [(line, record.name) for record in records for line in _record_lines(record)]
    return tuple(shared_lines(sorted(facts, key=lambda one: one[0].partition(":")[0]), len(records)))


def row_sheets(records: Sequence[CellRecord]) -> list[Sheet]:
    """Every label's rows, one table for all cells that were trained on as many rows of each; one says so of no cell."""
    if not records:
        return [Sheet("Training rows", HEADINGS, [], ["No cell is done."], words=3)]
    alike: dict[str, list[CellRecord]] = {}
    for record in records:
        alike.setdefault(json.dumps([record.mix, _rows(record)], sort_keys=True), []).append(record)
    return [_sheet(cells) for cells in alike.values()]


def row_sheet(record: CellRecord) -> Sheet | None:
    """The rows of one cell; ``None`` where nothing was recorded."""
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
        found, wanted, without = masks["found"], masks["wanted"], masks["without_masks"]
        line = f"{masks['kind'].capitalize()} rows of {masks['cohort']}: {found:,} of {wanted:,} wanted"
        if without:
            line += f"; {without:,} of {masks['scans']:,} training scans have no {masks['kind']} mask"
        yield line


def _rows(record: CellRecord) -> Mapping[str, Any]:
    return record.result.get("rows") or {}
