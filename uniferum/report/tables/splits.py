"""Protocol lines on the test splits of cells.

Records of versions before the description of splits have none; :func:`completed` takes it from the stores.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.provenance import SplitWord
from uniferum.report.records import CellRecord
from uniferum.report.tables.shared_lines import shared_lines


def split_lines(records: Sequence[CellRecord], cohorts: Iterable[str]) -> tuple[str, ...]:
    """One sentence for the test split of each cohort; several if the cells were scored on different splits."""
    facts = (
        (_split_text(record, cohort), record.name)
        for cohort in dict.fromkeys(cohorts)
        for record in records
        if cohort in record.test_splits
    )
    return tuple(shared_lines(facts, len(records)))


def tests_fold(record: CellRecord, cohort: str) -> bool:
    """Whether a cell is tested on a nested fold of a cohort, so that the other folds have other cases."""
    folds = record.folds_on(cohort)
    return folds is not None and folds.nested


def _split_text(record: CellRecord, cohort: str) -> str:
    word = record.test_splits[cohort]
    if record.folds is None or not tests_fold(record, cohort):
        return _line(cohort, word)
    phantoms = " of phantoms" if word.phantoms else ""
    return f"{cohort} test split: nested folds{phantoms}, drawn by patient with seed {record.folds.seed}"


def split_line(record: CellRecord) -> str:
    """Format the test splits of a cell in one line; empty if nothing was recorded."""
    return "; ".join(_line(cohort, word) for cohort, word in record.test_splits.items())


def completed(records: Sequence[CellRecord], stores: Mapping[str, PreparedCohort]) -> list[CellRecord]:
    """Add missing descriptions of test splits to records, from stores whose test split has the same content.

    Args:
        records: finished cells.
        stores: prepared cohorts with a description of their splits.
    """
    return [_completed(record, stores) for record in records]


def _completed(record: CellRecord, stores: Mapping[str, PreparedCohort]) -> CellRecord:
    digests = record.result.get("data") or {}
    splits = dict(record.test_splits)
    for cohort, store in stores.items():
        word = None if cohort in splits else store.split_word("test")
        if word is not None and digests.get(f"{cohort} test") == store.digest("test"):
            splits[cohort] = word
    if len(splits) == len(record.test_splits):
        return record
    words = {cohort: word.model_dump(mode="json") for cohort, word in splits.items()}
    return replace(record, result={**record.result, "test_splits": words})


def _line(cohort: str, word: SplitWord) -> str:
    kind = "phantoms" if word.phantoms else word.name
    of_paper = "" if word.expected is None else f", the paper's has {word.expected}"
    absent = ""
    if word.absent:
        why = ", ".join(f"{count} {reason}" for reason, count in word.absent_why.items())
        absent = f"; {word.absent} absent ({why}): {word.first_names}"
    return f"{cohort} test split: {kind}, {word.found} scans{of_paper}{absent}"
