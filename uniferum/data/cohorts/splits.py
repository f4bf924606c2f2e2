"""Split by patient: seeded, disjoint, and with the paper's sizes if there are enough scans.

Table 1 of the paper gives sizes, but neither seed nor rule, so a split made here is never that of the paper.
scikit-learn's ``GroupShuffleSplit`` shares out patients, not scans, so it meets no size in scans, and another order of
the table gives another split.
"""

from collections.abc import Mapping

from uniferum.data.cohorts.tables import draw

BEYOND = "beyond the paper's sizes"
"""Reason for excluding a scan with ``split: paper_sized``."""


def by_patient(counts: Mapping[str, int], sizes: Mapping[str, int], seed: int) -> dict[str, str]:
    """Assign each patient to one split, so that the splits have the requested numbers of scans.

    Test is filled first, then validation, then train, with patients in a seeded order; a patient whose scans would
    overflow a split goes to the next one. Patients that fit nowhere are not in the result. If there are fewer scans
    than requested, the sizes shrink in proportion and all patients are used.

    Args:
        counts: number of scans by patient.
        sizes: requested scans by split.
        seed: seed of the order of the patients.
    """
    total, requested = sum(counts.values()), sum(sizes.values())
    short = total < requested
    left = {s: n * total // requested if short else n for s, n in sizes.items()}
    waiting = sorted(counts, key=lambda patient: draw(patient, seed))
    assigned: dict[str, str] = {}
    for split in (s for s in ("test", "validation", "train") if s in left):
        passed: list[str] = []
        for patient in waiting:
            if counts[patient] <= left[split]:
                assigned[patient] = split
                left[split] -= counts[patient]
            else:
                passed.append(patient)
        waiting = passed
    if short:
        assigned |= dict.fromkeys(waiting, "train" if "train" in sizes else "validation")
    return assigned


class PatientSplits:
    """Splits of each patient in a dataset with splits by scan, to prevent training and testing on one patient."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def add(self, patient: str, split: str) -> None:
        """Add one scan of a patient."""
        known = self._last.get(patient)
        if known is None or ORDER.index(split) > ORDER.index(known):
            self._last[patient] = split

    def leak(self, patient: str, split: str) -> str | None:
        """Reason for excluding a scan of this split: its patient is in a later split too; ``None`` otherwise."""
        last = self._last.get(patient, split)
        return f"patient is in {last} too" if last != split else None


ORDER = ("train", "validation", "test")
"""Order of splits: a patient in several splits stays only in the last one."""
