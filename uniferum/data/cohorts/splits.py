"""Splits by patient: seeded, disjoint, and in the paper's sizes where the data allow it.

Paper, Table 1, gives sizes and neither seed nor rule; a split made here is never the paper's own.
"""

from collections.abc import Mapping

from uniferum.data.cohorts.tables import draw

BEYOND = "beyond the paper's sizes"
"""Why a scan is left out by ``split: paper_sized``."""


def by_patient(counts: Mapping[str, int], sizes: Mapping[str, int], seed: int) -> dict[str, str]:
    """Give each patient one split, so that the splits have the wanted sizes in scans.

    Test is filled first, then validation, then train, with patients in a seeded order; a patient whose scans would
    overflow a split is passed on to the next one. Patients that fit nowhere are left out of the answer. Where there
    are fewer scans than wanted in all, the sizes shrink in proportion and everybody is used.

    Args:
        counts: scans by patient.
        sizes: wanted scans by split.
        seed: of the order of the patients.
    """
    total, wanted = sum(counts.values()), sum(sizes.values())
    short = total < wanted
    left = {s: n * total // wanted if short else n for s, n in sizes.items()}
    waiting = sorted(counts, key=lambda patient: draw(patient, seed))
    given: dict[str, str] = {}
    for split in (s for s in ("test", "validation", "train") if s in left):
        passed: list[str] = []
        for patient in waiting:
            if counts[patient] <= left[split]:
                given[patient] = split
                left[split] -= counts[patient]
            else:
                passed.append(patient)
        waiting = passed
    if short:
        given |= dict.fromkeys(waiting, "train" if "train" in sizes else "validation")
    return given


class PatientSplits:
    """The splits of each patient where a dataset gives them by scan, so that no patient is trained on and tested on."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def add(self, patient: str, split: str) -> None:
        """Note one scan of a patient."""
        known = self._last.get(patient)
        if known is None or ORDER.index(split) > ORDER.index(known):
            self._last[patient] = split

    def leak(self, patient: str, split: str) -> str | None:
        """Why a scan of this split is left out: its patient lies in a later one too; ``None`` otherwise."""
        last = self._last.get(patient, split)
        return f"patient lies in {last} too" if last != split else None


ORDER = ("train", "validation", "test")
"""A patient of several splits stays in the last of these."""
