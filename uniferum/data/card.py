"""Data card: the content of a cohort, compared with the paper's Table 1.

It contains only counts: no name, date, report text or file path of a patient; an excluded scan is shown by its id in
the dataset.
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
"""Number of scans, or rows, that are excluded for one reason, and the first few ids."""

EXAMPLES = 3
"""Number of excluded scans per reason that are named."""


@dataclass(frozen=True)
class Counts:
    """Number of known values of one label in one split."""

    positive: int = 0
    negative: int = 0

    @property
    def known(self) -> int:
        """Number of scans with a known value."""
        return self.positive + self.negative

    @property
    def prevalence(self) -> float | None:
        """Share of positives among known values; ``None`` if there are none."""
        return self.positive / self.known if self.known else None


@dataclass(frozen=True)
class DataCard:
    """Counts of existing, expected, missing and excluded scans, by split and label.

    Attributes:
        cohort: name of the cohort.
        scans: number of scans by split.
        patients: number of distinct patients by split.
        expected: number of scans by split in the paper's Table 1; empty for a cohort that the paper does not use.
        dropped: reasons for excluded scans (or table rows), with their number and the first few ids.
        labels: counts by label and split.
        masks: number of scans by mask layer.
        papers_split: whether a split is exactly that of the paper's scores.
        notes: further information for readers of a score.
    """

    cohort: str
    scans: Mapping[str, int]
    patients: Mapping[str, int]
    expected: Mapping[str, int]
    dropped: Mapping[str, LeftOut]
    labels: Mapping[str, Mapping[str, Counts]]
    masks: Mapping[str, int]
    papers_split: Mapping[str, bool]
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> dict[str, int]:
        """Expected minus existing scans, for splits with fewer than in the paper."""
        return {s: n - self.scans.get(s, 0) for s, n in self.expected.items() if n > self.scans.get(s, 0)}

    def to_dict(self) -> dict[str, Any]:
        """Data for JSON and for a store's ``store.json``."""
        return {
            "cohort": self.cohort,
            "found": dict(self.scans),
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
        """Number of organ tasks by the paper's share for a training on this cohort; None without a training split."""
        scans, trainable = self.scans.get("train", 0), set(Vocabulary.load().trainable(self.cohort))
        counts = (by.get("train", Counts()) for label, by in self.labels.items() if label in trainable)
        rows = drawn_rows((count.negative, count.positive) for count in counts)
        return OrganCounts(self.cohort, rows, scans, SamplingConfig.model_validate({})) if rows else None

    def splits(self) -> tuple[str, ...]:
        """Splits with scans, in their usual order."""
        return tuple(split for split in SPLITS if self.scans.get(split))

    def split_rows(self) -> list[list[object]]:
        """Rows of split, existing, expected by the paper, missing, patients, whether it is the paper's split."""
        rows: list[list[object]] = []
        for split in SPLITS:
            if split in self.scans or split in self.expected:
                verdict = "yes" if self.papers_split.get(split) else "not the paper's split" if self.expected else "-"
                expected, missing = self.expected.get(split, "-"), self.missing.get(split, 0)
                rows.append([split, self.scans.get(split, 0), expected, missing, self.patients.get(split, 0), verdict])
        return rows

    def label_rows(self) -> list[list[object]]:
        """Rows of label, then positives / known and the prevalence in percent for each split with scans."""
        return [[name, *(_shown(by.get(s, Counts())) for s in self.splits())] for name, by in self.labels.items()]

    def dropped_rows(self) -> list[list[object]]:
        """Rows of reason, number, first ids; the most frequent reason first."""
        ordered = sorted(self.dropped.items(), key=lambda entry: (-entry[1][0], entry[0]))
        return [[why, n, ", ".join(ids) + (", ..." if n > len(ids) else "")] for why, (n, ids) in ordered]


@dataclass
class Tally:
    """Counts scans one by one; it stores numbers and distinct patients, but no scan."""

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
        """Count one scan; ``patient_known`` is false if ``patient`` is the scan's id."""
        self._found[split] += 1
        self._without_patient += not patient_known
        self._patients[split].add(patient)
        self._masks.update(layers)
        self._values.update((label, split, value) for label, value in labels.items())

    def drop(self, scan_id: str, reason: str) -> None:
        """Count one excluded scan or table row."""
        self._dropped[reason] += 1
        if len(self._examples[reason]) < EXAMPLES:
            self._examples[reason].append(scan_id)

    def scans(self) -> dict[str, int]:
        """Number of scans so far, by split."""
        return {split: self._found[split] for split in SPLITS if self._found[split]}

    def left_out(self) -> dict[str, LeftOut]:
        """Exclusions so far, by reason."""
        return {why: (n, tuple(self._examples[why])) for why, n in self._dropped.items()}

    def card(
        self, cohort: str, *, expected: Mapping[str, int], papers_split: Mapping[str, bool], notes: Iterable[str]
    ) -> DataCard:
        """Make the card of everything counted so far.

        Args:
            cohort: name of the cohort.
            expected: the paper's number of scans by split.
            papers_split: whether a split is made by the paper's rule; it is the paper's split if the number of scans is
                equal too.
            notes: further notes.
        """
        labels = {
            label: {s: Counts(self._values[label, s, 1], self._values[label, s, 0]) for s in SPLITS if self._found[s]}
            for label in self.labels
        }
        return DataCard(
            cohort=cohort,
            scans=self.scans(),
            patients={s: len(self._patients[s]) for s in SPLITS if self._found[s]},
            expected=dict(expected),
            dropped=self.left_out(),
            labels=labels,
            masks=dict(self._masks),
            papers_split={s: same_rule and self._found[s] == expected.get(s) for s, same_rule in papers_split.items()},
            notes=(*notes, *self._leaks()),
        )

    def _splits_of(self, names: set[str]) -> int:
        """Number of splits that contain some patients, added up over the patients."""
        return sum(not names.isdisjoint(patients) for patients in self._patients.values())

    def _leaks(self) -> Iterable[str]:
        """Notes on patients who are, or may be, used for training and testing."""
        everyone = [patient for patients in self._patients.values() for patient in patients]
        several = len(everyone) - len(set(everyone))
        if several:
            yield f"{several} patients are in more than one split"
        written = defaultdict[str, set[str]](set)
        for patient in set(everyone):
            written[alike(patient)].add(patient)
        doubtful = sum(1 for names in written.values() if len(names) > 1 and self._splits_of(names) > 1)
        if doubtful:
            yield (
                f"{doubtful} patients of several splits have ids that differ in case, spaces, leading zeros or .0 "
                "only: each may be one person who is used for training and testing"
            )
        rounded = sum(map(is_rounded, set(everyone)))
        if rounded:
            yield f"{rounded} patient ids {ROUNDED}"
        if self._without_patient:
            yield (
                f"{self._without_patient} scans have no patient id: each counts as a separate patient, "
                "so that one person may be in two splits"
            )


ROUNDED = "are rounded by a spreadsheet (1.23E+05), so several ids may have become one"


def is_rounded(text: str) -> bool:
    """Whether an id is a long number that a spreadsheet has rounded to scientific notation."""
    return re.fullmatch(r"\d[.,]\d+[eE]\+\d+", text) is not None


def alike(text: str) -> str:
    """An id without typical variations: case, spaces, encoding of accents, ``007``, ``7.0``."""
    text = "".join(unicodedata.normalize("NFKC", text).casefold().split())
    number = re.fullmatch(r"0*(\d+)(\.0+)?", text)
    return number[1] if number else text


def _shown(counts: Counts) -> str:
    if counts.prevalence is None:
        return "unknown"
    return f"{counts.positive} / {counts.known} ({100 * counts.prevalence:.1f} %)"
