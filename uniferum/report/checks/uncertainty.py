"""The error of a number and of the published number beside it: test cases, seeds, and the paper's own error.

All seeds of a cell are scored on the same cases, so the error over cases does not shrink with more seeds; the spread
over seeds does. Both, and the error of the published value where it is known, are independent: their squares add.

The spread over seeds is pooled over the cells of a column. One cell with two seeds would give one degree of freedom,
and Student's t would be 12.7. The paper's tables add five more: each training mix is there with PubMedBERT and with
GatorTron, one seed of each, on the same cases. Half the variance of these differences is the variance over seeds and
text encoders, which is not smaller than that over seeds alone.
"""

import math
from dataclasses import dataclass
from functools import cache
from statistics import stdev

from uniferum.evaluation.delong import quantile
from uniferum.report.published import GROUPS, Published, find, published
from uniferum.report.systems import PAPER_TEXT
from uniferum.report.tables.entries import Key, ReportTable
from uniferum.report.tables.seed_spread import UNKNOWN, SeedSpread, pooled_by_column

Z95 = quantile(0.95)


@dataclass(frozen=True)
class Uncertainty:
    """The parts of the error of a difference between our number and the published one.

    Attributes:
        below: standard error over the test cases on the side of lower values.
        above: the same on the side of higher values.
        spread: over seeds.
        seeds: number of seeds that are averaged.
        published: standard error of the published value; NaN if it is unknown, and then not counted.
    """

    below: float
    above: float
    spread: SeedSpread = UNKNOWN
    seeds: int = 1
    published: float = math.nan

    @property
    def standard(self) -> float:
        """Standard error of the difference, the mean of both sides."""
        cases = (self.below + self.above) / 2
        return math.hypot(cases, self._of_seeds, 0.0 if math.isnan(self.published) else self.published)

    def interval(self, difference: float, level: float = 0.95) -> tuple[float, float]:
        """Interval of the difference; Student's t for the part of the seeds (Zou and Donner 2008 for the sum)."""
        return difference - self._half(self.below, level), difference + self._half(self.above, level)

    def half(self, level: float) -> float:
        """Half the width of the interval."""
        return (self._half(self.below, level) + self._half(self.above, level)) / 2

    @property
    def _of_seeds(self) -> float:
        return self.spread.value / math.sqrt(self.seeds) if self.spread.known else 0.0

    def _half(self, cases: float, level: float) -> float:
        z = quantile(level)
        of_seeds = quantile(level, self.spread.freedom) * self._of_seeds if self.spread.known else 0.0
        return math.hypot(z * cases, of_seeds, 0.0 if math.isnan(self.published) else z * self.published)


@cache
def papers_spread(metric: str, cohort: str, group: str) -> SeedSpread:
    """Spread of the paper's own numbers in a column over seeds and text encoders; unknown without two encoders."""
    mixes = dict.fromkeys(one.row[2] for one in published() if one.metric == metric and one.row[1] == PAPER_ENCODERS[1])
    pairs = [
        (first.value, second.value)
        for mix in mixes
        if (first := find(metric, ("uniferum", PAPER_ENCODERS[0], mix), cohort, group))
        and (second := find(metric, ("uniferum", PAPER_ENCODERS[1], mix), cohort, group))
    ]
    if len(pairs) < 2:
        return UNKNOWN
    spread = stdev(second - first for first, second in pairs) / math.sqrt(2)
    return SeedSpread(spread, len(pairs) - 1, f"{len(pairs)} pairs of text encoders in the paper")


def column_spreads(table: ReportTable) -> dict[Key, SeedSpread]:
    """The pooled spread over seeds of each cohort with its group or label, with the paper's pairs of encoders.

    A column with fewer than five degrees of freedom takes the spread of the whole table.
    """
    facts = (*table.row_facts, *table.column_facts)
    return pooled_by_column(
        table.entries, facts, lambda key: papers_spread(table.metric, *key) if key[1] in GROUPS else None
    )


def published_error(value: Published | None, positives: int, negatives: int) -> tuple[float, str]:
    """Standard error of a published value, and where it is from; NaN if it is unknown."""
    if value is None or value.group in GROUPS:
        return math.nan, ""
    if value.half_width is not None:
        return value.half_width / Z95, f"the paper's own interval ±{value.half_width:.3f} is counted"
    if value.metric == "auroc" and positives > 0 and negatives > 0:
        error = hanley_mcneil(value.value, positives, negatives)
        return error, f"the paper's own error ±{Z95 * error:.3f} (Hanley and McNeil) is counted"
    return math.nan, "the published value's own error is unknown"


def hanley_mcneil(area: float, positives: int, negatives: int) -> float:
    """Standard error of an area from its value and the numbers of cases (Hanley and McNeil 1982)."""
    of_positives, of_negatives = area / (2 - area), 2 * area**2 / (1 + area)
    squares = (
        area * (1 - area) + (positives - 1) * (of_positives - area**2) + (negatives - 1) * (of_negatives - area**2)
    )
    return math.sqrt(squares / (positives * negatives))


PAPER_ENCODERS = tuple(PAPER_TEXT)
