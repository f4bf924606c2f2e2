"""Areas with patients as the unit: DeLong's where each has one volume, the jackknife's over patients elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uniferum.errors import UniferumError
from uniferum.evaluation.clustered import clustered_delong, clustered_test, components
from uniferum.evaluation.delong import auroc, delong, paired_delong


def cases(seed: int, patients: int, volumes: int, *, agree: float = 0.9) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets, scores and patients; scores of a patient are correlated by ``agree``."""
    rng = np.random.default_rng(seed)
    patient = np.sort(rng.integers(0, patients, size=volumes))
    target = (rng.random(patients) < 0.4)[patient].astype(float)
    shared = rng.normal(size=patients)[patient]
    return target, target + np.sqrt(agree) * shared + np.sqrt(1 - agree) * rng.normal(size=volumes), patient


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_one_volume_a_patient_gives_delong_s_variance(seed: int) -> None:
    target, score, _ = cases(seed, 60, 60)
    patient = np.arange(60)
    result, wanted = clustered_delong(target, score, patient), delong(target, score)
    assert (result.value, result.se) == pytest.approx((wanted.value, wanted.se), rel=1e-9)
    other = score + np.random.default_rng(seed + 1).normal(size=60)
    ours, theirs = clustered_test(target, score, other, patient), paired_delong(target, score, other)
    assert (ours.difference, ours.se, ours.z) == pytest.approx((theirs.difference, theirs.se, theirs.z), rel=1e-9)
    assert ours.p >= theirs.p, "Student's distribution has the heavier tails"


def test_several_volumes_a_patient_give_the_jackknife_over_patients() -> None:
    """Another estimate of the same variance: with many patients the two agree within a few per cent."""
    target, score, patient = cases(3, 600, 1500)
    names = np.unique(patient)
    left = np.array([auroc(target[patient != name], score[patient != name]) for name in names])
    jackknife = (len(names) - 1) / len(names) * ((left - left.mean()) ** 2).sum()
    result = clustered_delong(target, score, patient)
    assert result.se**2 == pytest.approx(jackknife, rel=0.03)
    assert result.se > 1.3 * delong(target, score).se, "volumes of one patient err together"


def test_a_volume_read_twice_adds_nothing() -> None:
    target, score, _ = cases(5, 80, 80)
    once = clustered_delong(target, score, np.arange(80))
    twice = clustered_delong(np.tile(target, 2), np.tile(score, 2), np.tile(np.arange(80), 2))
    assert (twice.value, twice.se) == pytest.approx((once.value, once.se), rel=1e-9)
    assert delong(np.tile(target, 2), np.tile(score, 2)).se < 0.75 * once.se


def test_a_patient_with_both_classes_counts_in_the_covariance_of_the_two() -> None:
    """By hand, from the paper's formulas: two positives and two negatives of three patients."""
    target, score = np.array([1.0, 0.0, 1.0, 0.0]), np.array([3.0, 1.0, 2.0, 2.5])
    result = components(target, score, ["a", "a", "b", "c"])
    # areas of the positives 1 and 1/2, of the negatives 1 and 1/2; the area is 3/4
    of_pos, of_neg = np.array([0.25, -0.25, 0.0]) / 2, np.array([0.25, 0.0, -0.25]) / 2
    wanted = 2 * (of_pos @ of_pos) + 2 * (of_neg @ of_neg) + 2 * 1.5 * (of_pos @ of_neg)
    assert result.areas[0] == 0.75
    assert result.covariance[0, 0] == pytest.approx(wanted)
    assert (result.positives, result.negatives) == (2, 2)


def test_order_of_cases_and_names_of_patients_do_not_matter() -> None:
    target, score, patient = cases(7, 30, 90)
    shuffled = np.random.default_rng(0).permutation(90)
    first = clustered_delong(target, score, patient)
    again = clustered_delong(target[shuffled], score[shuffled], [f"p{one}" for one in patient[shuffled]])
    assert (first.value, first.se) == pytest.approx((again.value, again.se), rel=1e-12)


def test_a_missing_class_has_no_area_and_no_test() -> None:
    assert np.isnan(clustered_delong([1, 1], [0.1, 0.2], ["a", "b"]).value)
    with pytest.raises(UniferumError, match="hold both classes"):
        clustered_test([0, 0], [0.1, 0.2], [0.3, 0.4], ["a", "b"])
    with pytest.raises(UniferumError, match="must be finite"):
        components([0, 1], [np.nan, 0.2], ["a", "b"])


def test_patients_of_unequal_size_leave_fewer_degrees_of_freedom() -> None:
    rng = np.random.default_rng(2)
    patient = np.repeat(np.arange(60), [12, 1, 1, 1, 1, *[1] * 55])
    target = (patient < 5).astype(float)
    first, second = rng.normal(size=(2, len(patient)))
    result = components(target, np.stack([first, second]), patient)
    assert result.effective == pytest.approx((16**2 / (12**2 + 4), 55.0))
    equal = components(np.repeat([1.0, 0.0], [5, 55]), rng.normal(size=(2, 60)), np.arange(60))
    assert equal.effective == (5.0, 55.0), "one volume a patient: all count"
    counted = replace(result, effective=(5.0, 55.0))
    weights = np.array([-1.0, 1.0])
    assert result.variance(weights)[0] == counted.variance(weights)[0]
    assert clustered_test(target, first, second, patient).freedom < counted.variance(weights)[1]


def test_a_true_null_is_rejected_in_about_5_per_cent() -> None:
    """Ten positive patients of several volumes: DeLong's test, volumes as cases, rejects 20 %."""
    ours, plain, sets = 0, 0, 250
    for seed in range(sets):
        rng = np.random.default_rng([7, seed])
        patient = np.repeat(np.arange(90), 1 + rng.multinomial(120, rng.dirichlet(np.full(90, 1.5))))
        target = (patient < 10).astype(float)
        shared = rng.normal(size=(3, 90))[:, patient]
        own = shared + 0.5 * rng.normal(size=shared.shape)
        first, second = own[0] + own[1] + target, own[0] + own[2] + target
        ours += clustered_test(target, first, second, patient).p <= 0.05
        plain += paired_delong(target, first, second).p <= 0.05
    assert 0.01 <= ours / sets <= 0.09
    assert plain / sets > 0.11
