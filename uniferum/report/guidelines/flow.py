"""Flow of the scans: found, excluded, failed, prepared, left out, scored; and missing labels, by cohort and split."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.provenance import UNPREPARED
from uniferum.report.guidelines.printing import tested_cases
from uniferum.report.records import CellRecord
from uniferum.report.tables.sheet import Sheet

SPLITS = ("train", "validation", "test")
HEADINGS = ["Cohort", "Split", "Step", "Scans", "Patients", "Note"]


def flow_sheet(records: Sequence[CellRecord], stores: Mapping[str, PreparedCohort], only: Mapping[str, str]) -> Sheet:
    """Make the table of the flow of scans.

    Args:
        records: finished cells.
        stores: prepared cohorts; without its store, only what the records say of a cohort is known.
        only: a cohort.
    """
    cohorts = dict.fromkeys([*stores, *(score.cohort for record in records for score in record.groups)])
    wanted = [name for name in cohorts if only.get("cohort", name).lower() == name.lower()]
    rows = [row for cohort in wanted for row in _cohort_rows(cohort, stores.get(cohort), records)]
    below = [
        "Found: scans of the split in the dataset's tables. Scored: scans with a prediction, by number of cells.",
        "Missing labels: pairs of a prepared scan and a label of its cohort without a known value; they are not scored "
        "and never taken as negative.",
    ]
    return Sheet("Flow of the scans, from found to scored", HEADINGS, rows, below, words=3)


def _cohort_rows(cohort: str, store: PreparedCohort | None, records: Sequence[CellRecord]) -> Iterator[list[str]]:
    if store is not None:
        for split in SPLITS:
            yield from _split_rows(cohort, split, store)
            yield from _left_out(cohort, split, records)
    yield from _scored(cohort, records)
    if store is not None and "reason" in (failures := store.store.failures()).columns:
        for reason, part in failures.groupby("reason"):
            yield [cohort, "all", "could not be prepared", f"{len(part):,}", "", str(reason)]


def _split_rows(cohort: str, split: str, store: PreparedCohort) -> Iterator[list[str]]:
    scans = store.patients(split)
    word = store.split_word(split)
    if not scans and word is None:
        return
    absent = word.absent if word else 0
    unknown = "" if word else "the store does not record scans that are absent"
    yield [cohort, split, "found", f"{len(scans) + absent:,}", "", unknown]
    for reason, count in (word.absent_why if word else {}).items():
        yield [cohort, split, "failed" if reason == UNPREPARED else "excluded", f"{count:,}", "", reason]
    yield [cohort, split, "prepared", f"{len(scans):,}", f"{len(set(scans.values())):,}", ""]
    labels = store.vocabulary.of_cohort(cohort)
    known = sum(negative + positive for negative, positive in store.label_counts(split).values())
    pairs = len(scans) * len(labels)
    yield [cohort, split, "missing labels", f"{pairs - known:,}", "", f"of {pairs:,} pairs of scan and label"]


def _left_out(cohort: str, split: str, records: Sequence[CellRecord]) -> Iterator[list[str]]:
    """Scans that cells left out of a split for their flags."""
    counts: dict[int, int] = {}
    for record in records:
        flags = ((record.result.get("flags") or {}).get(cohort) or {}).get(split) or {}
        if flags.get("left_out"):
            counts[int(flags["left_out"])] = counts.get(int(flags["left_out"]), 0) + 1
    for count, cells in sorted(counts.items()):
        yield [cohort, split, "left out by flag", f"{count:,}", "", f"in {cells} of {len(records)} cells"]


def _scored(cohort: str, records: Sequence[CellRecord]) -> Iterator[list[str]]:
    """Test scans and patients with a prediction; cells with the same numbers share a row."""
    counts: dict[tuple[int, int, int], int] = {}
    for record in records:
        table: pd.DataFrame = tested_cases(record)
        part = table.loc[table["cohort"] == cohort]
        if len(part):
            key = part["volume_id"].nunique(), part["patient_id"].nunique(), len(part)
            counts[key] = counts.get(key, 0) + 1
    for (scans, patients, answers), cells in sorted(counts.items()):
        note = f"{answers:,} labels of scans, in {cells} of {len(records)} cells"
        yield [cohort, "test", "scored", f"{scans:,}", f"{patients:,}", note]
