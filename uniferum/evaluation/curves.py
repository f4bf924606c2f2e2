"""ROC and precision-recall curves, average precision and operating points, with ties as one step.

Invariant: cases with equal scores are one point of every curve (as in scikit-learn).
scikit-learn's curves are the same numbers but take 4 to 25 times as long, and its average precision ends in other last
digits (docs/explanation/decisions.md); tests compare these numbers with it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Points (k,) from the highest to the lowest threshold; counts are cumulative."""

    threshold: Floats
    true_positives: Floats
    false_positives: Floats
    positives: int
    negatives: int

    @property
    def sensitivity(self) -> Floats:
        """Share of the positives that each threshold finds (k,)."""
        return self.true_positives / max(self.positives, 1)

    @property
    def false_positive_rate(self) -> Floats:
        """Share of the negatives that each threshold calls positive (k,)."""
        return self.false_positives / max(self.negatives, 1)

    @property
    def precision(self) -> Floats:
        """Share of true positives among the cases that each threshold calls positive (k,)."""
        return self.true_positives / (self.true_positives + self.false_positives)


def curve(target: ArrayLike, score: ArrayLike) -> Curve:
    """Compute the step curve of ``target`` (n,) of 0 and 1 and finite ``score`` (n,)."""
    positive = np.asarray(target) > 0.5
    values = np.asarray(score, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if len(ordered) else np.empty(0, np.intp)
    hits = np.cumsum(positive[order])[last].astype(np.float64)
    total = int(positive.sum())
    return Curve(ordered[last], hits, last + 1.0 - hits, total, len(values) - total)


def average_precision(target: ArrayLike, score: ArrayLike) -> float:
    """Compute average precision: the sum over thresholds of precision times the gain in recall.

    NaN unless both classes occur: it is undefined without positives, and always 1 without negatives.
    """
    points = curve(target, score)
    if not points.positives or not points.negatives:
        return math.nan
    gain = np.diff(points.true_positives, prepend=0.0)
    return float((gain * points.precision).sum() / points.positives)


def sensitivity_at_specificity(target: ArrayLike, score: ArrayLike, specificity: float = 0.9) -> float:
    """Return the best sensitivity of all thresholds with at least ``specificity``; NaN unless both classes occur."""
    points = curve(target, score)
    if not points.positives or not points.negatives:
        return math.nan
    allowed = points.false_positive_rate <= 1 - specificity + 1e-12
    return float(points.sensitivity[allowed].max(initial=0.0))
