"""Number of organ tasks of a cohort: a share of its training rows, or of its training scans.

The paper's sentence, "an extra 10% samples from the dataset" (3.3), can mean either, so both counts are always shown.
The module needs no pandas, so that a plan can show them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from uniferum.data.settings import SamplingConfig


@dataclass(frozen=True)
class OrganCounts:
    """Rows and scans of a cohort's training split, and ``sampling.organ_share`` of each."""

    cohort: str
    rows: int
    scans: int
    sampling: SamplingConfig

    @property
    def of_rows(self) -> int:
        """Organ tasks if the share is of rows."""
        return round(self.sampling.organ_share * self.rows)

    @property
    def of_scans(self) -> int:
        """Organ tasks if the share is of scans."""
        return round(self.sampling.organ_share * self.scans)

    @property
    def wanted(self) -> int:
        """Organ tasks according to ``sampling.organ_share_of``."""
        return self.of_scans if self.sampling.organ_share_of == "scans" else self.of_rows

    def sentence(self) -> str:
        """Both counts, and the one that applies, in words."""
        return (
            f"{self.cohort}: {self.wanted:,} organ rows wanted (sampling.organ_share_of: "
            f"{self.sampling.organ_share_of}): {self.sampling.organ_share:.0%} of {self.rows:,} training rows are "
            f"{self.of_rows:,}, of {self.scans:,} training scans {self.of_scans:,}"
        )


def drawn(negative: int, positive: int, *, balance: bool = True) -> tuple[int, int]:
    """Negative and positive training rows that sampling draws from a label's known values.

    Args:
        negative: number of known negatives.
        positive: number of known positives.
        balance: whether to draw as many negatives as positives, and none if one class is absent
            (:func:`uniferum.data.sampling.balanced`); otherwise every known value is a row.
    """
    if not balance:
        return negative, positive
    balanced_count = min(negative, positive)
    return balanced_count, positive if balanced_count else 0


def drawn_rows(counts: Iterable[tuple[int, int]]) -> int:
    """Number of training rows from the negatives and positives of each label; balanced."""
    return sum(sum(drawn(negative, positive)) for negative, positive in counts)
