"""Thresholds chosen on validation, and what they give on test: sensitivity, specificity, precision, F1, accuracy, CRG.

Invariant: a threshold is chosen from validation cases only; the test cases are counted at it. A case is called positive
if its score is at least the threshold. Standard errors leave out one patient at a time (jackknife), so that volumes and
labels of a patient are not treated as independent.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from uniferum.errors import UniferumError
from uniferum.evaluation.curves import curve

Floats = NDArray[np.float64]
Kind = Literal["youden", "sensitivity", "specificity"]
KINDS: tuple[Kind, ...] = ("youden", "sensitivity", "specificity")

#: Columns of counts: last axis of every array of counts.
TP, FP, FN, TN = range(4)

RATIOS: Mapping[str, tuple[Floats, Floats]] = {
    name: (np.asarray(above, np.float64), np.asarray(below, np.float64))
    for name, above, below in (
        ("sensitivity", (1, 0, 0, 0), (1, 0, 1, 0)),
        ("specificity", (0, 0, 0, 1), (0, 1, 0, 1)),
        ("precision", (1, 0, 0, 0), (1, 1, 0, 0)),
        ("f1", (2, 0, 0, 0), (2, 1, 1, 0)),
        ("accuracy", (1, 0, 0, 1), (1, 1, 1, 1)),
    )
}
"""Weights of (TP, FP, FN, TN) in the numerator and the denominator of each metric."""

AVERAGES = ("macro", "micro", "weighted")
"""Mean over labels; of the summed counts; mean over labels weighted by their positive test cases."""


@dataclass(frozen=True)
class ThresholdRule:
    """How a threshold is chosen: Youden's index, or a sensitivity or specificity that validation must reach."""

    kind: Kind = "youden"
    at: float = math.nan

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``youden``, ``sensitivity=0.9`` or ``specificity=0.9``.

        Raises:
            UniferumError: it is none of these, or the value is not between 0 and 1.
        """
        kind, _, value = text.partition("=")
        must = "be youden, sensitivity=VALUE or specificity=VALUE, with a value between 0 and 1"
        if kind not in KINDS or (kind == "youden") == bool(value):
            raise UniferumError("--threshold", text, must=must)
        try:
            at = float(value) if value else math.nan
        except ValueError:
            raise UniferumError("--threshold", text, must=must) from None
        if value and not 0 < at < 1:
            raise UniferumError("--threshold", text, must=must)
        return cls(kind, at)

    @property
    def sentence(self) -> str:
        """What is chosen, as a part of a sentence."""
        if self.kind == "youden":
            return "the largest sum of sensitivity and specificity (Youden's index)"
        other = "specificity" if self.kind == "sensitivity" else "sensitivity"
        return f"the best {other} at a {self.kind} of at least {self.at:g}"


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; NaN where undefined."""

    value: float = math.nan
    lo: float = math.nan
    hi: float = math.nan


def choose_threshold(target: ArrayLike, score: ArrayLike, rule: ThresholdRule) -> float:
    """Choose a threshold on validation cases, which is one of their scores.

    Args:
        target: (n,) of 0 and 1.
        score: (n,), finite.
        rule: what is chosen; of equally good thresholds the highest, for a specificity the lowest that reaches it.

    Returns:
        NaN unless both classes occur; infinity if no case may be called positive to reach the specificity.
    """
    points = curve(target, score)
    if not points.positives or not points.negatives:
        return math.nan
    sensitivity, specificity = points.sensitivity, 1 - points.false_positive_rate
    if rule.kind == "youden":
        return float(points.threshold[int(np.argmax(sensitivity + specificity))])
    if rule.kind == "sensitivity":
        return float(points.threshold[int(np.argmax(sensitivity >= rule.at - 1e-12))])
    allowed = np.flatnonzero(specificity >= rule.at - 1e-12)
    return float(points.threshold[allowed[-1]]) if len(allowed) else math.inf


def patient_counts(target: ArrayLike, called: ArrayLike, patient: NDArray[np.intp], patients: int) -> Floats:
    """Count true and false positives and negatives of each patient, (patients, 4).

    Args:
        target: (n,) of 0 and 1.
        called: (n,) whether each case is called positive.
        patient: (n,) number of the patient of each case.
        patients: number of patients.
    """
    positive, flagged = np.asarray(target) > 0.5, np.asarray(called, dtype=bool)
    outcome = np.where(positive, np.where(flagged, TP, FN), np.where(flagged, FP, TN))
    return np.bincount(patient * 4 + outcome, minlength=4 * patients).reshape(patients, 4).astype(np.float64)


