"""Adjust p values for multiple tests: Holm (family-wise error) and Benjamini-Hochberg (false discovery rate).

A p value of NaN is not a test: it stays NaN and is not counted.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def holm(p: ArrayLike) -> Floats:
    """Adjust p values (n,) for the family-wise error rate. Holm, Scand. J. Stat. 6 (1979)."""
    values, known, order = _sorted(p)
    size = len(order)
    stepped = np.maximum.accumulate(values[known][order] * (size - np.arange(size)))
    return _placed(values, known, order, stepped)


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """Adjust p values (n,) for the false discovery rate. Benjamini and Hochberg, J. R. Stat. Soc. B 57 (1995)."""
    values, known, order = _sorted(p)
    size = len(order)
    scaled = values[known][order] * size / np.arange(1, size + 1)
    stepped = np.minimum.accumulate(scaled[::-1])[::-1]
    return _placed(values, known, order, stepped)


def _sorted(p: ArrayLike) -> tuple[Floats, NDArray[np.intp], NDArray[np.intp]]:
    values = np.array(p, dtype=np.float64, copy=True)
    assert values.ndim == 1, "one family of tests is one row of p values"
    known = np.flatnonzero(np.isfinite(values))
    return values, known, np.argsort(values[known], kind="stable")


def _placed(values: Floats, known: NDArray[np.intp], order: NDArray[np.intp], stepped: Floats) -> Floats:
    adjusted = values.copy()
    adjusted[known[order]] = np.minimum(stepped, 1.0)
    return adjusted
