"""Protocol lines on how cells were scored beyond their test cohorts: other labels, and test-time augmentation."""

from collections.abc import Iterable, Sequence

from uniferum.data.label_sets import column_title, described
from uniferum.report.records import CellRecord
from uniferum.report.tables.shared_lines import shared_lines


def label_set_lines(records: Sequence[CellRecord], cohorts: Iterable[str]) -> list[str]:
    """One sentence for the label file of each column that has one; several if cells were scored under different files.

    Args:
        records: the cells.
        cohorts: cohorts of the columns; titles of label sets among them.
    """
    wanted = dict.fromkeys(cohorts)
    facts = [
        (title, described(one), record.name)
        for record in records
        for one in record.result.get("label_sets") or ()
        if (title := column_title(one["cohort"], one["name"])) in wanted
    ]
    scored = {title: sum(named == title for named, _, _ in facts) for title in wanted}
    return [
        line
        for title in wanted
        for line in shared_lines(((fact, name) for named, fact, name in facts if named == title), scored[title])
    ]


def pass_lines(records: Sequence[CellRecord]) -> list[str]:
    """One sentence on test-time augmentation, with the number of cells that had it if not all had."""
    facts = ((passes_of(record), record.name) for record in records if passes_of(record))
    return shared_lines(facts, len(records))


def passes_of(record: CellRecord) -> str:
    """How often each test volume was read, without a full stop; empty if once."""
    keys = record.result.get("evaluation") or {}
    count, ranges = keys.get("augmentations"), keys.get("ranges") or {}
    if not count:
        return ""
    drawn = (
        f"rotation up to {ranges.get('rotation_deg'):g} degrees, zoom up to {ranges.get('zoom'):.0%}, noise up to "
        f"{ranges.get('noise'):g}, offset up to {ranges.get('offset'):g}, no flip"
    )
    return f"Test-time augmentation: logits are means over the plain volume and {count} augmented ones ({drawn})"
