"""Decision curves: the net benefit of acting on predictions at a threshold probability.

Net benefit = TP / n - FP / n * p / (1 - p) (Vickers and Elkin, Medical Decision Making 26 (2006) 565-574).
Probabilities are the logistic function of the scores, as the model gives them.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from uniferum.evaluation.calibration import probability
from uniferum.evaluation.operating_points import FN, FP, TP, Estimate, jackknife, patient_counts

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NetBenefit:
    """Net benefit at one threshold probability, beside that of treating all; treating none has 0."""

    threshold: float
    model: Estimate
    treat_all: float


def net_benefit(
    target: ArrayLike, logit: ArrayLike, patient: ArrayLike, threshold: float, *, level: float = 0.95
) -> NetBenefit:
    """Compute the net benefit of treating the cases whose probability is at least ``threshold``.

    Args:
        target: (n,) of 0 and 1.
        logit: (n,), finite.
        patient: (n,) ids of patients; the interval is normal, by the jackknife over them. There is none if no case is
            treated, as the net benefit is then 0 without any patient too.
        threshold: probability from which a case is treated, above 0 and below 1.
        level: coverage of the interval.
    """
    truth = np.asarray(target, np.float64)
    names, owner = np.unique(np.asarray(patient), return_inverse=True)
    odds = threshold / (1 - threshold)
    treated = probability(logit) >= threshold

    def benefit(counts: Floats) -> Floats:
        one = counts[..., 0, :]
        return np.asarray((one[..., TP] - odds * one[..., FP]) / np.maximum(one.sum(axis=-1), 1))

    counts = patient_counts(truth, treated, owner, len(names))
    value, se = (float(one) for one in jackknife(benefit, counts[:, None, :]))
    half = float(ndtri(0.5 + level / 2)) * se if se > 0 else math.nan
    prevalence = float((counts[:, TP] + counts[:, FN]).sum() / max(counts.sum(), 1))
    measured = Estimate(value, value - half, value + half) if math.isfinite(half) else Estimate(value)
    return NetBenefit(threshold, measured, prevalence - (1 - prevalence) * odds)


THRESHOLDS = np.round(np.arange(0.01, 0.61, 0.01), 2)
"""Threshold probabilities of a decision curve."""


def benefit_curve(target: ArrayLike, logit: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Compute a decision curve, without intervals: :func:`net_benefit` at each of ``THRESHOLDS``.

    Returns:
        Threshold probabilities, net benefit of the model, net benefit of treating all.
    """
    truth, chance = np.asarray(target, np.float64) > 0.5, probability(logit)
    odds = THRESHOLDS / (1 - THRESHOLDS)
    # A case is treated if its probability is at least the threshold.
    caught, false = (len(part) - np.searchsorted(np.sort(part), THRESHOLDS) for part in (chance[truth], chance[~truth]))
    share = float(truth.mean())
    return THRESHOLDS, (caught - odds * false) / len(truth), share - (1 - share) * odds
