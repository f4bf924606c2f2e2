"""Intervals of average precision: scikit-learn's value, a jackknife's variance, and what few positives do."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from uniferum.evaluation.curves import average_precision
from uniferum.evaluation.precision_interval import logit_interval, mean_interval, precision_interval


def cases(seed: int, positives: int, n: int = 360, volumes: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets, scores and patients with ``volumes`` volumes each; a patient's scores and labels agree."""
    rng = np.random.default_rng(seed)
    target = (np.arange(n) < positives).astype(float)
    score = target + rng.normal(size=n)
    return np.repeat(target, volumes), np.repeat(score, volumes), np.repeat(np.arange(n), volumes)


def test_the_value_is_scikit_learns_also_with_ties() -> None:
    target, score, _ = cases(1, 60)
    made = precision_interval(target, np.round(score, 1))
    assert made.value == pytest.approx(average_precision_score(target, np.round(score, 1)), abs=1e-12)


def test_with_many_positives_the_halves_agree_with_a_jackknife() -> None:
    target, score, patient = cases(2, 150)
    made = precision_interval(target, score, patient, halves=2000)
    parts = []
    for of_class in (target > 0.5, target < 0.5):
        kept = np.flatnonzero(of_class)
        left = np.array([average_precision(np.delete(target, at), np.delete(score, at)) for at in kept])
        parts.append((len(kept) - 1) / len(kept) * ((left - left.mean()) ** 2).sum())
    assert made.se == pytest.approx(math.sqrt(sum(parts)), rel=0.08)
    assert math.sqrt(made.influence @ made.influence) == pytest.approx(math.sqrt(sum(parts)), rel=0.08)
    assert made.corrected == pytest.approx(made.value, abs=0.2 * made.se)


def test_the_correction_removes_most_of_the_bias_of_few_positives() -> None:
    """At 8 of 360 the sample's average precision is 0.04 too high, against that of 40,000 cases."""
    truth = precision_interval(*cases(0, 889, 40_000), halves=2).value
    made = [precision_interval(*cases(seed, 8), seed=seed, halves=100) for seed in range(150)]
    bias, left = (np.mean([getattr(one, name) for one in made]) - truth for name in ("value", "corrected"))
    assert bias > 0.02
    assert abs(left) < 0.6 * bias
    assert np.mean([one.low <= truth <= one.high for one in made]) > 0.9


def test_a_volume_read_twice_adds_nothing() -> None:
    once, twice = precision_interval(*cases(3, 30)), precision_interval(*cases(3, 30, volumes=2))
    assert (twice.value, twice.low, twice.high) == pytest.approx((once.value, once.low, once.high))
    assert twice.patients == 360


def test_few_positives_have_a_value_and_no_interval() -> None:
    made = precision_interval(*cases(4, 4))
    assert made.reason == "too few positives (4)"
    assert math.isfinite(made.value)
    assert math.isnan(made.low)
    assert math.isnan(precision_interval(*cases(4, 0)).value)


def test_labels_that_agree_do_not_count_as_independent() -> None:
    one, ids = precision_interval(*cases(5, 60)), np.arange(360)
    same = mean_interval([one, one], [ids, ids])
    assert (same.value, same.se) == pytest.approx((one.value, one.se))
    other = precision_interval(*cases(6, 60))
    apart = mean_interval([one, other], [ids, ids + 1000])
    assert apart.se == pytest.approx(math.hypot(one.se, other.se) / 2, rel=0.05)
    assert apart.low < apart.corrected < apart.high


def test_an_interval_holds_its_centre_and_stays_between_0_and_1() -> None:
    for centre in (0.0, 0.01, 0.5, 1.0):
        low, high = logit_interval(centre, 0.3, 2.0)
        assert 0 <= low <= max(centre, 1e-3)
        assert min(centre, 1 - 1e-3) <= high <= 1


def test_positive_patients_of_unequal_size_widen_the_interval() -> None:
    target, score, _ = cases(6, 20)
    even = np.arange(360) // 2
    uneven = np.concatenate([np.zeros(11, int), np.arange(1, 10), np.arange(10, 350)])
    widths = []
    for patient in (even, uneven):
        made = precision_interval(target, score, patient)
        half = math.log(made.high / (1 - made.high)) - math.log(made.corrected / (1 - made.corrected))
        widths.append(half * made.corrected * (1 - made.corrected) / made.se)
    assert widths[0] == pytest.approx(2.262, abs=1e-3), "Student's t of 9 degrees of freedom: ten equal patients"
    assert widths[1] > 3, "eleven volumes of one patient: an effective number of 3.1"
