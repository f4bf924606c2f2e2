"""Calibration intercept and slope of a label: logistic regression of the target on the predicted logit.

A slope below 1 means that predictions are too extreme; an intercept below 0 that probabilities are too high on average
(Van Calster et al., BMC Medicine 17 (2019) 230). Standard errors are robust, with patients as clusters. statsmodels'
`Logit` and `GLM` give the same numbers (compared once; it is not a dependency).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, ndtri

from uniferum.evaluation.area_interval import too_few
from uniferum.evaluation.operating_points import Estimate

Floats = NDArray[np.float64]
STEPS, CLOSE = 100, 1e-10


@dataclass(frozen=True)
class LogisticCalibration:
    """Calibration of one label; ``reason`` says why a number is missing.

    Attributes:
        intercept: calibration-in-the-large: the intercept with the slope fixed at 1.
        slope: the slope of a regression with an intercept of its own.
    """

    intercept: Estimate
    slope: Estimate
    reason: str = ""


def logistic_calibration(
    target: ArrayLike, logit: ArrayLike, patient: ArrayLike | None = None, *, level: float = 0.95
) -> LogisticCalibration:
    """Compute intercept and slope with robust intervals.

    Args:
        target: (n,) of 0 and 1.
        logit: (n,), finite.
        patient: (n,) ids of patients, whose cases are one cluster; ``None``: every case is its own. With fewer than 5
            patients of either class the numbers have no interval.
        level: coverage of the intervals.
    """
    truth, score = np.asarray(target, np.float64), np.asarray(logit, np.float64)
    owner = np.arange(len(truth)) if patient is None else np.unique(np.asarray(patient), return_inverse=True)[1]
    if truth.sum() in (0, len(truth)):
        return LogisticCalibration(Estimate(), Estimate(), "one class")
    few = too_few(*(len(np.unique(owner[truth == of])) for of in (1.0, 0.0)))
    level = math.nan if few else level
    ones = np.ones((len(truth), 1))
    intercept = _fit(truth, ones, score, owner, level)
    reason = _no_slope(truth, score)
    if reason:
        return LogisticCalibration(intercept, Estimate(), reason)
    centre = score.mean()
    scale = score.std()
    measured = _fit(truth, np.column_stack([(score - centre) / scale, ones]), np.zeros(len(truth)), owner, level)
    slope = Estimate(measured.value / scale, measured.lo / scale, measured.hi / scale)
    return LogisticCalibration(intercept, slope, few if math.isfinite(slope.value) else "no convergence")


def _no_slope(truth: Floats, score: Floats) -> str:
    """Why there is no finite slope; empty if there is one."""
    positive, negative = score[truth > 0.5], score[truth < 0.5]
    if score.min() == score.max():
        return "all scores are equal"
    if positive.min() >= negative.max() or negative.min() >= positive.max():
        return "the classes are separated: the slope is infinite"
    return ""


def _fit(truth: Floats, design: Floats, offset: Floats, owner: NDArray[np.intp], level: float) -> Estimate:
    """The first coefficient of a logistic regression by Newton's method, with its cluster-robust interval."""
    weights = np.zeros(design.shape[1])
    for _ in range(STEPS):
        chance = expit(offset + design @ weights)
        information = design.T @ (design * (chance * (1 - chance))[:, None])
        gradient = design.T @ (truth - chance)
        try:
            step = np.linalg.solve(information, gradient)
        except np.linalg.LinAlgError:
            return Estimate()
        step = step / max(1.0, float(np.abs(step).max()) / 4)
        weights = weights + step
        if np.abs(step).max() < CLOSE:
            break
    else:
        return Estimate()
    chance = expit(offset + design @ weights)
    bread = np.linalg.inv(design.T @ (design * (chance * (1 - chance))[:, None]))
    scores = design * (truth - chance)[:, None]
    clusters = int(owner.max()) + 1
    summed = np.stack([np.bincount(owner, weights=column, minlength=clusters) for column in scores.T], axis=1)
    n, k = design.shape
    correction = clusters / max(clusters - 1, 1) * (n - 1) / max(n - k, 1)
    se = math.sqrt(max(float((bread @ (summed.T @ summed) @ bread)[0, 0]) * correction, 0.0))
    half = float(ndtri(0.5 + level / 2)) * se
    value = float(weights[0])
    return Estimate(value, value - half, value + half)
