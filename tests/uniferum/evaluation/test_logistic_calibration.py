"""Calibration slope and intercept: scikit-learn without penalty, and a likelihood profiled by scipy."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from uniferum.evaluation.logistic_calibration import logistic_calibration


def drawn(seed: int, slope: float, intercept: float, n: int = 900, volumes: int = 3):
    random = np.random.default_rng(seed)
    score = 1.5 * random.normal(size=n)
    target = (random.random(n) < expit(intercept + slope * score)).astype(float)
    return target, score, np.repeat(np.arange(n // volumes), volumes)


@pytest.mark.parametrize("seed", range(3))
def test_the_slope_is_that_of_scikit_learn(seed: int) -> None:
    target, score, patient = drawn(seed, 0.6, 0.4)
    model = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000, solver="newton-cholesky")
    model.fit(score[:, None], target)
    measured = logistic_calibration(target, score, patient)
    assert measured.slope.value == pytest.approx(float(model.coef_[0, 0]), abs=1e-9)
    assert measured.slope.lo < 0.6 < measured.slope.hi


def test_the_intercept_maximises_the_likelihood_with_the_slope_at_one() -> None:
    target, score, _ = drawn(0, 1.0, -0.7)
    best = minimize_scalar(
        lambda shift: float(np.sum(np.logaddexp(0, shift + score) - target * (shift + score))), tol=1e-12
    )
    measured = logistic_calibration(target, score)
    assert measured.intercept.value == pytest.approx(best.x, abs=1e-7)
    assert measured.intercept.lo < -0.7 < measured.intercept.hi


def test_robust_intervals_are_those_of_statsmodels() -> None:
    """Numbers of statsmodels 0.15.0: GLM, binomial, cov_type cluster with 200 groups of three, fixed data."""
    random = np.random.default_rng(0)
    score = random.normal(size=600) * 1.5
    patient = np.repeat(np.arange(200), 3)
    target = (random.random(600) < 1 / (1 + np.exp(-(0.4 + 0.6 * score)))).astype(float)
    measured = logistic_calibration(target, score, patient)
    slope = (measured.slope.value, measured.slope.lo, measured.slope.hi)
    assert slope == pytest.approx((0.5362143963852192, 0.39688852, 0.67554028), abs=1e-8)
    intercept = (measured.intercept.value, measured.intercept.lo, measured.intercept.hi)
    assert intercept == pytest.approx((0.61079121, 0.40320421, 0.81837822), abs=1e-8)


def test_repeated_volumes_widen_the_interval() -> None:
    target, score, _ = drawn(1, 1.0, 0.0, n=300)
    once = logistic_calibration(target, score)
    ids = np.tile(np.arange(300), 3)
    thrice = logistic_calibration(np.tile(target, 3), np.tile(score, 3), ids)
    naive = logistic_calibration(np.tile(target, 3), np.tile(score, 3))
    width = once.slope.hi - once.slope.lo
    assert thrice.slope.hi - thrice.slope.lo == pytest.approx(width, rel=0.01)
    assert naive.slope.hi - naive.slope.lo < 0.7 * width


@pytest.mark.parametrize(
    ("target", "score", "reason"),
    [
        ([1, 1], [0, 1], "one class"),
        ([0, 1, 0, 1], [2, 2, 2, 2], "all scores are equal"),
        ([0, 0, 1, 1], [0, 1, 2, 3], "the classes are separated: the slope is infinite"),
    ],
)
def test_a_slope_that_does_not_exist_has_a_reason(target: list[int], score: list[int], reason: str) -> None:
    measured = logistic_calibration(target, score)
    assert measured.reason == reason
    assert np.isnan(measured.slope.value)


def test_few_positive_patients_have_no_interval() -> None:
    target, score, _ = drawn(3, 1.0, 0.0, n=300)
    patient = np.where(target > 0.5, np.arange(300) % 4, np.arange(300) + 10)
    measured = logistic_calibration(target, score, patient)
    assert measured.reason == "too few positives (4)"
    assert np.isfinite([measured.slope.value, measured.intercept.value]).all()
    assert np.isnan([measured.slope.lo, measured.slope.hi, measured.intercept.lo, measured.intercept.hi]).all()
