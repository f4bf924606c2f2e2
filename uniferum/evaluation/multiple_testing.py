"""Families of tests: adjusted p values of Holm (family-wise error) and Benjamini-Hochberg (false discovery rate).

A p value that is NaN is no test: it stays NaN and does not count towards the family.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def holm(p: ArrayLike) -> Floats:
    """Adjusted p values (n,): reject where they are at most the family-wise level. Holm, Scand. J. Stat. 6 (1979)."""
    values, known, order = _sorted(p)
    size = len(order)
    stepped = np.maximum.accumulate(values[known][order] * (size - np.arange(size)))
    return _placed(values, known, order, stepped)


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """Adjusted p values (n,): reject where they are at most the false discovery rate. J. R. Stat. Soc. B 57 (1995)."""
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
