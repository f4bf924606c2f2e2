"""An interval for an area under the ROC curve, also with few positives and with several volumes a patient.

The interval holds every area t for which ``|estimate - t| <= q * se(t)`` (inverted, as Wilson's for a proportion), so
it never leaves 0 to 1 and has a bound below 1 where the classes are separated perfectly.

``se(t)`` has the shape of two normal distributions of one width (the variance of Bamber 1975 with Q1 = Q2 from the
bivariate normal distribution), scaled by what the data say: DeLong's variance against that shape, and the variance with
patients as the unit (:mod:`uniferum.evaluation.clustered`) against DeLong's. Few positive patients say little about
either scale, so each is drawn towards what the shape and the cluster sizes alone would give, with the weight of
:data:`PRIOR` degrees of freedom; ``q`` is Student's t with the degrees of freedom of both together.

How often it covers is simulated by ``benchmarks/coverage.py``.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit
from scipy.stats import multivariate_normal

from uniferum.evaluation.clustered import small_sample_factor
from uniferum.evaluation.delong import check_scores, placements

Floats = NDArray[np.float64]
Codes = NDArray[np.integer]

PRIOR = 15.0
"""Chosen by simulation among 5, 10, 15 and 25 on binormal scores (:mod:`benchmarks.coverage`)."""
FEWEST = 5
"""Fewest patients of either class for which an interval is given: below it no method of the simulation held."""
CLUSTERED = "inverted test, variance by patient (Obuchowski 1997)"
INDEPENDENT = "inverted test, DeLong's variance, one case a patient"
STEPS = 60
"""Bisections of an interval of length 1: beyond the digits of a double."""
SMALLEST = 0.2
"""Least design effect that is believed: a smaller one is chance, for volumes of one patient agree."""


@dataclass(frozen=True)
class AreaInterval:
    """A number with its interval.

    Attributes:
        value: the area; NaN where a class is missing.
        low: lower end; NaN where ``reason`` says why.
        high: upper end.
        method: how the interval was made; empty where there is none.
        patients: number of patients.
        positives: patients with at least one positive volume.
        negatives: patients with at least one negative volume.
        reason: empty, or why there is no interval, e.g. ``too few positives (3)``.
    """

    value: float
    low: float
    high: float
    method: str
    patients: int
    positives: int
    negatives: int
    reason: str = ""


@dataclass(frozen=True)
class AreaScale:
    """What the interval of one area is computed from.

    Attributes:
        value: the area.
        se: its standard error by DeLong, volumes as cases.
        scale: the variance by patient over that of the shape.
        n_pos: positive volumes.
        n_neg: negative volumes.
        patients: number of patients.
        positives: patients with a positive volume.
        negatives: patients with a negative volume.
    """

    value: float
    se: float
    scale: float
    n_pos: int
    n_neg: int
    patients: int
    positives: int
    negatives: int

    @property
    def free(self) -> int:
        """Degrees of freedom of the measured scale."""
        return min(self.positives, self.negatives) - 1

    @property
    def clustered(self) -> bool:
        """Whether a patient has several volumes."""
        return self.patients < self.n_pos + self.n_neg

    @property
    def reason(self) -> str:
        """Why no interval is given; empty if one is."""
        return too_few(self.positives, self.negatives)

    @property
    def method(self) -> str:
        """How its interval is made; empty if there is none."""
        return "" if self.reason else CLUSTERED if self.clustered else INDEPENDENT


def area_interval(
    target: ArrayLike, score: ArrayLike, patient: ArrayLike | None = None, *, level: float = 0.95
) -> AreaInterval:
    """Compute an area and its interval.

    Args:
        target: (n,) of 0 and 1.
        score: (n,), finite.
        patient: (n,) ids; None: every case is a patient of its own.
        level: coverage of the interval.

    Raises:
        UniferumError: a score is not finite, or the lengths differ.
    """
    check_scores(target, score)
    positive = np.asarray(target) > 0.5
    owner = patient_numbers(patient, len(positive))
    of_pos, of_neg = placements(positive, score)
    one = area_scale(of_pos, of_neg, owner[positive], owner[~positive])
    low, high = invert([one], level=level)
    return AreaInterval(one.value, low[0], high[0], one.method, one.patients, one.positives, one.negatives, one.reason)


def patient_numbers(patient: ArrayLike | None, cases: int) -> Codes:
    """The number of each case's patient, from 0; without ids every case is a patient of its own."""
    return np.arange(cases) if patient is None else pd.factorize(np.asarray(patient))[0]


def too_few(positives: int, negatives: int) -> str:
    """``too few positives (3)`` where a class has fewer patients than an interval needs; empty otherwise."""
    for word, count in (("positives", positives), ("negatives", negatives)):
        if count < FEWEST:
            return f"too few {word} ({count})"
    return ""


