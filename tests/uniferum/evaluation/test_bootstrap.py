"""Weighted replicates equal recomputation on resampled copies; intervals have the expected coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from uniferum.evaluation import bootstrap


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_a_replicate_equals_the_score_of_the_resampled_copy(seed):
    generator = np.random.default_rng(seed)
    n, patients = 30, 12
    target, score = generator.integers(0, 2, n), generator.integers(0, 5, n).astype(float)
    owner = generator.integers(0, patients, n)
    weights = bootstrap.draw_patients(patients, 8, seed)
    made = bootstrap.replicate(target, score, owner, weights)
    for draw in range(8):
        copies = np.repeat(np.arange(n), weights[draw, owner])
        if len(set(target[copies])) < 2:
            assert np.isnan(made.auroc[draw])
            assert np.isnan(made.aupr[draw])
            continue
        assert made.auroc[draw] == pytest.approx(roc_auc_score(target[copies], score[copies]))
        assert made.aupr[draw] == pytest.approx(average_precision_score(target[copies], score[copies]))


def test_chunks_change_nothing(monkeypatch):
    generator = np.random.default_rng(1)
    target, score, owner = generator.integers(0, 2, 50), generator.normal(size=50), np.arange(50)
    weights = bootstrap.draw_patients(50, 30, 0)
    whole = bootstrap.replicate(target, score, owner, weights)
    monkeypatch.setattr(bootstrap, "CHUNK", 64)
    np.testing.assert_array_equal(bootstrap.replicate(target, score, owner, weights).auroc, whole.auroc)


def test_each_draw_has_as_many_patients_as_the_cohort():
    weights = bootstrap.draw_patients(17, 100, 0)
    assert (weights.sum(axis=1) == 17).all()
    assert weights.mean() == 1.0
    assert len(np.unique(weights, axis=0)) > 90


def test_stratified_draws_keep_the_size_of_every_stratum():
    strata = np.array([0] * 9 + [1] * 3 + [2] * 5)
    weights = bootstrap.draw_stratified(strata, 200, 0)
    assert (weights[:, :9].sum(axis=1) == 9).all()
    assert (weights[:, 9:12].sum(axis=1) == 3).all()
    assert (weights[:, 12:].sum(axis=1) == 5).all()


def test_interval_of_the_average_precision_covers_its_mean():
    """Coverage over repeated samples of one population, whose average precision is known from a large sample."""
    generator = np.random.default_rng(4)

    def sample(n):
        target = (generator.random(n) < 0.3).astype(int)
        return target, generator.normal(size=n) + 1.2 * target

    truth = average_precision_score(*sample(200_000))
    covered = 0
    for trial in range(100):
        target, score = sample(200)
        made = bootstrap.replicate(target, score, np.arange(200), bootstrap.draw_stratified(target, 200, trial))
        lo, hi = bootstrap.percentile_interval(made.aupr)
        covered += lo <= truth <= hi
    assert covered >= 88


def test_interval_of_nothing_is_nan():
    assert np.isnan(bootstrap.percentile_interval([])).all()
    assert np.isnan(bootstrap.percentile_interval([np.nan])).all()


def test_a_label_that_is_undefined_in_a_draw_leaves_the_mean_of_that_draw_to_the_others():
    mean = bootstrap.mean_over_labels([np.array([0.5, np.nan, np.nan]), np.array([0.7, 0.9, np.nan])])
    np.testing.assert_allclose(mean, [0.6, 0.9, np.nan])


def test_an_interval_leaves_out_half_of_the_rest_on_each_side():
    assert bootstrap.percentile_interval(np.arange(101.0)) == pytest.approx((2.5, 97.5))
    assert bootstrap.percentile_interval([*range(101), np.nan, np.inf], level=0.5) == pytest.approx((25.0, 75.0))


def test_draws_repeat_with_the_seed_and_change_with_it():
    first, again, other = (bootstrap.draw_patients(20, 5, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_draw_of_one_class_has_no_area():
    weights = np.array([[2, 0], [0, 2], [1, 1]], np.uint16)
    made = bootstrap.replicate([1, 0], [0.9, 0.1], np.arange(2), weights)
    np.testing.assert_array_equal(made.auroc, [np.nan, np.nan, 1.0])
    np.testing.assert_array_equal(made.aupr, [np.nan, np.nan, 1.0])
