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
