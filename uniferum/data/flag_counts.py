"""How many scans carry each quality flag: the table that prepare, the data card and the report show.

Invariant: every flag of every scan is counted; flags that make a scan's numbers doubtful come first.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uniferum.preprocessing import flags

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = 3
"""How many scans are named beside each count."""

COLUMNS = ("flag", "meaning", "scans", "share", "first ones")
NO_FLAGS = "No scan is flagged"


@dataclass(frozen=True)
class FlagCount:
    """One flag: how many of so many scans carry it, and the first few of them."""

    flag: str
    count: int
    total: int
    examples: tuple[str, ...]

    @property
    def share(self) -> float:
        """Of the scans, 0 to 1."""
        return self.count / self.total if self.total else 0.0

    @property
    def meaning(self) -> str:
        """In words, from the table of flags."""
        return flags.meaning(self.flag)

    def row(self) -> tuple[str, str, str, str, str]:
        """In the order of :data:`COLUMNS`."""
        more = ", ..." if self.count > len(self.examples) else ""
        return self.flag, self.meaning, str(self.count), percent(self.share), ", ".join(self.examples) + more

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "flag": self.flag,
            "meaning": self.meaning,
            "count": self.count,
            "share": self.share,
            "examples": list(self.examples),
        }


def count_flags(flags_of: Mapping[str, Iterable[str]]) -> list[FlagCount]:
    """Count the flags of some scans.

    Args:
        flags_of: scan id to its flags, for every scan, flagged or not.

    Returns:
        One entry a flag that occurs: doubtful ones first, then the most frequent.
    """
    found: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    for scan_id, own in sorted(flags_of.items()):
        for flag in dict.fromkeys(own):
            found[flag] += 1
            if len(examples.setdefault(flag, [])) < EXAMPLES:
                examples[flag].append(scan_id)
    ordered = sorted(found, key=lambda flag: (not flags.is_doubtful(flag), -found[flag], flag))
    return [FlagCount(flag, found[flag], len(flags_of), tuple(examples[flag])) for flag in ordered]


def by_split(manifest: "pd.DataFrame", splits: Sequence[str]) -> dict[str, list[FlagCount]]:
    """The flags of each split that holds a scan, of a store's manifest."""
    parts = {split: manifest.loc[manifest["split"] == split] for split in splits}
    return {split: count_flags(flags_of(part)) for split, part in parts.items() if len(part)}


def split_columns(counts: Mapping[str, Sequence[FlagCount]]) -> tuple[str, ...]:
    """The headings of :func:`split_rows`."""
    return ("flag", "meaning", "first ones", *counts)


def split_rows(counts: Mapping[str, Sequence[FlagCount]]) -> list[list[str]]:
    """One row a flag: its meaning, the first scans of any split, then count and share in each split."""
    found = {split: {one.flag: one for one in ones} for split, ones in counts.items()}
    names = dict.fromkeys(flag for ones in found.values() for flag in ones)
    total = {flag: sum(ones[flag].count for ones in found.values() if flag in ones) for flag in names}
    ordered = sorted(names, key=lambda flag: (not flags.is_doubtful(flag), -total[flag], flag))
    rows = []
    for flag in ordered:
        examples = [scan for ones in found.values() if flag in ones for scan in ones[flag].examples][:EXAMPLES]
        more = ", ..." if total[flag] > len(examples) else ""
        shown = [_cell(ones.get(flag)) for ones in found.values()]
        rows.append([flag, flags.meaning(flag), ", ".join(examples) + more, *shown])
    return rows


def _cell(count: FlagCount | None) -> str:
    return f"{count.count} ({percent(count.share)})" if count else "0"


def flags_of(manifest: "pd.DataFrame") -> dict[str, tuple[str, ...]]:
    """Scan id to flags, of a store's manifest."""
    return _sentences(manifest, "flags")


def notes_of(manifest: "pd.DataFrame", counts: Iterable[FlagCount]) -> dict[str, tuple[str, ...]]:
    """The sentences behind the flags of the scans that ``counts`` names; scans without a note are left out."""
    named = {scan_id for flag in counts for scan_id in flag.examples}
    return {scan: notes for scan, notes in _sentences(manifest, "notes").items() if scan in named and notes}


def _sentences(manifest: "pd.DataFrame", column: str) -> dict[str, tuple[str, ...]]:
    scans = manifest["scan_id"].tolist()
    if column not in manifest.columns:  # the store is older than the column
        return {str(scan_id): () for scan_id in scans}
    pairs = zip(scans, manifest[column].tolist(), strict=True)
    # A scan whose file is older than the column has None or NaN there.
    return {
        str(scan_id): () if texts is None or isinstance(texts, float) else tuple(map(str, texts))
        for scan_id, texts in pairs
    }


def percent(share: float) -> str:
    """A share in percent; one that is above 0 never reads as 0."""
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"
