"""Count the scans with each quality flag, for the tables of prepare, the data card and the report.

Invariant: every flag of every scan is counted; flags of probably wrong values or axes come first.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uniferum.preprocessing import flags

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = 3
"""Number of scans that are named beside each count."""

COLUMNS = ("flag", "meaning", "scans", "share", "first ones")
NO_FLAGS = "No scan is flagged"


@dataclass(frozen=True)
class FlagCount:
    """One flag: number of scans with it, of all scans, and the first few of them."""

    flag: str
    count: int
    total: int
    examples: tuple[str, ...]

    @property
    def share(self) -> float:
        """Share of the scans, 0 to 1."""
        return self.count / self.total if self.total else 0.0

    @property
    def meaning(self) -> str:
        """Meaning of the flag in words."""
        return flags.meaning(self.flag)

    def row(self) -> tuple[str, str, str, str, str]:
        """Table row in the order of :data:`COLUMNS`."""
        more = ", ..." if self.count > len(self.examples) else ""
        return self.flag, self.meaning, str(self.count), percent(self.share), ", ".join(self.examples) + more

    def to_dict(self) -> dict[str, Any]:
        """Data for JSON."""
        return {
            "flag": self.flag,
            "meaning": self.meaning,
            "count": self.count,
            "share": self.share,
            "examples": list(self.examples),
        }


def count_flags(flags_of: Mapping[str, Iterable[str]]) -> list[FlagCount]:
    """Count the flags of scans.

    Args:
        flags_of: scan id to its flags, for every scan, with or without flags.

    Returns:
        one entry per flag that occurs: flags of probably wrong values first, then by frequency.
    """
    totals: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    for scan_id, scan_flags in sorted(flags_of.items()):
        for flag in dict.fromkeys(scan_flags):
            totals[flag] += 1
            if len(examples.setdefault(flag, [])) < EXAMPLES:
                examples[flag].append(scan_id)
    ordered = sorted(totals, key=lambda flag: (not flags.is_doubtful(flag), -totals[flag], flag))
    return [FlagCount(flag, totals[flag], len(flags_of), tuple(examples[flag])) for flag in ordered]


def by_split(manifest: "pd.DataFrame", splits: Sequence[str]) -> dict[str, list[FlagCount]]:
    """Count the flags of each split with scans in a store's manifest."""
    parts = {split: manifest.loc[manifest["split"] == split] for split in splits}
    return {split: count_flags(flags_of(part)) for split, part in parts.items() if len(part)}


def split_columns(counts: Mapping[str, Sequence[FlagCount]]) -> tuple[str, ...]:
    """Column headings of :func:`split_rows`."""
    return ("flag", "meaning", "first ones", *counts)


def split_rows(counts: Mapping[str, Sequence[FlagCount]]) -> list[list[str]]:
    """One row per flag: its meaning, the first scans of any split, then count and share in each split."""
    totals = {split: {one.flag: one for one in ones} for split, ones in counts.items()}
    names = dict.fromkeys(flag for ones in totals.values() for flag in ones)
    total = {flag: sum(ones[flag].count for ones in totals.values() if flag in ones) for flag in names}
    ordered = sorted(names, key=lambda flag: (not flags.is_doubtful(flag), -total[flag], flag))
    rows = []
    for flag in ordered:
        examples = [scan for ones in totals.values() if flag in ones for scan in ones[flag].examples][:EXAMPLES]
        more = ", ..." if total[flag] > len(examples) else ""
        shown = [_cell(ones.get(flag)) for ones in totals.values()]
        rows.append([flag, flags.meaning(flag), ", ".join(examples) + more, *shown])
    return rows


def _cell(count: FlagCount | None) -> str:
    return f"{count.count} ({percent(count.share)})" if count else "0"


def flags_of(manifest: "pd.DataFrame") -> dict[str, tuple[str, ...]]:
    """Map scan ids to flags in a store's manifest."""
    return _sentences(manifest, "flags")


def notes_of(manifest: "pd.DataFrame", counts: Iterable[FlagCount]) -> dict[str, tuple[str, ...]]:
    """Notes on the flags of the scans that ``counts`` names; scans without a note are absent."""
    named = {scan_id for flag in counts for scan_id in flag.examples}
    return {scan: notes for scan, notes in _sentences(manifest, "notes").items() if scan in named and notes}


def _sentences(manifest: "pd.DataFrame", column: str) -> dict[str, tuple[str, ...]]:
    scans = manifest["scan_id"].tolist()
    if column not in manifest.columns:  # an older store without the column
        return {str(scan_id): () for scan_id in scans}
    pairs = zip(scans, manifest[column].tolist(), strict=True)
    # In a store that is partly older than the column, some scans have None or NaN.
    return {
        str(scan_id): () if texts is None or isinstance(texts, float) else tuple(map(str, texts))
        for scan_id, texts in pairs
    }


def percent(share: float) -> str:
    """Format a share in percent; a positive share is never shown as 0."""
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"
