"""A cohort's statement about a split: who made it, its seed, its expected number of scans, and absent scans.

It is stored after preparation (``splits.json``) and copied with the predictions, so that a verdict knows what it
compares. It is not part of a fingerprint, unlike the scans.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from uniferum.config import Section, parse
from uniferum.errors import UniferumError

Kind = Literal["official", "paper_sized", "own"]

NAMED = 5
"""Maximum number of absent scans that are named."""

UNPREPARED = "could not be prepared"
"""Reason for an absent scan that is on disk; the store's failures.csv has details."""

PHANTOM_MARK = "phantoms.json"
"""File that ``uniferum data phantom`` writes above its datasets."""


@dataclass(frozen=True)
class SplitRule:
    """How a split is made.

    Attributes:
        kind: ``official`` from the dataset, ``paper_sized`` drawn here with the paper's sizes, ``own`` any other.
        papers: whether the paper uses the same rule; if no scan is absent, the split is the paper's.
        seed: seed of a drawn split.
        note: further rules.
    """

    kind: Kind
    papers: bool = False
    seed: int | None = None
    note: str = ""


class SplitWord(Section):
    """Statement about a split that was scored.

    Attributes:
        kind: kind of the split; this and ``papers``, ``seed`` and ``note`` as in :class:`SplitRule`.
        phantoms: whether the scans are phantoms.
        expected: number of scans in the paper's split (Table 1); ``None`` for a cohort that the paper does not use.
        found: number of prepared scans.
        absent: number of scans of the split in the dataset's tables that are not prepared.
        absent_first: the first of them by name.
        absent_why: reason to number of absent scans.
    """

    kind: Kind
    papers: bool = False
    seed: int | None = None
    note: str = ""
    phantoms: bool = False
    expected: int | None = Field(default=None, ge=0)
    found: int = Field(ge=0)
    absent: int = Field(default=0, ge=0)
    absent_first: tuple[str, ...] = ()
    absent_why: dict[str, int] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _papers_size_is_known(self) -> Self:
        if self.papers and self.expected is None:
            raise ValueError("have expected, the size of the paper's split, if papers is true")
        return self

    @property
    def name(self) -> str:
        """Kind, seed and note: ``official``, ``paper_sized, seed 0``, ``own: the first reconstruction ...``."""
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.kind}{seed}" + (f": {self.note}" if self.note else "")

    @property
    def first_names(self) -> str:
        """The first absent scans, with dots if there are more."""
        return ", ".join(self.absent_first) + (", ..." if self.absent > len(self.absent_first) else "")


@dataclass
class SplitCounts:
    """Counts prepared and absent scans of each split."""

    _found: Counter[str] = field(default_factory=Counter)
    _absent: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _why: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def there(self, split: str) -> None:
        """Count a prepared scan."""
        self._found[split] += 1

    def absent(self, split: str, scan_id: str, reason: str) -> None:
        """Count a scan of the split that is not prepared."""
        self._absent[split].append(scan_id)
        self._why[split][reason] += 1

    def words(
        self, rules: Mapping[str, SplitRule], expected: Mapping[str, int], *, phantoms: bool
    ) -> dict[str, SplitWord]:
        """Statements by split, for splits that have scans or should have some.

        Args:
            rules: rule of each split.
            expected: number of scans in the paper's splits.
            phantoms: whether the scans are phantoms.
        """
        return {
            split: SplitWord(
                kind=rule.kind,
                papers=rule.papers,
                seed=rule.seed,
                note=rule.note,
                phantoms=phantoms,
                expected=expected.get(split),
                found=self._found[split],
                absent=len(self._absent[split]),
                absent_first=tuple(sorted(self._absent[split])[:NAMED]),
                absent_why=dict(sorted(self._why[split].items())),
            )
            for split, rule in rules.items()
            if self._found[split] or self._absent[split]
        }


def holds_phantoms(root: Path) -> bool:
    """Whether a dataset's folder is in the output of ``uniferum data phantom``, at most two levels up."""
    whole = root.resolve()
    return any((folder / PHANTOM_MARK).is_file() for folder in (whole, *whole.parents[:2]))


def read_words(written: Any, *, source: str) -> dict[str, SplitWord]:
    """Parse stored statements, e.g. from ``result.json``.

    Raises:
        UniferumError: a statement is invalid.
    """
    if not isinstance(written, Mapping):
        raise UniferumError(source, written, must="be a mapping of names to statements")
    return {str(name): _parsed(word, f"{source}: {name}") for name, word in written.items()}


def _parsed(word: Any, source: str) -> SplitWord:
    if not isinstance(word, Mapping):
        raise UniferumError(source, word, must="be a mapping of keys to values")
    return parse(SplitWord, word, source=source)
