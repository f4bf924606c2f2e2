"""Operating points: scikit-learn's numbers, the challenge's CRG score written out, and a bootstrap over patients."""

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, precision_recall_fscore_support, roc_curve

from uniferum.errors import UniferumError
from uniferum.evaluation.operating_points import (
    AVERAGES,
    RATIOS,
    ThresholdRule,
    average,
    choose_threshold,
    crg,
    jackknife,
    mean_estimate,
    patient_counts,
    ratio,
    share_estimate,
)


def cases(seed: int, patients: int = 90, volumes: int = 2, labels: int = 3):
    """Targets and decisions (cases, labels) with volumes of a patient alike, and the patient of each case."""
    random = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), volumes)
    chance = np.linspace(0.1, 0.4, labels)
    target = (random.random((patients, labels)) < chance)[patient].astype(float)
    score = 1.2 * target + random.normal(size=(patients, labels))[patient] + 0.3 * random.normal(size=target.shape)
    return target, score, patient


def counted(target: np.ndarray, called: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """Counts by patient (patients, labels, 4)."""
    patients = int(patient.max()) + 1
    of_label = [patient_counts(target[:, at], called[:, at], patient, patients) for at in range(target.shape[1])]
    return np.stack(of_label, axis=1)


@pytest.mark.parametrize("seed", range(3))
def test_metrics_and_averages_are_those_of_scikit_learn(seed: int) -> None:
    target, score, patient = cases(seed)
    called = score > 0.8
    counts = counted(target, called, patient).sum(axis=0)
    precision, recall, f1, _ = precision_recall_fscore_support(target, called, average=None)
    assert ratio(counts, "precision") == pytest.approx(precision, abs=1e-12)
    assert ratio(counts, "sensitivity") == pytest.approx(recall, abs=1e-12)
    assert ratio(counts, "f1") == pytest.approx(f1, abs=1e-12)
    _, specificity, _, _ = precision_recall_fscore_support(1 - target, ~called, average=None)
    assert ratio(counts, "specificity") == pytest.approx(specificity, abs=1e-12)
    accuracy = [accuracy_score(target[:, at], called[:, at]) for at in range(3)]
    assert ratio(counts, "accuracy") == pytest.approx(accuracy, abs=1e-12)
    for kind in AVERAGES:
        expected = precision_recall_fscore_support(target, called, average=kind)
        for name, value in zip(("precision", "sensitivity", "f1"), expected, strict=False):
            assert float(average(counts, name, kind)) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_thresholds_are_those_of_a_search_over_all_scores(seed: int) -> None:
    target, score, _ = cases(seed)
    truth, values = target[:, 1], score[:, 1]
    false, true, thresholds = roc_curve(truth, values, drop_intermediate=False)
    assert choose_threshold(truth, values, ThresholdRule()) == thresholds[np.argmax(true - false)]
    measured = choose_threshold(truth, values, ThresholdRule.parse("specificity=0.9"))
    allowed = [one for one in values if (values[truth == 0] < one).mean() >= 0.9]
    assert measured == min(allowed)
    measured = choose_threshold(truth, values, ThresholdRule.parse("sensitivity=0.9"))
    assert measured == max(one for one in values if (values[truth == 1] >= one).mean() >= 0.9)


def test_no_case_is_called_positive_where_the_highest_score_is_negative() -> None:
    assert choose_threshold([0, 0, 1], [3, 1, 2], ThresholdRule.parse("specificity=0.9")) == math.inf
    assert math.isnan(choose_threshold([1, 1], [0, 1], ThresholdRule()))


@pytest.mark.parametrize("text", ["best", "youden=0.5", "sensitivity", "specificity=1", "specificity=high"])
def test_a_wrong_rule_is_refused(text: str) -> None:
    with pytest.raises(UniferumError, match="--threshold"):
        ThresholdRule.parse(text)


def test_crg_is_the_challenges_formula() -> None:
    target, score, patient = cases(5)
    called = score > 0.8
    counts = counted(target, called, patient).sum(axis=0)
    decisions, positives = target.size, target.sum()
    reward = (decisions - positives) / (2 * positives)
    most = (decisions - positives) / 2
    true, missed, false = (
        (called & (target == 1)).sum(),
        (~called & (target == 1)).sum(),
        (called & (target == 0)).sum(),
    )
    points = reward * true - reward * missed - false
    assert float(crg(counts)) == pytest.approx(most / (2 * most - points), abs=1e-12)
    for decided, expected in ((target > 0, 1), (target < 0, 1 / 3), (target >= 0, 1 / 3)):
        assert float(crg(counted(target, decided, patient).sum(axis=0))) == pytest.approx(expected)


def test_standard_errors_are_the_binomial_ones_for_single_volumes() -> None:
    target, score, patient = cases(1, volumes=1)
    counts = counted(target, score > 0.8, patient)
    value, se = jackknife(lambda some: average(some, "accuracy", "micro"), counts[:, :1])
    assert se == pytest.approx(math.sqrt(value * (1 - value) / (len(counts) - 1)), rel=1e-9)


@pytest.mark.parametrize("name", [*RATIOS, "macro f1", "weighted precision", "crg"])
def test_intervals_are_as_wide_as_those_of_a_bootstrap_over_patients(name: str) -> None:
    target, score, patient = cases(2, patients=400)
    counts = counted(target, score > 0.8, patient)
    kind, _, metric = name.rpartition(" ")

    def statistic(some: np.ndarray) -> np.ndarray:
        if name == "crg":
            return crg(some)
        return average(some, metric, kind) if kind else ratio(some[..., 0, :], name)

    random = np.random.default_rng(0)
    drawn = random.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=2000)
    replicates = statistic(np.einsum("dp,plk->dlk", drawn, counts))
    _, se = jackknife(statistic, counts)
    assert se == pytest.approx(np.nanstd(replicates), rel=0.08)
    measured = share_estimate(counts[:, 0], name) if name in RATIOS else mean_estimate(statistic, counts)
    assert (measured.hi - measured.lo) / (2 * 1.96 * se) == pytest.approx(1, abs=0.05)
    assert measured.lo < measured.value < measured.hi


def test_a_share_of_one_has_an_honest_bound() -> None:
    counts = np.zeros((30, 4))
    counts[:, 0] = 2.0  # two true positives in each of 30 patients
    measured = share_estimate(counts, "sensitivity")
    assert (measured.value, measured.hi) == (1.0, 1.0)
    assert measured.lo == pytest.approx(30 / (30 + 1.959964**2), abs=1e-6)
    assert math.isnan(share_estimate(counts, "specificity").value)


def test_a_mean_of_one_has_the_bound_of_the_patients_that_it_is_about() -> None:
    counts = np.zeros((30, 2, 4))
    counts[:6, 0, 0], counts[6:, 0, 3], counts[4:8, 1, 0], counts[8:, 1, 3] = 1.0, 1.0, 2.0, 1.0
    measured = mean_estimate(lambda some: average(some, "sensitivity", "macro"), counts, metric="sensitivity")
    assert (measured.value, measured.hi) == (1.0, 1.0)
    assert measured.lo == pytest.approx(8 / (8 + 1.959964**2), abs=1e-6), "eight patients have a positive case"
    assert mean_estimate(crg, counts).lo > measured.lo
