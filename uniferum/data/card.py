"""The data card: what a cohort holds, beside what the paper's Table 1 says it should.

Counts only: no name, date, report text or path of a patient's file ever stands in a card; a dropped scan is shown by
the identifier that the dataset itself publishes.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from uniferum.data.organ_counts import OrganCounts, drawn_rows
from uniferum.data.settings import SamplingConfig
from uniferum.data.vocabulary import Vocabulary

SPLITS = ("train", "validation", "test")
LeftOut = tuple[int, tuple[str, ...]]
"""How many scans, or rows, are left out for one reason, and the first few identifiers."""

EXAMPLES = 3
"""How many dropped scans of one kind are named."""


@dataclass(frozen=True)
class Counts:
    """Known values of one label in one split."""

    positive: int = 0
    negative: int = 0

    @property
    def known(self) -> int:
        """Scans whose value is known."""
        return self.positive + self.negative

    @property
    def prevalence(self) -> float | None:
        """Share of positives among the known; ``None`` where nothing is known."""
        return self.positive / self.known if self.known else None


@dataclass(frozen=True)
class DataCard:
    """Found, expected, missing, dropped and why; counts by split and label.

    Attributes:
        cohort: the cohort's name.
        found: scans by split.
        patients: distinct patients by split.
        expected: scans by split in the paper's Table 1; empty for a cohort that the paper does not use.
        dropped: why scans (or table rows) are left out, with how many and the first few identifiers.
        labels: counts by label, then split.
        masks: scans by mask layer.
        papers_split: whether a split is the very one that the paper scored.
        notes: what else a reader of a score should know.
    """

    cohort: str
    found: Mapping[str, int]
    patients: Mapping[str, int]
    expected: Mapping[str, int]
    dropped: Mapping[str, LeftOut]
    labels: Mapping[str, Mapping[str, Counts]]
    masks: Mapping[str, int]
    papers_split: Mapping[str, bool]
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> dict[str, int]:
        """Expected minus found, where fewer were found than the paper has."""
        return {s: n - self.found.get(s, 0) for s, n in self.expected.items() if n > self.found.get(s, 0)}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON and for a store's ``store.json``."""
        return {
            "cohort": self.cohort,
            "found": dict(self.found),
            "patients": dict(self.patients),
            "expected": dict(self.expected),
            "missing": self.missing,
            "dropped": {why: {"count": n, "examples": list(ids)} for why, (n, ids) in self.dropped.items()},
            "labels": {
                label: {split: {"positive": c.positive, "negative": c.negative} for split, c in splits.items()}
                for label, splits in self.labels.items()
            },
            "masks": dict(self.masks),
            "papers_split": dict(self.papers_split),
            "notes": list(self.notes),
        }

    def organ_counts(self) -> OrganCounts | None:
        """How many organ tasks the paper's share gives a training on this cohort; None where it has no such split."""
        scans, trainable = self.found.get("train", 0), set(Vocabulary.load().trainable(self.cohort))
        counts = (by.get("train", Counts()) for label, by in self.labels.items() if label in trainable)
        rows = drawn_rows((count.negative, count.positive) for count in counts)
        return OrganCounts(self.cohort, rows, scans, SamplingConfig.model_validate({})) if rows else None

    def splits(self) -> tuple[str, ...]:
        """The splits that hold a scan, in their usual order."""
        return tuple(split for split in SPLITS if self.found.get(split))

    def split_rows(self) -> list[list[object]]:
        """Rows of split, found, expected by the paper, missing, patients, the paper's own split (yes/no)."""
        rows: list[list[object]] = []
        for split in SPLITS:
            if split in self.found or split in self.expected:
                own = "yes" if self.papers_split.get(split) else "not the paper's split" if self.expected else "-"
                expected, missing = self.expected.get(split, "-"), self.missing.get(split, 0)
                rows.append([split, self.found.get(split, 0), expected, missing, self.patients.get(split, 0), own])
        return rows

    def label_rows(self) -> list[list[object]]:
        """Rows of label, then for each split that holds a scan: positives / known and the prevalence in percent."""
        return [[name, *(_shown(by.get(s, Counts())) for s in self.splits())] for name, by in self.labels.items()]

    def dropped_rows(self) -> list[list[object]]:
        """Rows of reason, count, first identifiers; the most frequent reason first."""
        ordered = sorted(self.dropped.items(), key=lambda entry: (-entry[1][0], entry[0]))
        return [[why, n, ", ".join(ids) + (", ..." if n > len(ids) else "")] for why, (n, ids) in ordered]


