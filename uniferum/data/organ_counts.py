"""How many organ tasks a cohort is given: a share of its training rows, or of its training scans.

The paper's sentence, "an extra 10% samples from the dataset" (3.3), may mean either, so both counts are always shown.
Read without pandas, so that a plan can say it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from uniferum.data.content import Content
from uniferum.data.prepared import PreparedCohort
from uniferum.data.settings import SamplingConfig

TRAINING = "train"


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


def organ_counts(cohort: Content | PreparedCohort, sampling: SamplingConfig) -> OrganCounts:
    """The counts of a cohort as a run sees it, that is after ``for_training``."""
    words = cohort.vocabulary
    trainable = set(words.trainable(cohort.name))
    scans = cohort.scans.get(TRAINING, {}) if isinstance(cohort, Content) else cohort.patients(TRAINING)
    known = Counter((label, value) for scan, label, value in _known(cohort) if scan in scans and label in trainable)
    pairs = ((known[label, 1], known[label, 0]) for label in trainable)
    return OrganCounts(cohort.name, drawn_rows(pairs, balance=sampling.balance), len(scans), sampling)


def drawn_rows(counts: Iterable[tuple[int, int]], *, balance: bool = True) -> int:
    """How many training rows the known values of some labels give, as :func:`uniferum.data.sampling.balanced` draws.

    Args:
        counts: positives and negatives of each label.
        balance: draw as many negatives as there are positives; otherwise every known value is a row.
    """
    if not balance:
        return sum(positive + negative for positive, negative in counts)
    return sum(positive + min(positive, negative) for positive, negative in counts if positive and negative)


def _known(cohort: Content | PreparedCohort) -> Iterable[tuple[str, str, int]]:
    if isinstance(cohort, PreparedCohort):
        return cohort.known()
    return ((scan, label, value) for scan, own in cohort.known.items() for label, value in own.items())
