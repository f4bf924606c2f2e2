"""A cohort's own word on one of its splits: who made it, from which seed, how many scans it should have, which lack.

It is written into the store when the cohort has been prepared (``splits.json``) and travels from there with the
predictions, so that a verdict knows what it compares. It is part of no fingerprint: the scans themselves are.
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
"""How many absent scans of a split are named."""

UNPREPARED = "could not be prepared"
"""Why a scan is absent that is on disk; the store's failures.csv gives the reason of each."""

PHANTOM_MARK = "phantoms.json"
"""The file that ``uniferum data phantom`` leaves above the datasets that it writes."""


@dataclass(frozen=True)
class SplitRule:
    """How a split is made.

    Attributes:
        kind: ``official`` as the dataset gives it, ``paper_sized`` drawn by us to the paper's sizes, ``own`` any other.
        papers: whether the paper's split is made by this very rule; it then is the paper's where no scan is absent.
        seed: of a drawn split.
        note: what else decides it.
    """

    kind: Kind
    papers: bool = False
    seed: int | None = None
    note: str = ""


class SplitWord(Section):
    """What is known of a split that was scored.

    Attributes:
        kind: see :class:`SplitRule`, as ``papers``, ``seed`` and ``note``.
        phantoms: the scans are drawings.
        expected: scans of the paper's split (its Table 1); ``None`` for a cohort that the paper does not use.
        found: scans that are prepared.
        absent: scans that the dataset's own tables put into the split and that are not prepared.
        absent_first: the first of them by name.
        absent_why: how many of them for which reason.
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
            raise ValueError("have expected, the size of the paper's split, where papers is true")
        return self

    @property
    def name(self) -> str:
        """``official``, ``paper_sized, seed 0``, ``own: the first reconstruction of each study``."""
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.kind}{seed}" + (f": {self.note}" if self.note else "")

    @property
    def first_names(self) -> str:
        """The first absent scans; with dots where there are more."""
        return ", ".join(self.absent_first) + (", ..." if self.absent > len(self.absent_first) else "")


@dataclass
class SplitCounts:
    """Counts the scans of each split one by one, those that are there and those that should be."""

    _found: Counter[str] = field(default_factory=Counter)
    _absent: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _why: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def there(self, split: str) -> None:
        """Count a scan that is prepared."""
        self._found[split] += 1

    def absent(self, split: str, scan_id: str, reason: str) -> None:
        """Count a scan of the split that is not."""
        self._absent[split].append(scan_id)
        self._why[split][reason] += 1

    def words(
        self, rules: Mapping[str, SplitRule], expected: Mapping[str, int], *, phantoms: bool
    ) -> dict[str, SplitWord]:
        """Split to word, for the splits that hold a scan or should.

        Args:
            rules: how each split is made.
            expected: scans of the paper's splits.
            phantoms: whether the scans are drawings.
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
    """Whether a dataset's folder lies in one that ``uniferum data phantom`` wrote, at most two levels up."""
    whole = root.resolve()
    return any((folder / PHANTOM_MARK).is_file() for folder in (whole, *whole.parents[:2]))


def read_words(written: Any, *, source: str) -> dict[str, SplitWord]:
    """Words as they were written, e.g. in ``result.json``.

    Raises:
        UniferumError: one of them is no word of a split.
    """
    if not isinstance(written, Mapping):
        raise UniferumError(source, written, must="be a mapping of names to words")
    return {str(name): _parsed(word, f"{source}: {name}") for name, word in written.items()}


def _parsed(word: Any, source: str) -> SplitWord:
    if not isinstance(word, Mapping):
        raise UniferumError(source, word, must="be a mapping of keys to values")
    return parse(SplitWord, word, source=source)
