"""How the outcome of a check follows from a difference, its interval and its size.

A claimed gain holds if it is significant in the claimed direction and reaches half of the claimed size. It is
contradicted by a significant loss, or if its 95 % interval excludes half of the claimed size. A claim of no change
holds if the 90 % interval lies within the margin (two one-sided tests at 5 %), and is contradicted if the 95 % interval
lies outside; that a difference is not significant decides nothing. A change that is significant and reaches half of the
smallest lift that the paper claims (1 point) is never "as before", so that "same" and "gain" cannot both hold.
"""

import math
from dataclasses import dataclass
from typing import Literal

from scipy.stats import t as student

from uniferum.report.checks.claims import Check

LEVEL = 0.05
MarginSide = Literal["inside", "outside", "undecided"]
SMALLEST_LIFT = 0.01
"""The smallest lift of a claim: + RADCHEST, 1 point."""


@dataclass(frozen=True)
class Tested:
    """A difference with its error over cases and seeds; ``freedom`` is infinite for a normal error."""

    __test__ = False  # pytest: not a test class

    difference: float
    error: float
    freedom: float = math.inf

    @property
    def p(self) -> float:
        """Two-sided p value of no difference."""
        if not self.error:
            return 1.0 if not self.difference else 0.0
        return float(2 * student.sf(abs(self.difference) / self.error, self.freedom))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval of the difference."""
        half = float(student.ppf(0.5 + level / 2, self.freedom)) * self.error
        return self.difference - half, self.difference + half


def combined(difference: float, *, cases: float, of_cases: float, seeds: float, of_seeds: float) -> Tested:
    """Add the errors over cases and seeds, each with its degrees of freedom (Welch and Satterthwaite)."""
    total = cases**2 + seeds**2
    parts = sum(error**4 / freedom for error, freedom in ((cases, of_cases), (seeds, of_seeds)) if error)
    return Tested(difference, math.sqrt(total), total**2 / parts if parts else math.inf)


def size_of(check: Check) -> float:
    """The size that a claim gives in words, else the printed one; without both 0."""
    if check.size:
        return check.size
    return abs(check.printed or 0.0) if check.kind == "significant" else 0.0


def reading(check: Check, tested: Tested, p: float, margin: float | None) -> str:
    """Read a check.

    Args:
        check: the check; of ``above`` and ``below`` the difference is to the printed value, of ``near`` too.
        tested: the difference.
        p: its p value, adjusted where the check is one of a family.
        margin: for claims of no change and for printed values; None if the grid file has none.
    """
    match check.kind:
        case "gain" | "above" | "significant":
            sign = -1.0 if check.kind == "significant" and (check.printed or 0.0) < 0 else 1.0
            return _gain(Tested(sign * tested.difference, tested.error, tested.freedom), p, size_of(check))
        case "below":
            return _gain(Tested(-tested.difference, tested.error, tested.freedom), p, size_of(check))
    if margin is None:
        return "inconclusive"
    if check.kind == "no gain":
        return _no_gain(tested, margin)
    outcome = _within(tested, margin)
    lifted = check.kind != "near" and abs(tested.difference) >= SMALLEST_LIFT / 2 and tested.p <= LEVEL
    return "inconclusive" if outcome == "holds" and lifted else outcome


def _gain(tested: Tested, p: float, size: float) -> str:
    least = max(size, SMALLEST_LIFT if size else 0.0) / 2
    if p <= LEVEL and tested.difference < 0:
        return "contradicted"
    if size and tested.interval()[1] < least:
        return "contradicted"
    return "holds" if p <= LEVEL and tested.difference >= least and tested.difference > 0 else "inconclusive"


def margin_side(narrow: tuple[float, float], wide: tuple[float, float], margin: float) -> MarginSide:
    """Where a difference lies: two one-sided tests at 5 % are a 90 % interval, ``differs`` takes the 95 % interval.

    Args:
        narrow: 90 % interval of the difference.
        wide: its 95 % interval.
        margin: half the width of the range around 0.
    """
    if -margin <= narrow[0] and narrow[1] <= margin:
        return "inside"
    return "outside" if wide[1] < -margin or wide[0] > margin else "undecided"


def _within(tested: Tested, margin: float) -> str:
    side = margin_side(tested.interval(0.90), tested.interval(0.95), margin)
    return {"inside": "holds", "outside": "contradicted", "undecided": "inconclusive"}[side]


def _no_gain(tested: Tested, margin: float) -> str:
    if tested.interval()[0] > margin:
        return "contradicted"
    lifted = tested.difference >= SMALLEST_LIFT / 2 and tested.p <= LEVEL
    return "holds" if tested.interval(0.90)[1] <= margin and not lifted else "inconclusive"


def how(check: Check, family: int, margin: float | None) -> str:
    """Say by what a check is read, and whether its p value is adjusted."""
    size = size_of(check)
    enough = f", at least half of {100 * size:.3g} points" if size else ""
    match check.kind:
        case "gain":
            return f"paired by patient, Holm over the {family} gains of the claim{enough}"
        case "significant":
            return f"paired by patient, not adjusted{enough}, in the paper's direction"
        case "above" | "below":
            return f"interval of the difference to the printed value, not adjusted{enough}"
    if margin is None:
        return "no margin in the grid file"
    if check.kind == "no gain":
        return f"the difference lies below +{margin:.4f} (one-sided 5 %), not adjusted"
    return f"90 % interval within ±{margin:.4f}, not adjusted"