def area_scale(of_pos: Floats, of_neg: Floats, own_pos: Codes, own_neg: Codes) -> AreaScale:
    """Measure the scale of an area's variance.

    Args:
        of_pos: DeLong's components of the positives, see :func:`uniferum.evaluation.delong.placements`.
        of_neg: those of the negatives.
        own_pos: patient of each positive, as a number from 0.
        own_neg: patient of each negative.
    """
    m, n = len(of_pos), len(of_neg)
    count = 1 + max((int(own.max()) for own in (own_pos, own_neg) if len(own)), default=-1)
    sizes = [np.bincount(own, minlength=count) for own in (own_pos, own_neg)]
    positives, negatives = (int(np.count_nonzero(size)) for size in sizes)
    patients = int(np.count_nonzero(sizes[0] + sizes[1]))
    if not m or not n:
        return AreaScale(math.nan, math.nan, math.nan, m, n, patients, positives, negatives)
    area = float(of_pos.mean())
    centred = of_pos - area, of_neg - area
    variance = [float(values @ values) / max(len(values) - 1, 1) for values in centred]
    plain = variance[0] / m + variance[1] / n
    free = max(min(positives, negatives) - 1, 0)
    least = 0.5 / (m * n)  # half a pair from a perfect separation, where the shape has no variance
    scale = _drawn(plain / float(_variance(min(max(area, least), 1 - least), m, n)), 1.0, free)
    if patients < m + n:
        sums = [
            np.bincount(own, weights=v, minlength=count).astype(np.float64)
            for own, v in zip((own_pos, own_neg), centred, strict=True)
        ]
        by_patient = _by_patient(sums, (m, n), (positives, negatives, patients))
        effect = max(by_patient / plain, SMALLEST) if plain else 1.0
        scale *= _drawn(effect, _expected_effect(sums, centred, sizes, variance), free)
    return AreaScale(area, math.sqrt(plain), scale, m, n, patients, positives, negatives)


def invert(scales: Sequence[AreaScale], *, level: float = 0.95) -> tuple[Floats, Floats]:
    """Compute the lower and upper ends of the intervals of k areas at once; NaN where there is no interval."""
    value, scale = (np.array([getattr(one, name) for one in scales], dtype=float) for name in ("value", "scale"))
    m, n = (np.array([getattr(one, name) for one in scales], dtype=float) for name in ("n_pos", "n_neg"))
    reach = stdtrit(np.array([max(one.free, 0) + PRIOR for one in scales]), 0.5 + level / 2)
    known = np.array([not one.reason for one in scales], dtype=bool)

    def distance(truth: Floats) -> Floats:
        return reach * np.sqrt(scale * _variance(truth, m, n))

    with np.errstate(invalid="ignore", divide="ignore"):
        low = _root(lambda at: value - at - distance(at), outside=np.zeros(len(scales)), inside=value)
        high = _root(lambda at: at - value - distance(at), outside=np.ones(len(scales)), inside=value)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def _drawn(measured: float, expected: float, free: int) -> float:
    return (free * measured + PRIOR * expected) / (free + PRIOR)


def _by_patient(sums: Sequence[Floats], cases: tuple[int, int], patients: tuple[int, int, int]) -> float:
    """The variance of Obuchowski 1997, from the sums of the components within patients."""
    of_pos, of_neg, both = map(small_sample_factor, patients)
    x, y = sums[0] / cases[0], sums[1] / cases[1]
    return float(of_pos * (x @ x) + of_neg * (y @ y) + 2 * both * (x @ y))


def _expected_effect(
    sums: Sequence[Floats], centred: Sequence[Floats], sizes: Sequence[Codes], variance: Sequence[float]
) -> float:
    """The design effect of the positives by their cluster sizes and the correlation within patients of both classes."""
    products, pairs = 0.0, 0.0
    for total, values, size, own in zip(sums, centred, sizes, variance, strict=True):
        if own > 0:
            products += float(total @ total - values @ values) / own
            pairs += float((size * (size - 1)).sum())
    within = min(max(products / pairs, 0.0), 1.0) if pairs else 0.0
    return 1 + (float((sizes[0] ** 2).sum()) / float(sizes[0].sum()) - 1) * within


def _variance(area: Floats | float, n_pos: Floats | int, n_neg: Floats | int) -> Floats:
    """The variance of the Mann-Whitney area of two normal distributions of one width."""
    grid, both = _binormal()
    excess = np.maximum(np.interp(area, grid, both) - np.square(area), 0.0)
    return np.asarray((area * (1 - np.asarray(area)) + (n_pos + n_neg - 2) * excess) / (n_pos * n_neg))


@cache
def _binormal() -> tuple[Floats, Floats]:
    """Areas, and for each the probability that two positives (or one, of two negatives) are ordered rightly."""
    tail = np.linspace(0, 0.02, 41)
    grid = np.unique(np.concatenate([tail, np.linspace(0.02, 0.98, 401), 1 - tail]))
    law = multivariate_normal(cov=np.array([[1.0, 0.5], [0.5, 1.0]]))  # pyright: ignore[reportArgumentType]  # its stub knows numbers only
    both = [0.0, *(float(law.cdf([ndtri(area)] * 2)) for area in grid[1:-1]), 1.0]
    return grid, np.asarray(both)


def _root(excess: Callable[[Floats], Floats], *, outside: Floats, inside: Floats) -> Floats:
    """Where ``excess`` changes its sign between a bound of the scale and the estimate."""
    there = outside == inside
    bound = outside
    for _ in range(STEPS):
        middle = 0.5 * (outside + inside)
        beyond = excess(middle) > 0
        outside, inside = np.where(beyond, middle, outside), np.where(beyond, inside, middle)
    return np.where(there, bound, 0.5 * (outside + inside))
