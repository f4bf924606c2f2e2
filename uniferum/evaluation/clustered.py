"""Areas under the ROC curve where a patient has several volumes: the variance with patients as the unit.

Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics 53 (1997) 567-578: DeLong's components are
summed within each patient, so that volumes of one patient count as one observation of their common error. With one
volume a patient the variance is DeLong's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from uniferum.errors import UniferumError
from uniferum.evaluation.delong import (
    UNDEFINED,
    Area,
    PairedTest,
    check_scores,
    interval,
    paired_test,
    placements,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Components:
    """What each patient adds to the error of each of k areas.

    Attributes:
        areas: (k,) areas under the ROC curve.
        of_positives: (k, patients) sums of the components of a patient's positive volumes; their mean is 0.
        of_negatives: (k, patients) those of the negative volumes.
        positives: patients with at least one positive volume.
        negatives: patients with at least one negative volume.
        effective: number of positive and of negative patients that count, (sum of volumes)^2 / sum of volumes^2.
    """

    areas: Floats
    of_positives: Floats
    of_negatives: Floats
    positives: int
    negatives: int
    effective: tuple[float, float]

    @property
    def patients(self) -> int:
        """Number of patients."""
        return self.of_positives.shape[1]

    @property
    def covariance(self) -> Floats:
        """The (k, k) covariance of the areas, with the small-sample factors of the paper."""
        cross = self.of_positives @ self.of_negatives.T * small_sample_factor(self.patients)
        of_pos = self.of_positives @ self.of_positives.T * small_sample_factor(self.positives)
        of_neg = self.of_negatives @ self.of_negatives.T * small_sample_factor(self.negatives)
        return of_pos + of_neg + cross + cross.T

    def variance(self, weights: Floats) -> tuple[float, float]:
        """The variance of a weighted sum of the areas, and its degrees of freedom (Satterthwaite).

        The variance among patients with a positive volume rests on as many observations as there are such patients,
        less one; so does that among patients with a negative volume. Where some patients have many more volumes than
        others, fewer count: the effective number of clusters of Carter, Schnepel and Steigerwald (Review of Economics
        and Statistics 99 (2017) 698-709).
        """
        total = float(weights @ self.covariance @ weights)
        parts: list[tuple[float, float]] = []
        of_classes = (self.of_positives, self.positives), (self.of_negatives, self.negatives)
        for (values, count), effective in zip(of_classes, self.effective, strict=True):
            combined = weights @ values
            parts.append((float(combined @ combined) * small_sample_factor(count), max(effective - 1, 1)))
        return total, freedom(parts)

    @property
    def influence(self) -> Floats:
        """The (k, patients) influence of each patient on the areas; its squares sum to the variance.

        The small-sample factor of a patient's covariance between the classes alone differs.
        """
        of_pos, of_neg = (np.sqrt(small_sample_factor(count)) for count in (self.positives, self.negatives))
        return self.of_positives * of_pos + self.of_negatives * of_neg


def freedom(parts: Sequence[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of variances, each given with its own (Satterthwaite 1946)."""
    spread = sum(variance**2 / count for variance, count in parts)
    return max(sum(variance for variance, _ in parts) ** 2 / spread, 1.0) if spread > 0 else math.inf


def components(target: ArrayLike, scores: ArrayLike, patient: ArrayLike) -> Components:
    """Compute areas of k models on the same cases, and what each patient adds to their errors.

    Args:
        target: (n,) of 0 and 1.
        scores: (k, n) of k models, or (n,) of one; finite.
        patient: (n,) ids.

    Raises:
        UniferumError: a class is missing, a score is not finite, or the lengths differ.
    """
    rows = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    for row in rows:
        check_scores(target, row)
    positive = np.asarray(target) > 0.5
    if positive.all() or not positive.any():
        raise UniferumError("areas by patient: target", must="hold both classes")
    owner, names = pd.factorize(np.asarray(patient))
    count = len(names)
    at_pos, at_neg = owner[positive], owner[~positive]
    areas, of_pos, of_neg = np.empty(len(rows)), np.empty((len(rows), count)), np.empty((len(rows), count))
    for at, row in enumerate(rows):
        beaten, beating = placements(target, row)
        areas[at] = beaten.mean()
        of_pos[at] = np.bincount(at_pos, weights=beaten - areas[at], minlength=count) / len(beaten)
        of_neg[at] = np.bincount(at_neg, weights=beating - areas[at], minlength=count) / len(beating)
    sizes = [np.bincount(own) for own in (at_pos, at_neg)]
    effective = [float(size.sum()) ** 2 / float((size**2).sum()) for size in sizes]
    counts = [int(np.count_nonzero(size)) for size in sizes]
    return Components(areas, of_pos, of_neg, counts[0], counts[1], (effective[0], effective[1]))


def clustered_delong(target: ArrayLike, score: ArrayLike, patient: ArrayLike, *, level: float = 0.95) -> Area:
    """The area with a normal interval whose variance has patients as the unit; all NaN where a class is missing."""
    positive = np.asarray(target) > 0.5
    if positive.all() or not positive.any():
        return UNDEFINED
    computed = components(target, score, patient)
    return interval(float(computed.areas[0]), float(np.sqrt(max(computed.covariance[0, 0], 0.0))), level=level)


def clustered_test(
    target: ArrayLike, first: ArrayLike, second: ArrayLike, patient: ArrayLike, *, level: float = 0.95
) -> PairedTest:
    """Test the difference of two models on the same cases, patients as the unit; raises as :func:`components`."""
    scores = np.stack([np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)])
    computed = components(target, scores, patient)
    variance, free = computed.variance(np.array([-1.0, 1.0]))
    return paired_test(float(computed.areas[0]), float(computed.areas[1]), variance, level=level, freedom=free)


def small_sample_factor(clusters: int) -> float:
    """The small-sample factor I / (I - 1) of the paper; a single cluster gives no variance, so its term stays."""
    return clusters / max(clusters - 1, 1)
