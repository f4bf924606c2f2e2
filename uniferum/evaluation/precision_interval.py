"""Intervals for average precision, corrected for the bias of few positives.

The number that is estimated is the average precision of the population at the test set's prevalence. The average
precision of a sample is too high with few positives (by 0.06 at 5 of 360), so resampling with replacement, which
doubles that bias, gives intervals that miss.

Here halves of the patients are drawn without replacement, within patients with and without a positive volume. The
standard deviation of a half around the whole is the standard error of the whole, and the bias of a half is twice that
of the whole: ``2 * whole - mean(halves)`` corrects it (Politis, Romano and Wolf 1999, "Subsampling"). The interval is
made around the corrected value on the logit scale, with Student's t of the positive patients; where some have many more
volumes than others, of their effective number (as in :mod:`uniferum.evaluation.clustered`).

The mean over labels adds the influence of each patient on each label's average precision, so that labels of one patient
are not treated as independent; the standard deviations of the halves scale it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numba
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from uniferum.evaluation.area_interval import patient_numbers, too_few
from uniferum.evaluation.clustered import freedom
from uniferum.evaluation.curves import average_precision
from uniferum.evaluation.delong import check_scores, quantile

Floats = NDArray[np.float64]
Codes = NDArray[np.integer]

HALVES = 300
METHOD = "halves of the patients, corrected for few positives"
OF_MEAN = "halves of the patients, corrected for few positives, patients summed over labels"
NEAREST = 1e-3
"""Least distance of the centre of an interval from 0 and 1, where the logit has no value."""


@dataclass(frozen=True)
class PrecisionInterval:
    """An average precision with its interval.

    Attributes:
        value: average precision of the sample, as scikit-learn computes it; NaN where a class is missing.
        corrected: corrected for few positives: what the interval is around.
        se: standard error.
        low: lower end; NaN where ``reason`` says why.
        high: upper end.
        method: how the interval was made; empty where there is none.
        patients: number of patients.
        positives: patients with a positive volume.
        reason: empty, or why there is no interval.
        influence: (patients,) of each patient on ``value``; the squares sum to a variance.
    """

    value: float
    corrected: float
    se: float
    low: float
    high: float
    method: str
    patients: int
    positives: int
    reason: str = ""
    influence: Floats = field(default_factory=lambda: np.empty(0), repr=False, compare=False)


def precision_interval(
    target: ArrayLike,
    score: ArrayLike,
    patient: ArrayLike | None = None,
    *,
    level: float = 0.95,
    halves: int = HALVES,
    seed: int = 0,
) -> PrecisionInterval:
    """Compute average precision and its interval.

    Args:
        target: (n,) of 0 and 1.
        score: (n,), finite.
        patient: (n,) ids; None: every case is a patient of its own.
        level: coverage of the interval.
        halves: number of halves that are drawn.
        seed: seed of the draws.

    Raises:
        UniferumError: a score is not finite, or the lengths differ.
    """
    check_scores(target, score)
    positive, values = np.asarray(target) > 0.5, np.asarray(score, dtype=np.float64)
    codes = patient_numbers(patient, len(values))
    count = int(codes.max()) + 1 if len(codes) else 0
    with_positive = np.bincount(codes, weights=positive, minlength=count) > 0
    with_negative = np.bincount(codes, weights=~positive, minlength=count) > 0
    positives, negatives = int(with_positive.sum()), int(with_negative.sum())
    reason, value = too_few(positives, negatives), average_precision(positive, values)
    none = math.nan
    if not math.isfinite(value):
        return PrecisionInterval(value, none, none, none, none, "", count, positives, reason)
    order = np.argsort(-values, kind="stable")
    ordered, owner = values[order], codes[order].astype(np.int64)
    last = np.append(ordered[1:] != ordered[:-1], True)
    influence = _influence(positive[order], last, owner, with_positive, with_negative)
    if reason:
        se = math.sqrt(float(influence @ influence))
        return PrecisionInterval(value, value, se, none, none, "", count, positives, reason, influence)
    drawn = _of_halves(positive[order], last, owner, with_positive, halves, seed)
    se, corrected = float(np.nanstd(drawn, ddof=1)), 2 * value - float(np.nanmean(drawn))
    corrected = min(max(corrected, 0.0), 1.0)
    sizes = np.bincount(codes, weights=positive)
    effective = float(sizes.sum()) ** 2 / float((sizes**2).sum())
    low, high = logit_interval(corrected, se, quantile(level, max(effective - 1, 1.0)))
    return PrecisionInterval(value, corrected, se, low, high, METHOD, count, positives, "", influence)


def mean_interval(
    labels: Sequence[PrecisionInterval], patients: Sequence[ArrayLike], *, level: float = 0.95
) -> PrecisionInterval:
    """The mean over labels, with its interval.

    Args:
        labels: the labels' own; those without a value are left out.
        patients: for each label the distinct ids of its patients, in their order of appearance.
        level: coverage of the interval.
    """
    known = [(one, ids) for one, ids in zip(labels, patients, strict=True) if math.isfinite(one.value)]
    none = math.nan
    if not known:
        return PrecisionInterval(none, none, none, none, none, "", 0, 0)
    owner, names = pd.factorize(np.concatenate([np.asarray(ids, dtype=object) for _, ids in known]))
    summed = np.bincount(owner, weights=np.concatenate([one.influence for one, _ in known]), minlength=len(names))
    linear = sum(float(one.influence @ one.influence) for one, _ in known)
    scale = sum(one.se**2 for one, _ in known) / linear if linear > 0 else 1.0
    se = math.sqrt(float(summed @ summed) * scale) / len(known)
    value, corrected = (float(np.mean([getattr(one, name) for one, _ in known])) for name in ("value", "corrected"))
    free = freedom([(one.se**2, max(one.positives - 1, 1)) for one, _ in known])
    low, high = logit_interval(corrected, se, quantile(level, free))
    fewest = min(one.positives for one, _ in known)
    return PrecisionInterval(value, corrected, se, low, high, OF_MEAN, len(names), fewest)


def logit_interval(centre: float, se: float, reach: float) -> tuple[float, float]:
    """``reach`` standard errors on either side of a share, on the logit scale."""
    inside = min(max(centre, NEAREST), 1 - NEAREST)
    middle, half = math.log(inside / (1 - inside)), reach * se / (inside * (1 - inside))
    low, high = (1 / (1 + math.exp(-min(max(middle + side, -700.0), 700.0))) for side in (-half, half))
    return low, high


@numba.njit(cache=True, nogil=True)
def _of_halves(
    positive: NDArray[np.bool_],
    last: NDArray[np.bool_],
    owner: NDArray[np.int64],
    stratum: NDArray[np.bool_],
    halves: int,
    seed: int,
) -> Floats:
    """Average precision of each half; the cases are in descending order of score, ``last`` of each tie is marked."""
    np.random.seed(seed)  # numba has no Generator that is seeded within a kernel
    means = np.empty(halves)
    chosen = np.zeros(len(stratum), np.bool_)
    for at in range(halves):
        _choose(stratum, chosen)
        hits, seen, gain, total = 0.0, 0.0, 0.0, 0.0
        for case in range(len(owner)):
            if chosen[owner[case]]:
                seen += 1.0
                gain += positive[case]
            if last[case] and gain > 0:
                hits += gain
                total += gain * hits / seen
                gain = 0.0
        means[at] = total / hits if hits > 0 else np.nan
    return means


@numba.njit(cache=True, nogil=True)
def _choose(stratum: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> None:
    """Choose a half of either stratum, by selection sampling; of an odd number the half by chance up or down."""
    with_positive = stratum.sum()
    left = np.array([len(stratum) - with_positive, with_positive])
    wanted = left // 2
    for kind in range(2):
        if left[kind] % 2 == 1 and np.random.random() < 0.5:
            wanted[kind] += 1
    for patient in range(len(stratum)):
        kind = int(stratum[patient])
        chosen[patient] = np.random.random() * left[kind] < wanted[kind]
        left[kind] -= 1
        wanted[kind] -= chosen[patient]


def _influence(
    positive: NDArray[np.bool_],
    last: NDArray[np.bool_],
    owner: NDArray[np.int64],
    with_positive: NDArray[np.bool_],
    with_negative: NDArray[np.bool_],
) -> Floats:
    """The influence (patients,) on average precision at fixed numbers of either class: its derivative by weight."""
    ends = np.flatnonzero(last)
    run = np.searchsorted(ends, np.arange(len(last)))
    hits, seen = np.cumsum(positive)[ends].astype(float), ends + 1.0
    gain, precision = np.diff(hits, prepend=0.0), hits / seen
    m = hits[-1]
    after_pos = np.cumsum((gain * (seen - hits) / seen**2)[::-1])[::-1]
    after_neg = np.cumsum((gain * hits / seen**2)[::-1])[::-1]
    slope = np.where(positive, precision[run] + after_pos[run], -after_neg[run])
    count = len(with_positive)
    total = np.zeros(count)
    for of_class, clusters in ((positive, with_positive.sum()), (~positive, with_negative.sum())):
        centred = np.where(of_class, slope - slope[of_class].mean(), 0.0)
        factor = math.sqrt(clusters / max(clusters - 1, 1))
        total += np.bincount(owner, weights=centred, minlength=count) / m * factor
    return total