@dataclass
class Tally:
    """Counts scans one by one, holding numbers and distinct patients but no scan."""

    labels: Iterable[str]
    _found: Counter[str] = field(default_factory=Counter)
    _patients: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _dropped: Counter[str] = field(default_factory=Counter)
    _examples: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _values: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    _masks: Counter[str] = field(default_factory=Counter)
    _without_patient: int = 0

    def scan(
        self,
        split: str,
        patient: str,
        labels: Mapping[str, int],
        layers: Iterable[str],
        *,
        patient_known: bool = True,
    ) -> None:
        """Count one scan that is kept; ``patient_known`` is false where ``patient`` stands for the scan alone."""
        self._found[split] += 1
        self._without_patient += not patient_known
        self._patients[split].add(patient)
        self._masks.update(layers)
        self._values.update((label, split, value) for label, value in labels.items())

    def drop(self, scan_id: str, reason: str) -> None:
        """Count one scan, or table row, that is left out."""
        self._dropped[reason] += 1
        if len(self._examples[reason]) < EXAMPLES:
            self._examples[reason].append(scan_id)

    def found(self) -> dict[str, int]:
        """Scans so far, by split."""
        return {split: self._found[split] for split in SPLITS if self._found[split]}

    def left_out(self) -> dict[str, LeftOut]:
        """What is left out so far, by reason."""
        return {why: (n, tuple(self._examples[why])) for why, n in self._dropped.items()}

    def card(
        self, cohort: str, *, expected: Mapping[str, int], papers_split: Mapping[str, bool], notes: Iterable[str]
    ) -> DataCard:
        """The card of everything counted so far.

        Args:
            cohort: its name.
            expected: the paper's scans by split.
            papers_split: whether a split is made by the paper's own rule; it is the paper's where the number of scans
                also is.
            notes: what else a reader should know.
        """
        labels = {
            label: {s: Counts(self._values[label, s, 1], self._values[label, s, 0]) for s in SPLITS if self._found[s]}
            for label in self.labels
        }
        return DataCard(
            cohort=cohort,
            found=self.found(),
            patients={s: len(self._patients[s]) for s in SPLITS if self._found[s]},
            expected=dict(expected),
            dropped=self.left_out(),
            labels=labels,
            masks=dict(self._masks),
            papers_split={s: own and self._found[s] == expected.get(s) for s, own in papers_split.items()},
            notes=(*notes, *self._leaks()),
        )

    def _splits_of(self, names: set[str]) -> int:
        """In how many splits some patients lie, together."""
        return sum(not names.isdisjoint(patients) for patients in self._patients.values())

    def _leaks(self) -> Iterable[str]:
        """Patients who are, or may be, trained on and tested on."""
        everyone = [patient for patients in self._patients.values() for patient in patients]
        several = len(everyone) - len(set(everyone))
        if several:
            yield f"{several} patients lie in more than one split"
        written = defaultdict[str, set[str]](set)
        for patient in set(everyone):
            written[alike(patient)].add(patient)
        doubtful = sum(1 for names in written.values() if len(names) > 1 and self._splits_of(names) > 1)
        if doubtful:
            yield (
                f"{doubtful} patients of several splits have ids that differ in case, blanks, leading zeros or .0 "
                "alone: each may be one person who is trained on and tested on"
            )
        rounded = sum(map(is_rounded, set(everyone)))
        if rounded:
            yield f"{rounded} patient ids {ROUNDED}"
        if self._without_patient:
            yield (
                f"{self._without_patient} scans have no patient id: each counts as a patient of its own, "
                "so that one person may lie in two splits"
            )


ROUNDED = "are numbers as a spreadsheet rounds them (1.23E+05), so that several ids may have become one"


def is_rounded(text: str) -> bool:
    """Whether an identifier is a long number that a spreadsheet has cut to scientific notation."""
    return re.fullmatch(r"\d[.,]\d+[eE]\+\d+", text) is not None


def alike(text: str) -> str:
    """An identifier without what spreadsheets and people change: case, blanks, accents' encoding, ``007``, ``7.0``."""
    text = "".join(unicodedata.normalize("NFKC", text).casefold().split())
    number = re.fullmatch(r"0*(\d+)(\.0+)?", text)
    return number[1] if number else text


def _shown(counts: Counts) -> str:
    if counts.prevalence is None:
        return "unknown"
    return f"{counts.positive} / {counts.known} ({100 * counts.prevalence:.1f} %)"
