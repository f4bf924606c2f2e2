"""DeLong's variance against brute force, scikit-learn and numbers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from uniferum.errors import UniferumError
from uniferum.evaluation.delong import (
    auroc,
    covariance,
    delong,
    interval,
    paired_delong,
    paired_test,
    placements,
)


def brute_force(target, scores):
    """The textbook estimator: the full matrix of pairwise comparisons, one model at a time."""
    areas, of_pos, of_neg = [], [], []
    for score in scores:
        positive, negative = score[target == 1], score[target == 0]
        win = (positive[:, None] > negative[None, :]) + 0.5 * (positive[:, None] == negative[None, :])
        areas.append(win.mean())
        of_pos.append(win.mean(axis=1))
        of_neg.append(win.mean(axis=0))
    m, n = len(of_pos[0]), len(of_neg[0])
    return np.array(areas), np.atleast_2d(np.cov(of_pos)) / m + np.atleast_2d(np.cov(of_neg)) / n


cases = st.integers(0, 10_000).map(
    lambda seed: (
        np.concatenate(([0, 0, 1, 1], np.random.default_rng(seed).integers(0, 2, 20))),
        np.random.default_rng(seed + 1).integers(0, 6, (3, 24)).astype(float),
    )
)


@given(cases)
@settings(max_examples=60, deadline=None)
def test_covariance_equals_the_textbook_estimator_with_many_ties(case):
    target, scores = case
    areas, matrix = covariance(target, scores)
    expected_areas, expected = brute_force(target, scores)
    np.testing.assert_allclose(areas, expected_areas, atol=1e-12)
    np.testing.assert_allclose(matrix, expected, atol=1e-12)


@given(cases)
@settings(max_examples=60, deadline=None)
def test_area_equals_scikit_learn(case):
    target, scores = case
    assert auroc(target, scores[0]) == pytest.approx(roc_auc_score(target, scores[0]), abs=1e-12)


def test_a_hand_worked_example_of_four_cases():
    # Positives 3 and 1, negatives 2 and 0: wins 1, 1, 0, 1 -> 3/4; V10 = (1, 1/2), V01 = (1/2, 1), variance 1/8 each.
    area = delong([1, 1, 0, 0], [3.0, 1.0, 2.0, 0.0])
    assert area.value == 0.75
    assert area.se == pytest.approx(math.sqrt(0.125 / 2 + 0.125 / 2))
    assert area.hi == 1.0


def test_a_tie_between_the_classes_counts_one_half():
    of_pos, of_neg = placements([1, 0], [1.0, 1.0])
    assert of_pos.tolist() == [0.5]
    assert of_neg.tolist() == [0.5]


def test_linear_interval_is_the_normal_one_and_logit_stays_inside():
    generator = np.random.default_rng(3)
    target = (generator.random(40) < 0.3).astype(int)
    score = generator.normal(size=40) + 2.5 * target
    linear, logit = delong(target, score), delong(target, score, scale="logit")
    assert linear.lo == pytest.approx(linear.value - 1.959963984540054 * linear.se)
    assert linear.value < logit.hi < 1
    odds = [math.log(x / (1 - x)) for x in (logit.lo, logit.value, logit.hi)]
    assert odds[2] - odds[1] == pytest.approx(odds[1] - odds[0])
    assert odds[2] - odds[1] == pytest.approx(1.959963984540054 * linear.se / (linear.value * (1 - linear.value)))


def test_interval_covers_the_true_area_about_95_times_in_100():
    generator = np.random.default_rng(0)
    truth = 0.7602499389065233  # P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt(2))
    covered = 0
    for _ in range(400):
        target = np.repeat([0, 1], 60)
        area = delong(target, generator.normal(size=120) + target)
        covered += area.lo <= truth <= area.hi
    assert 0.92 <= covered / 400 <= 0.98


@pytest.mark.parametrize("target", [[0, 0, 0], [1, 1, 1], []])
def test_one_class_has_no_area(target):
    assert math.isnan(delong(target, np.arange(len(target), dtype=float)).value)


def test_paired_test_of_a_model_with_itself_finds_no_difference():
    target, score = [0, 1, 0, 1], [0.1, 0.4, 0.3, 0.2]
    test = paired_delong(target, score, score)
    assert (test.difference, test.p) == (0.0, 1.0)


def test_paired_test_is_antisymmetric_and_matches_brute_force():
    generator = np.random.default_rng(5)
    target = np.repeat([0, 1], 30)
    first, second = generator.normal(size=(2, 60)) + target * np.array([[0.5], [1.5]])
    forth, back = paired_delong(target, first, second), paired_delong(target, second, first)
    areas, matrix = brute_force(target, [first, second])
    assert forth.difference == pytest.approx(areas[1] - areas[0])
    assert forth.difference == pytest.approx(-back.difference)
    assert forth.p == pytest.approx(back.p)
    assert forth.se == pytest.approx(math.sqrt(matrix[0, 0] + matrix[1, 1] - 2 * matrix[0, 1]))


def test_paired_test_keeps_its_level_when_the_models_are_equally_good():
    generator = np.random.default_rng(11)
    target = np.repeat([0, 1], 80)
    rejected = sum(paired_delong(target, *(generator.normal(size=(2, 160)) + target)).p < 0.05 for _ in range(400))
    assert 0.02 <= rejected / 400 <= 0.085


@pytest.mark.parametrize("score", [[0.1, math.nan], [0.1, math.inf]])
def test_a_score_that_cannot_be_ranked_is_refused(score):
    with pytest.raises(UniferumError, match="finite"):
        delong([0, 1], score)


def test_paired_test_needs_both_classes():
    with pytest.raises(UniferumError, match="both classes"):
        paired_delong([1, 1], [0.1, 0.2], [0.3, 0.1])


def test_an_interval_is_normal_unless_asked_otherwise_and_cut_at_0_and_1():
    area = interval(0.6, 0.1)
    assert (area.lo, area.hi) == pytest.approx((0.6 - 0.1959963984540054, 0.6 + 0.1959963984540054))
    assert (interval(0.05, 0.1).lo, interval(0.95, 0.1).hi) == (0.0, 1.0)
    wider = interval(0.6, 0.1, level=0.99)
    assert wider.hi - 0.6 == pytest.approx(0.1 * 2.5758293035489004)


@pytest.mark.parametrize(("value", "se"), [(1.0, 0.1), (0.0, 0.1), (0.7, 0.0)])
def test_on_the_logit_scale_an_area_without_a_logit_or_without_an_error_has_the_normal_interval(value, se):
    assert interval(value, se, scale="logit") == interval(value, se)


def test_a_very_large_error_gives_the_whole_range_on_the_logit_scale():
    area = interval(0.5, 300.0, scale="logit")
    assert (area.lo, area.hi) == pytest.approx((0.0, 1.0))


def test_a_difference_of_two_standard_errors_has_the_p_and_the_interval_of_the_normal_table():
    test = paired_test(0.5, 0.6, 0.05**2)
    assert (test.difference, test.se, test.z) == pytest.approx((0.1, 0.05, 2.0))
    assert test.p == pytest.approx(0.04550026389635842)
    assert (test.lo, test.hi) == pytest.approx((0.1 - 0.0979981992270027, 0.1 + 0.0979981992270027))
    assert (test.first, test.second) == (0.5, 0.6)


def test_a_difference_without_variance_is_certain_and_no_difference_is_none():
    certain = paired_test(0.7, 0.5, 0.0)
    assert (certain.z, certain.p) == (-math.inf, 0.0)
    none = paired_test(0.7, 0.7, -1e-18)
    assert (none.z, none.p, none.se) == (0.0, 1.0, 0.0)


def test_a_single_case_of_a_class_adds_no_variance():
    # Positives 2, 1 and the negative 1.5: V10 = (1, 0), whose variance 1/2 over 2 cases is 1/4.
    assert delong([1, 1, 0], [2.0, 1.0, 1.5]).se == pytest.approx(0.5)
    areas, matrix = covariance([1, 1, 0], [[2.0, 1.0, 1.5]])
    assert (areas.tolist(), matrix.tolist()) == ([0.5], [[0.25]])


def test_scores_and_targets_of_different_lengths_are_refused_in_both_models():
    with pytest.raises(UniferumError, match="as many as the targets"):
        paired_delong([0, 1], [0.1, 0.2], [0.1, 0.2, 0.3])
    with pytest.raises(UniferumError, match="finite"):
        paired_delong([0, 1], [0.1, 0.2], [0.1, math.nan])


@pytest.mark.parametrize("target", [[1, 1], [0, 0]])
def test_paired_test_names_the_class_that_is_missing_before_it_divides(target):
    with pytest.raises(UniferumError, match="both classes"):
        paired_delong(target, [0.1, 0.2], [0.3, 0.1])


@pytest.mark.parametrize("target", [[1, 0, 0, 0], [1, 1, 1, 0]])
def test_paired_test_needs_one_case_of_each_class_only(target):
    assert paired_delong(target, [0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]).difference != 0


@pytest.mark.parametrize("value", [0.2, 0.5, 0.8])
def test_a_logit_interval_lies_evenly_about_the_logit_of_the_area(value):
    area = interval(value, 0.1, scale="logit")
    lo, middle, hi = (math.log(x / (1 - x)) for x in (area.lo, value, area.hi))
    half = 0.1959963984540054 / (value * (1 - value))
    assert (middle - lo, hi - middle) == pytest.approx((half, half))
