"""What the cohorts said of the test splits that cells were scored on, as lines of a protocol; and of older records.

A record that was written before splits said what they are says nothing here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from uniferum.data.prepared import PreparedCohort
from uniferum.data.provenance import SplitWord
from uniferum.report.records import CellRecord
from uniferum.report.tables.shared_lines import shared_lines


def split_lines(records: Sequence[CellRecord], cohorts: Iterable[str]) -> tuple[str, ...]:
    """A sentence on the test split of each cohort; where cells differ, one for each of what they were scored on."""
    facts = (
        (_line(cohort, record.test_splits[cohort]), record.name)
        for cohort in dict.fromkeys(cohorts)
        for record in records
        if cohort in record.test_splits
    )
    return tuple(shared_lines(facts, len(records)))


def split_line(record: CellRecord) -> str:
    """Every test split of a cell in one line; empty where nothing was recorded."""
    return "; ".join(_line(cohort, word) for cohort, word in record.test_splits.items())


def completed(records: Sequence[CellRecord], stores: Mapping[str, PreparedCohort]) -> list[CellRecord]:
    """Records without a word on a test split, with that of the store whose test split has the very same content.

    Args:
        records: finished cells.
        stores: prepared cohorts that say what their splits are.
    """
    return [_completed(record, stores) for record in records]


def _completed(record: CellRecord, stores: Mapping[str, PreparedCohort]) -> CellRecord:
    digests = record.result.get("data") or {}
    found = dict(record.test_splits)
    for cohort, store in stores.items():
        word = None if cohort in found else store.split_word("test")
        if word is not None and digests.get(f"{cohort} test") == store.digest("test"):
            found[cohort] = word
    if len(found) == len(record.test_splits):
        return record
    words = {cohort: word.model_dump(mode="json") for cohort, word in found.items()}
    return replace(record, result={**record.result, "test_splits": words})


def _line(cohort: str, word: SplitWord) -> str:
    kind = "phantoms" if word.phantoms else word.name
    of_paper = "" if word.expected is None else f", the paper's has {word.expected}"
    absent = ""
    if word.absent:
        why = ", ".join(f"{count} {reason}" for reason, count in word.absent_why.items())
        absent = f"; {word.absent} absent ({why}): {word.first_names}"
    return f"{cohort} test split: {kind}, {word.found} scans{of_paper}{absent}"
