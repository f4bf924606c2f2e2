"""Average precision, operating points and calibration against scikit-learn and numbers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, brier_score_loss, precision_recall_curve, roc_curve

from uniferum.evaluation.calibration import brier, expected_calibration_error, probability, reliability
from uniferum.evaluation.curves import average_precision, curve, sensitivity_at_specificity

cases = st.integers(0, 10_000).map(
    lambda seed: (
        np.concatenate(([0, 1], np.random.default_rng(seed).integers(0, 2, 30))),
        np.random.default_rng(seed + 1).integers(-4, 5, 32).astype(float),
    )
)


@given(cases)
@settings(max_examples=50, deadline=None)
def test_average_precision_equals_scikit_learn_with_ties(case):
    target, score = case
    assert average_precision(target, score) == pytest.approx(average_precision_score(target, score))


@given(cases)
@settings(max_examples=50, deadline=None)
def test_roc_points_equal_scikit_learn(case):
    target, score = case
    false, true, _ = roc_curve(target, score, drop_intermediate=False)
    points = curve(target, score)
    np.testing.assert_array_equal(points.false_positive_rate, false[1:])
    np.testing.assert_array_equal(points.sensitivity, true[1:])


@given(cases)
@settings(max_examples=50, deadline=None)
def test_precision_recall_points_equal_scikit_learn(case):
    target, score = case
    precision, recall, threshold = precision_recall_curve(target, score)
    points = curve(target, score)
    np.testing.assert_array_equal(points.threshold, threshold[::-1])
    np.testing.assert_array_equal(points.precision, precision[-2::-1])
    np.testing.assert_array_equal(points.sensitivity, recall[-2::-1])


@pytest.mark.parametrize("target", [[0, 0], [1, 1]])
def test_one_class_has_no_average_precision_and_no_sensitivity(target):
    assert math.isnan(average_precision(target, [0.1, 0.2]))
    assert math.isnan(sensitivity_at_specificity(target, [0.1, 0.2]))


def test_sensitivity_at_specificity_by_hand():
    # Ten negatives 0..9, positives at 8.5, 9.5, 3.5: one false positive allowed at 90 %, that is 9.
    target = [0] * 10 + [1] * 3
    score = [*range(10), 8.5, 9.5, 3.5]
    assert sensitivity_at_specificity(target, score, 0.9) == pytest.approx(2 / 3)
    assert sensitivity_at_specificity(target, score, 1.0) == pytest.approx(1 / 3)


def test_a_tie_of_all_scores_reaches_no_sensitivity_at_a_high_specificity():
    assert sensitivity_at_specificity([0, 1, 0, 1], [1.0] * 4, 0.9) == 0.0


def test_brier_equals_scikit_learn():
    generator = np.random.default_rng(2)
    target, logit = generator.integers(0, 2, 50), generator.normal(size=50)
    assert brier(target, logit) == pytest.approx(brier_score_loss(target, probability(logit)))


@given(cases)
@settings(max_examples=50, deadline=None)
def test_reliability_equals_scikit_learn(case):
    target, logit = case
    observed, predicted = calibration_curve(target, probability(logit), n_bins=15)
    bins = reliability(target, logit)
    np.testing.assert_array_equal(bins.observed, observed)
    np.testing.assert_array_equal(bins.predicted, predicted)


def test_calibration_error_by_hand():
    # Two bins: probability 0.25 twice (no positive), 0.75 twice (one positive): gaps 0.25 and 0.25.
    logit = np.log([1 / 3, 1 / 3, 3, 3])
    assert expected_calibration_error([0, 0, 1, 0], logit, bins=2) == pytest.approx(0.25)
    table = reliability([0, 0, 1, 0], logit, bins=2)
    np.testing.assert_allclose(table.predicted, [0.25, 0.75])
    np.testing.assert_allclose(table.observed, [0.0, 0.5])
    assert table.count.tolist() == [2, 2]


def test_a_score_that_means_what_it_says_has_a_small_calibration_error():
    generator = np.random.default_rng(0)
    logit = generator.normal(size=20_000) * 2
    target = generator.random(20_000) < probability(logit)
    assert expected_calibration_error(target, logit) < 0.015
    assert expected_calibration_error(target, logit * 4) > 0.1


def test_no_case_has_no_calibration():
    assert math.isnan(expected_calibration_error([], []))
    assert math.isnan(brier([], []))
