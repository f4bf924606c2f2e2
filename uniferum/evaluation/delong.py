"""DeLong's variance of the area under the ROC curve, in O(n log n), with ties counted as one half.

Invariant: the area is the Mann-Whitney statistic, P(score of a positive > score of a negative) + P(tie) / 2.
Method: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837-845; sorting instead of pairwise comparison: Sun and
Xu, IEEE Signal Processing Letters 21 (2014) 1389-1393.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from uniferum.errors import UniferumError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Area:
    """An area under the ROC curve with standard error and interval; NaN if undefined."""

    value: float
    se: float
    lo: float
    hi: float


@dataclass(frozen=True)
class PairedTest:
    """Two areas on the same cases: ``difference`` is second minus first; ``p`` is two-sided.

    ``freedom`` are the degrees of freedom of Student's distribution, infinite for the normal one.
    """

    first: float
    second: float
    difference: float
    se: float
    lo: float
    hi: float
    z: float
    p: float
    freedom: float = math.inf

    def interval(self, level: float) -> tuple[float, float]:
        """The interval of the difference at another level, e.g. 0.90 for two one-sided tests at 5 %."""
        half = quantile(level, self.freedom) * self.se
        return self.difference - half, self.difference + half


UNDEFINED = Area(math.nan, math.nan, math.nan, math.nan)


def placements(target: ArrayLike, score: ArrayLike) -> tuple[Floats, Floats]:
    """Compute DeLong's structural components.

    Args:
        target: (n,) of 0 and 1.
        score: (n,), larger = more positive; finite.

    Returns:
        For each positive (m,) the fraction of negatives with a lower score, and for each negative (n - m,) the
        fraction of positives with a higher score, both in the order of the cases. The mean of either is the area.
    """
    positive = np.asarray(target) > 0.5
    values = np.asarray(score, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    start, stop = _tie_bounds(values[order])
    positives_below = np.concatenate(([0], np.cumsum(positive[order])))
    n_pos = int(positives_below[-1])
    n_neg = len(values) - n_pos
    share = np.empty(len(values))
    beaten = 0.5 * (start + stop) - 0.5 * (positives_below[start] + positives_below[stop])
    beating = n_pos - 0.5 * (positives_below[start] + positives_below[stop])
    share[order] = np.where(positive[order], beaten / max(n_neg, 1), beating / max(n_pos, 1))
    return share[positive], share[~positive]


def auroc(target: ArrayLike, score: ArrayLike) -> float:
    """Compute the area only; NaN without positives or without negatives."""
    return delong(target, score).value


def delong(target: ArrayLike, score: ArrayLike, *, level: float = 0.95, scale: str = "linear") -> Area:
    """Compute the area with DeLong's interval.

    Args:
        target: (n,) of 0 and 1.
        score: (n,), finite.
        level: coverage of the interval.
        scale: ``linear`` (as in the paper and pROC, clipped to 0 and 1) or ``logit`` (always within 0 to 1).

    Returns:
        All NaN if a class is missing. With a single case in a class its variance term is 0 and the interval is too
        narrow; a perfect separation has se 0 and an interval of one point, as in pROC.

    Raises:
        UniferumError: a score is not finite, or the lengths differ.
    """
    check_scores(target, score)
    of_pos, of_neg = placements(target, score)
    if not len(of_pos) or not len(of_neg):
        return UNDEFINED
    value = float(of_pos.mean())
    se = math.sqrt(_variance(of_pos) / len(of_pos) + _variance(of_neg) / len(of_neg))
    return interval(value, se, level=level, scale=scale)


def interval(value: float, se: float, *, level: float = 0.95, scale: str = "linear") -> Area:
    """Compute a normal interval around an area, on the linear or the logit scale."""
    width = float(ndtri(0.5 + level / 2)) * se
    if scale == "linear" or value in (0.0, 1.0) or se == 0:
        return Area(value, se, max(0.0, value - width), min(1.0, value + width))
    centre = math.log(value / (1 - value))
    half = width / (value * (1 - value))
    return Area(value, se, _expit(centre - half), _expit(centre + half))


def covariance(target: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """Compute areas (k,) of k models on the same cases and their covariance (k, k); ``scores`` is (k, n)."""
    rows = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    parts = [placements(target, row) for row in rows]
    of_pos = np.stack([part[0] for part in parts])
    of_neg = np.stack([part[1] for part in parts])
    return of_pos.mean(axis=1), _covariance(of_pos) / of_pos.shape[1] + _covariance(of_neg) / of_neg.shape[1]


def paired_delong(target: ArrayLike, first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> PairedTest:
    """Run DeLong's test of two models on the same cases.

    Public API; the report uses :func:`uniferum.evaluation.comparison.pairwise`, which tests many labels at once.

    Raises:
        UniferumError: a class is missing, a score is not finite, or the lengths differ.
    """
    check_scores(target, first)
    check_scores(target, second)
    positives = int((np.asarray(target) > 0.5).sum())
    if positives in (0, len(np.asarray(target))):
        raise UniferumError("paired DeLong test: target", must="hold both classes")
    areas, matrix = covariance(target, np.stack([np.asarray(first, float), np.asarray(second, float)]))
    return paired_test(areas[0], areas[1], matrix[0, 0] + matrix[1, 1] - 2 * matrix[0, 1], level=level)


def paired_test(
    first: float, second: float, variance: float, *, level: float = 0.95, freedom: float = math.inf
) -> PairedTest:
    """Run the z or t test of a difference; with zero variance (equal rankings) p is 1 for no difference."""
    difference = float(second - first)
    se = math.sqrt(max(variance, 0.0))
    half = quantile(level, freedom) * se
    if se < 1e-12:
        same = abs(difference) < 1e-12
        z, p = (0.0, 1.0) if same else (math.copysign(math.inf, difference), 0.0)
    else:
        z = difference / se
        p = 2 * float(stdtr(freedom, -abs(z)) if math.isfinite(freedom) else ndtr(-abs(z)))
    return PairedTest(float(first), float(second), difference, se, difference - half, difference + half, z, p, freedom)


def quantile(level: float, freedom: float = math.inf) -> float:
    """The standard errors on either side of an interval: of Student's distribution, or of the normal one."""
    return float(stdtrit(freedom, 0.5 + level / 2) if math.isfinite(freedom) else ndtri(0.5 + level / 2))


def check_scores(target: ArrayLike, score: ArrayLike) -> None:
    """Refuse scores that cannot be ranked.

    Raises:
        UniferumError: a score is NaN or infinite, or the numbers of scores and targets differ.
    """
    values = np.asarray(score, dtype=np.float64)
    if len(values) != len(np.asarray(target)):
        raise UniferumError("scores", len(values), must=f"be as many as the targets ({len(np.asarray(target))})")
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise UniferumError("scores", f"{bad} of {len(values)} NaN or infinite", must="be finite")


def _tie_bounds(ordered: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return, for each element of a sorted array, start and end (exclusive) of its run of equal values."""
    if not len(ordered):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    new = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    starts = np.flatnonzero(new)
    run = np.cumsum(new) - 1
    stops = np.append(starts[1:], len(ordered))
    return starts[run], stops[run]


def _variance(values: Floats) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else 0.0


def _covariance(rows: Floats) -> Floats:
    """Sample covariance of rows (k, n); zeros for a single column."""
    if rows.shape[1] < 2:
        return np.zeros((len(rows), len(rows)))
    centred = rows - rows.mean(axis=1, keepdims=True)
    return centred @ centred.T / (rows.shape[1] - 1)


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))