def ratio(counts: Floats, metric: str) -> Floats:
    """One metric of counts (..., 4); NaN where its denominator is 0, e.g. precision if nothing is called positive."""
    above, below = (counts @ weights for weights in RATIOS[metric])
    return np.asarray(np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 0))


def average(counts: Floats, metric: str, kind: str) -> Floats:
    """One metric averaged over labels, from counts (..., labels, 4).

    A label with nothing called positive has precision 0, as in the scripts of the VLM3D challenge.
    """
    if kind == "micro":
        return ratio(counts.sum(axis=-2), metric)
    values = np.nan_to_num(ratio(counts, metric), nan=0.0)
    if kind == "macro":
        return np.asarray(values.mean(axis=-1))
    positives = counts[..., TP] + counts[..., FN]
    total = positives.sum(axis=-1)
    summed = (values * positives).sum(axis=-1)
    return np.asarray(np.divide(summed, total, out=np.full(np.shape(total), np.nan), where=total > 0))


def crg(counts: Floats) -> Floats:
    """The VLM3D challenge's CRG score of counts (..., labels, 4); NaN unless both classes occur.

    Hamamci et al., arXiv 2505.17167. With X decisions of which A are positive in truth: r = (X - A) / 2A,
    U = (X - A) / 2, s = r TP - r FN - FP, CRG = U / (2U - s). It is 1 for perfect decisions and 1/3 if all decisions
    are alike. X counts known labels; where all are known it is labels times scans, as in the challenge.
    """
    tp, fp, fn, tn = (counts[..., at].sum(axis=-1) for at in range(4))
    positives, negatives = tp + fn, fp + tn
    known = (positives > 0) & (negatives > 0)
    gain = np.divide(negatives, 2 * positives, out=np.zeros(np.shape(positives)), where=known)
    most = negatives / 2
    below = 2 * most - (gain * (tp - fn) - fp)
    return np.asarray(np.divide(most, below, out=np.full(np.shape(below), np.nan), where=known & (below > 0)))


def jackknife(statistic: Callable[[Floats], Floats], counts: Floats) -> tuple[Floats, Floats]:
    """A statistic of counts and its standard error, leaving out one patient at a time.

    Args:
        statistic: maps counts (..., labels, 4) to numbers (...).
        counts: (patients, labels, 4), summed over patients for the statistic.

    Returns:
        The statistic and its standard error; NaN for one patient, or if it is undefined without one of them.
    """
    total, patients = counts.sum(axis=0), len(counts)
    value = np.asarray(statistic(total))
    if patients < 2:
        return value, np.full(value.shape, np.nan)
    without = statistic(total - counts)
    spread = ((without - without.mean(axis=0)) ** 2).sum(axis=0)
    return value, np.asarray(np.sqrt(spread * (patients - 1) / patients))


def share_estimate(counts: Floats, metric: str, *, level: float = 0.95) -> Estimate:
    """One metric of one label with its interval, from counts by patient (patients, 4).

    The interval is Wilson's with the number of cases that would have the jackknife's standard error; at 0 or 1, where
    there is no such error, with the number of patients.
    """
    value, se = (float(one) for one in jackknife(lambda some: ratio(some[..., 0, :], metric), counts[:, None, :]))
    if not math.isfinite(value):
        return Estimate()
    below = counts @ RATIOS[metric][1]
    patients, cases = int((below > 0).sum()), float(below.sum())
    known = math.isfinite(se) and se > 0 and 0 < value < 1
    size = min(value * (1 - value) / se**2, cases) if known else float(patients)
    return Estimate(value, *wilson(value, size, level=level))


def mean_estimate(
    statistic: Callable[[Floats], Floats], counts: Floats, *, metric: str = "accuracy", level: float = 0.95
) -> Estimate:
    """A statistic over several labels, between 0 and 1, with a normal interval by the jackknife over patients.

    At 0 or 1, where all patients agree and there is no standard error, it is Wilson's with the number of patients that
    have a case in the denominator of ``metric``.
    """
    value, se = (float(one) for one in jackknife(statistic, counts))
    if value in (0.0, 1.0) and not se > 0:
        patients = np.count_nonzero((counts @ RATIOS[metric][1]).sum(axis=1))
        return Estimate(value, *wilson(value, float(patients), level=level))
    half = float(ndtri(0.5 + level / 2)) * se
    return Estimate(value, max(0.0, value - half), min(1.0, value + half)) if math.isfinite(half) else Estimate(value)


def wilson(share: float, size: float, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share of ``size`` cases."""
    z = float(ndtri(0.5 + level / 2))
    centre = (share + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z / (1 + z**2 / size) * math.sqrt(share * (1 - share) / size + z**2 / (4 * size**2))
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
