"""Divide a cohort's scans into folds: by patient, stratified by the labels, seeded.

Fold ``index`` is the validation split and the other folds are the training split; the test split is untouched. For a
cohort without a test split of its own, ``nested`` folds take all scans: fold ``index`` is tested and the next fold
validates. Every patient, with all scans, is in one fold.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

DIVIDED = ("train", "validation")
"""Splits that folds divide; nested folds divide all."""


@dataclass(frozen=True)
class Folds:
    """Which division into folds, and which of its folds a run holds out."""

    count: int
    index: int
    seed: int = 0
    nested: bool = False

    @property
    def division(self) -> tuple[int, int, bool]:
        """What all folds of a division have in common."""
        return self.count, self.seed, self.nested


def fold_splits(
    patients: Mapping[str, Mapping[str, str]], known: Mapping[str, Mapping[str, int]], folds: Folds
) -> dict[str, str]:
    """Map each scan to its split under folds.

    Args:
        patients: split to scan to patient, as the store has them.
        known: scan to label to 0 or 1; may contain other scans.
        folds: the division.

    Returns:
        Scan to ``train``, ``validation`` or ``test``; scans of splits that are not divided keep theirs.
    """
    divided = tuple(patients) if folds.nested else DIVIDED
    own = {scan: split for split, scans in patients.items() if split not in divided for scan in scans}
    patient_of = {scan: patient for split in divided for scan, patient in patients.get(split, {}).items()}
    positives: dict[str, set[str]] = {patient: set() for patient in patient_of.values()}
    for scan, patient in patient_of.items():
        positives[patient].update(label for label, value in known.get(scan, {}).items() if value == 1)
    fold_of = stratified(positives, folds.count, folds.seed)
    held = {folds.index: "test", (folds.index + 1) % folds.count: "validation"} if folds.nested else {}
    held = held or {folds.index: "validation"}
    return own | {scan: held.get(fold_of[patient], "train") for scan, patient in patient_of.items()}


def stratified(positives: Mapping[str, Iterable[str]], count: int, seed: int) -> dict[str, int]:
    """Divide patients into folds with about as many patients and positives of each label.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011): the rarest label that is left is divided first,
    each of its patients goes to the fold that lacks it most. scikit-learn stratifies by one label only.

    Args:
        positives: patient to its positive labels.
        count: number of folds.
        seed: seed of the order in which patients are divided; the order of the mapping does not matter.
    """
    order = sorted(positives)
    random.Random(seed).shuffle(order)
    division = _Division({patient: frozenset(positives[patient]) for patient in order}, count)
    while (label := division.rarest()) is not None:
        for patient in division.without_fold(label):
            division.assign(patient, division.lacking[label])
    for patient in order:
        if patient not in division.fold_of:
            division.assign(patient, division.room)
    return division.fold_of


class _Division:
    """Folds that are being filled: what each still lacks, of patients and of positives of each label."""

    def __init__(self, labels_of: Mapping[str, frozenset[str]], count: int) -> None:
        self.labels_of, self.count = labels_of, count
        self.members: dict[str, list[str]] = defaultdict(list)
        for patient, labels in labels_of.items():
            for label in labels:
                self.members[label].append(patient)
        self.left = Counter({label: len(patients) for label, patients in self.members.items()})
        self.room = [len(labels_of) / count] * count
        self.lacking = {label: [len(patients) / count] * count for label, patients in self.members.items()}
        self.fold_of: dict[str, int] = {}

    def rarest(self) -> str | None:
        """The label with the fewest patients without a fold; None if there is none."""
        return min(
            (label for label in self.left if self.left[label]), key=lambda one: (self.left[one], one), default=None
        )

    def without_fold(self, label: str) -> list[str]:
        """Patients with a label that have no fold yet."""
        return [patient for patient in self.members[label] if patient not in self.fold_of]

    def assign(self, patient: str, lacking: Sequence[float]) -> None:
        """Put a patient into the fold that lacks most; of equal ones into the one with most room, then the first."""
        fold = max(range(self.count), key=lambda at: (lacking[at], self.room[at], -at))
        self.fold_of[patient] = fold
        self.room[fold] -= 1
        for label in self.labels_of[patient]:
            self.lacking[label][fold] -= 1
            self.left[label] -= 1
