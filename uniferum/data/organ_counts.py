"""How many organ tasks a cohort is given: a share of its training rows, or of its training scans.

The paper's sentence, "an extra 10% samples from the dataset" (3.3), may mean either, so both counts are always shown.
Read without pandas, so that a plan can say it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from uniferum.data.settings import SamplingConfig


@dataclass(frozen=True)
class OrganCounts:
    """The rows and scans of a cohort's training split, and what ``sampling.organ_share`` of each is."""

    cohort: str
    rows: int
    scans: int
    sampling: SamplingConfig

    @property
    def of_rows(self) -> int:
        """Organ tasks where the share is of rows."""
        return round(self.sampling.organ_share * self.rows)

    @property
    def of_scans(self) -> int:
        """Organ tasks where the share is of scans."""
        return round(self.sampling.organ_share * self.scans)

    @property
    def wanted(self) -> int:
        """Organ tasks as ``sampling.organ_share_of`` has it."""
        return self.of_scans if self.sampling.organ_share_of == "scans" else self.of_rows

    def sentence(self) -> str:
        """Both counts, and which of them holds."""
        return (
            f"{self.cohort}: {self.wanted:,} organ rows wanted (sampling.organ_share_of: "
            f"{self.sampling.organ_share_of}): {self.sampling.organ_share:.0%} of {self.rows:,} training rows are "
            f"{self.of_rows:,}, of {self.scans:,} training scans {self.of_scans:,}"
        )


def drawn(negative: int, positive: int, *, balance: bool = True) -> tuple[int, int]:
    """Negative and positive training rows that a label's known values give, as sampling draws them.

    Args:
        negative: known negatives.
        positive: known positives.
        balance: draw as many negatives as there are positives, and nothing where one class is absent
            (:func:`uniferum.data.sampling.balanced`); otherwise every known value is a row.
    """
    if not balance:
        return negative, positive
    kept = min(negative, positive)
    return kept, positive if kept else 0


def drawn_rows(counts: Iterable[tuple[int, int]]) -> int:
    """How many training rows some labels give, from the negatives and positives of each; balanced."""
    return sum(sum(drawn(negative, positive)) for negative, positive in counts)
