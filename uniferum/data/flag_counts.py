"""How many scans carry each quality flag: the table that prepare, the data card and the report show.

Invariant: every flag of every scan is counted; flags that make a scan's numbers doubtful come first.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
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


def flags_of(manifest: "pd.DataFrame") -> dict[str, tuple[str, ...]]:
    """Scan id to flags, of a store's manifest."""
    return _sentences(manifest, "flags")


def notes_of(manifest: "pd.DataFrame") -> dict[str, tuple[str, ...]]:
    """Scan id to the sentences behind its flags; none in a manifest that was written before there were notes."""
    return _sentences(manifest, "notes") if "notes" in manifest.columns else {}


def _sentences(manifest: "pd.DataFrame", column: str) -> dict[str, tuple[str, ...]]:
    pairs = zip(manifest["scan_id"].tolist(), manifest[column].tolist(), strict=True)
    # A scan whose file is older than the column has None or NaN there.
    return {
        str(scan_id): () if texts is None or isinstance(texts, float) else tuple(map(str, texts))
        for scan_id, texts in pairs
    }


def percent(share: float) -> str:
    """A share in percent; one that is above 0 never reads as 0."""
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"
