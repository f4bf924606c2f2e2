"""What a grid file says, before the run, about when its numbers count as the paper's."""

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Test volumes and labels of the paper (Table 1; 8 unique INSPECT labels as in 3.4.3 and appendix Table 1).
PAPER_CASES = {"CTRATE": 3002, "INSPECT": 3000, "RADCHEST": 360}
PAPER_LABELS = {
    ("CTRATE", "all"): 18,
    ("INSPECT", "shared"): 12,
    ("INSPECT", "unique"): 8,
    ("RADCHEST", "shared"): 7,
    ("RADCHEST", "unique"): 32,
}


@dataclass(frozen=True)
class Agreement:
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

    def incomparable(self, cohort: str, group: str, n_cases: int, n_labels: int) -> str:
        """Why numbers of a column do not compare with the paper's; empty where they do."""
        if self.synthetic:
            return "synthetic data"
        if cohort in self.comparable:
            return ""
        cases = PAPER_CASES.get(cohort)
        if cases is not None and n_cases != cases:
            return f"another test split: {n_cases} volumes, the paper's has {cases}"
        labels = PAPER_LABELS.get((cohort, group))
        if labels is not None and n_labels != labels:
            return f"another label list: {n_labels} labels, the paper's has {labels}"
        return ""
