"""ROC and precision-recall curves, average precision and operating points, with ties as one step.

Invariant: equal scores cannot be told apart, so a run of ties is one point of every curve (as in scikit-learn).
scikit-learn's own functions take five times as long, and its average precision ends in other last digits: tests hold
these numbers to it instead.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Points (k,) from the strictest threshold to the most lenient one; counts are cumulative."""

    threshold: Floats
    true_positives: Floats
    false_positives: Floats
    positives: int
    negatives: int

    @property
    def sensitivity(self) -> Floats:
        return self.true_positives / max(self.positives, 1)

    @property
    def false_positive_rate(self) -> Floats:
        return self.false_positives / max(self.negatives, 1)

    @property
    def precision(self) -> Floats:
        return self.true_positives / (self.true_positives + self.false_positives)


def curve(target: ArrayLike, score: ArrayLike) -> Curve:
    """The step curve of ``target`` (n,) of 0 and 1 and finite ``score`` (n,)."""
    positive = np.asarray(target) > 0.5
    values = np.asarray(score, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if len(ordered) else np.empty(0, np.intp)
    hits = np.cumsum(positive[order])[last].astype(np.float64)
    total = int(positive.sum())
    return Curve(ordered[last], hits, last + 1.0 - hits, total, len(values) - total)


def average_precision(target: ArrayLike, score: ArrayLike) -> float:
    """Average precision: the sum over thresholds of precision times the gain in recall; NaN without both classes.

    Without positives it has no meaning; without negatives it is 1 whatever the model does, so it is left out too.
    """
    points = curve(target, score)
    if not points.positives or not points.negatives:
        return math.nan
    gain = np.diff(points.true_positives, prepend=0.0)
    return float((gain * points.precision).sum() / points.positives)


def sensitivity_at_specificity(target: ArrayLike, score: ArrayLike, specificity: float = 0.9) -> float:
    """The best sensitivity of any threshold whose specificity is at least ``specificity``; NaN without both classes."""
    points = curve(target, score)
    if not points.positives or not points.negatives:
        return math.nan
    allowed = points.false_positive_rate <= 1 - specificity + 1e-12
    return float(points.sensitivity[allowed].max(initial=0.0))
