"""Margins and comparability, which a grid file declares before the run."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Margins:
    """The rules for when a number agrees with the paper's.

    Attributes:
        margins: the margin by metric, by ``COHORT group`` or by ``metric COHORT group``.
        synthetic: the data are phantoms, so that no number is comparable with the paper's.
        comparable: for a cohort, why another split or label list than the paper's is comparable.
    """

    margins: Mapping[str, float] = field(default_factory=dict)
    synthetic: bool = False
    comparable: Mapping[str, str] = field(default_factory=dict)

    def margin(self, metric: str, cohort: str, group: str) -> float | None:
        """The most specific margin of a number; None if the grid file has none."""
        for key in (f"{metric} {cohort} {group}", f"{cohort} {group}", metric):
            if key in self.margins:
                return float(self.margins[key])
        return None
