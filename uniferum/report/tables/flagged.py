"""Quality flags in tables: how many test cases and training scans of a cell carry them.

Records of versions before the flags have none.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from uniferum.preprocessing.flags import DOUBTFUL, WRONG_HU
from uniferum.report.records import CellRecord, Score
from uniferum.report.tables.shared_lines import shared_lines
from uniferum.report.tables.sheet import Sheet

HEADINGS = ["Cohort", "Split", "Scans", "Flagged", "Left out of training"]


def flagged_cases(scores: Iterable[Score]) -> str:
    """Text such as ``, 3 of them flagged wrong_hu`` for scores of the same cases; empty if no case is doubtful."""
    counts: dict[str, set[int]] = {flag: set() for flag in DOUBTFUL}
    for score in scores:
        for flag, count in score.flagged:
            counts.setdefault(flag, set()).add(count)
    shown = {flag: " or ".join(map(str, sorted(numbers))) for flag, numbers in counts.items() if numbers}
    return "".join(f", {count} of them flagged {flag}" for flag, count in shown.items())


def data_lines(records: Sequence[CellRecord]) -> tuple[str, ...]:
    """One sentence for each training and selection split with doubtful scans: left out or used."""
    facts = ((line, record.name) for record in records for line in _record_lines(record))
    return tuple(shared_lines(facts, len(records)))


def flag_sheet(record: CellRecord) -> Sheet | None:
    """Make the table of flags of a cell, one row for each cohort and split; None if nothing was recorded."""
    rows = [
        [
            cohort,
            split,
            str(counts.get("scans", "")),
            _counted(counts) or "none",
            str(counts.get("left_out", 0)),
        ]
        for cohort, split, counts in _splits(record)
    ]
    return Sheet("Quality flags of the scans", HEADINGS, rows, words=4) if rows else None


def flag_line(record: CellRecord) -> str:
    """Format the flags of a cell in one line; empty if no scan is flagged or nothing was recorded."""
    return "; ".join(
        f"{cohort} {split}: {_counted(counts)} of {counts.get('scans')}"
        for cohort, split, counts in _splits(record)
        if counts.get("flags")
    )


def _counted(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {flag}" for flag, count in counts.get("flags", {}).items())


def _record_lines(record: CellRecord) -> Iterator[str]:
    for cohort, split, counts in _splits(record):
        if split == "test":
            continue  # the protocol lines count its flagged cases
        kind = "training" if split == "train" else "selection"
        for flag in DOUBTFUL:
            count, total = counts.get("flags", {}).get(flag, 0), counts.get("scans", 0)
            out = counts.get("left_out", 0) if flag == WRONG_HU else 0
            if out:
                yield f"{cohort}: {out} of {total} {kind} scans were left out, flagged {flag}"
            if count > out:
                yield f"{cohort}: {count - out} of {total} {kind} scans were used although flagged {flag}"


def _splits(record: CellRecord) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for cohort, splits in (record.result.get("flags") or {}).items():
        for split, counts in splits.items():
            yield str(cohort), str(split), counts
