"""Intervals of areas: their coverage on made scores with a known area, and what they say where little is known."""

import math

import numpy as np
import pytest
from scipy.special import ndtri

from uniferum.evaluation.area_interval import area_interval
from uniferum.evaluation.delong import delong


def scores(rng: np.random.Generator, target: np.ndarray, area: float) -> np.ndarray:
    """Two normal distributions of one width whose area is known."""
    return math.sqrt(2) * float(ndtri(area)) * target + rng.normal(size=len(target))


@pytest.mark.parametrize(("positives", "area"), [(5, 0.75), (10, 0.95), (60, 0.85)])
def test_a_nominal_95_per_cent_covers_so_often_with_few_positives(positives: int, area: float) -> None:
    """300 data sets: four standard errors of 95 % are 5 points. DeLong's covers 84 % at 5 and 77 % at 10 positives."""
    rng, hits = np.random.default_rng(positives), 0
    target = (np.arange(360) < positives).astype(float)
    for _ in range(300):
        result = area_interval(target, scores(rng, target, area))
        hits += result.low <= area <= result.high
    assert 0.90 <= hits / 300 <= 0.995


def test_a_perfect_separation_has_an_honest_lower_bound() -> None:
    target = np.repeat([1.0, 0.0], [6, 200])
    result = area_interval(target, target)
    assert result.high == 1.0
    assert 0.6 < result.low < 0.95
    more = area_interval(np.repeat([1.0, 0.0], [60, 200]), np.repeat([1.0, 0.0], [60, 200]))
    assert result.low < more.low < 1.0, "more positives, a higher bound"


def test_too_few_of_a_class_are_named_and_counted() -> None:
    target = np.repeat([1.0, 0.0], [3, 50])
    result = area_interval(target, np.arange(53.0))
    assert (result.value, result.reason) == (0.0, "too few positives (3)")
    assert math.isnan(result.low)
    assert area_interval(1 - target, np.arange(53.0)).reason == "too few negatives (3)"
    patients = np.repeat(np.arange(14), 4)[:53]
    assert area_interval(np.repeat([1.0, 0.0], [12, 41]), np.arange(53.0), patients).reason == "too few positives (3)"


def test_with_many_cases_it_is_delong_s_on_its_own_scale() -> None:
    rng = np.random.default_rng(0)
    target = (rng.random(20_000) < 0.3).astype(float)
    score = scores(rng, target, 0.8)
    result, plain = area_interval(target, score), delong(target, score)
    assert (result.low, result.high) == pytest.approx((plain.lo, plain.hi), abs=2e-4)


def test_volumes_of_one_patient_widen_it() -> None:
    rng = np.random.default_rng(1)
    target = (rng.random(300) < 0.3).astype(float)
    score = scores(rng, target, 0.8)
    once = area_interval(target, score, np.arange(300))
    thrice = area_interval(np.tile(target, 3), np.tile(score, 3), np.tile(np.arange(300), 3))
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), abs=0.01)
    blind = area_interval(np.tile(target, 3), np.tile(score, 3))
    assert blind.high - blind.low < 0.65 * (once.high - once.low)


def test_it_holds_its_own_point_and_turns_with_the_scores() -> None:
    rng = np.random.default_rng(2)
    target = (np.arange(80) < 20).astype(float)
    score = scores(rng, target, 0.7)
    result, turned = area_interval(target, score), area_interval(target, -score)
    assert result.low < result.value < result.high
    assert (turned.low, turned.high) == pytest.approx((1 - result.high, 1 - result.low), abs=1e-6)
