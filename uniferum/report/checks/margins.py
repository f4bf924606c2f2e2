"""What a grid file says, before the run, about when its numbers count as the paper's."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Margins:
    """When a number agrees with the paper's.

    Attributes:
        margins: metric -> margin, or ``COHORT group`` or ``metric COHORT group`` for a margin of its own.
        synthetic: the data are phantoms, so that nothing compares with the paper.
        comparable: cohort -> why another split or label list than the paper's still compares.
    """

    margins: Mapping[str, float] = field(default_factory=dict)
    synthetic: bool = False
    comparable: Mapping[str, str] = field(default_factory=dict)

    def margin(self, metric: str, cohort: str, group: str) -> float | None:
        """The margin of one place, the most specific one given; ``None`` where none was given before the run."""
        for key in (f"{metric} {cohort} {group}", f"{cohort} {group}", metric):
            if key in self.margins:
                return float(self.margins[key])
        return None
