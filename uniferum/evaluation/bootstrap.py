"""Bootstrap intervals by patient: all volumes and prompts of a drawn patient are used.

A draw is a vector of patient weights. A replicate is a weighted AUROC or average precision on the same sorted order,
without resampled copies. Intervals are percentiles. Replicates in which a label has only one class are left out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

#: Elements (replicates x cases) in memory at once; 2^20 doubles in a few arrays need less than 100 MiB.
CHUNK = 1 << 20


@dataclass(frozen=True)
class Replicates:
    """Weighted AUROC and average precision of each draw, (draws,) each; NaN if a class has no weight."""

    auroc: Floats
    aupr: Floats


def draw_patients(patients: int, draws: int, seed: int) -> NDArray[np.uint16]:
    """Draw patients with replacement; return how often each occurs in each draw, (draws, patients)."""
    return _draw(np.random.default_rng(seed), patients, draws)


def draw_stratified(strata: ArrayLike, draws: int, seed: int) -> NDArray[np.uint16]:
    """Draw like :func:`draw_patients` within each stratum; ``strata`` (patients,) keep their sizes."""
    labels = np.asarray(strata)
    generator = np.random.default_rng(seed)
    weights = np.zeros((draws, len(labels)), np.uint16)
    for stratum in np.unique(labels):
        members = np.flatnonzero(labels == stratum)
        weights[:, members] = _draw(generator, len(members), draws)
    return weights


def replicate(target: ArrayLike, score: ArrayLike, patient: Codes, weights: NDArray[np.uint16]) -> Replicates:
    """Compute AUROC and average precision for each draw.

    Args:
        target: (n,) of 0 and 1.
        score: (n,), finite.
        patient: (n,) index of the patient of each case, into the columns of ``weights``.
        weights: (draws, patients).
    """
    values = np.asarray(score, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    positive = (np.asarray(target)[order] > 0.5).astype(np.float64)
    owner = np.asarray(patient)[order]
    step = max(1, CHUNK // max(1, len(values)))
    parts = [_areas(weights[at : at + step][:, owner], positive, ends) for at in range(0, len(weights), step)]
    return Replicates(np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))


def percentile_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Return the central ``level`` interval of the finite replicates; (NaN, NaN) if there are none."""
    array = np.asarray(values, dtype=np.float64)
    finite = array[np.isfinite(array)]
    if not len(finite):
        return float("nan"), float("nan")
    lo, hi = np.quantile(finite, [0.5 - level / 2, 0.5 + level / 2])
    return float(lo), float(hi)


def mean_over_labels(replicates: list[Floats]) -> Floats:
    """Average over labels in each draw (draws,), using the labels that are defined in that draw."""
    stacked = np.stack(replicates)
    known = np.isfinite(stacked)
    count = known.sum(axis=0)
    total = np.where(known, stacked, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(stacked.shape[1], np.nan), where=count > 0)


def _draw(generator: np.random.Generator, size: int, draws: int) -> NDArray[np.uint16]:
    chosen = generator.integers(0, size, size=(draws, size))
    flat = (chosen + np.arange(draws)[:, None] * size).ravel()
    return np.bincount(flat, minlength=draws * size).reshape(draws, size).astype(np.uint16)


def _areas(case_weights: NDArray[np.uint16], positive: Floats, ends: Codes) -> tuple[Floats, Floats]:
    """Compute both areas from weights (draws, n) of cases in descending score; ``ends``: last index of each tie."""
    all_weights = case_weights.astype(np.float64)
    hits = np.cumsum(all_weights * positive, axis=1)[:, ends]
    seen = np.cumsum(all_weights, axis=1)[:, ends]
    gain = np.diff(hits, axis=1, prepend=0.0)
    misses = seen - hits
    n_pos, n_neg = hits[:, -1], misses[:, -1]
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    beaten = n_neg[:, None] - misses + 0.5 * np.diff(misses, axis=1, prepend=0.0)
    both = (n_pos > 0) & (n_neg > 0)
    ap = np.divide((gain * precision).sum(axis=1), n_pos, out=np.full(len(n_pos), np.nan), where=both)
    area = np.divide((gain * beaten).sum(axis=1), n_pos * n_neg, out=np.full(len(n_pos), np.nan), where=both)
    return area, ap
