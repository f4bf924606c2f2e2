"""Calibration of predicted probabilities: Brier score, expected calibration error, reliability bins.

Scores are logits; the probability is their logistic function. Models trained on balanced negatives (paper 3.3) are
over-confident at natural prevalences; these numbers measure it and do not affect any mean AUROC.
scikit-learn's `brier_score_loss` (37 times as long at 3,000 cases, some other last digits) and
`calibration_curve` (8 times, no counts of cases) are compared with these numbers in tests.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """Bins (k,) with at least one case: mean probability, observed fraction of positives, number of cases."""

    predicted: Floats
    observed: Floats
    count: NDArray[np.int64]


def probability(logit: ArrayLike) -> Floats:
    """Apply the logistic function."""
    return np.asarray(expit(np.asarray(logit, dtype=np.float64)))


def brier(target: ArrayLike, logit: ArrayLike) -> float:
    """Mean squared difference of probability and target (n,); NaN without cases."""
    difference = probability(logit) - np.asarray(target, dtype=np.float64)
    return float(np.mean(difference**2)) if len(difference) else float("nan")


def reliability(target: ArrayLike, logit: ArrayLike, *, bins: int = 15) -> Reliability:
    """Sort cases into ``bins`` equal-width bins of probability; the last bin is closed on the right."""
    chance = probability(logit)
    bin_of = np.minimum((chance * bins).astype(np.int64), bins - 1)
    count = np.bincount(bin_of, minlength=bins)
    filled = count > 0
    predicted = np.bincount(bin_of, weights=chance, minlength=bins)[filled] / count[filled]
    observed = np.bincount(bin_of, weights=np.asarray(target, np.float64), minlength=bins)[filled] / count[filled]
    return Reliability(predicted, observed, count[filled])


def expected_calibration_error(target: ArrayLike, logit: ArrayLike, *, bins: int = 15) -> float:
    """Mean difference of predicted and observed over bins, weighted by their cases; NaN without cases.

    Fifteen bins: Guo et al., ICML 2017.
    """
    table = reliability(target, logit, bins=bins)
    total = table.count.sum()
    if not total:
        return float("nan")
    return float((table.count * np.abs(table.predicted - table.observed)).sum() / total)
