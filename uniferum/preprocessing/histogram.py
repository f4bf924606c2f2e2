"""Histogram of the int16 values of a volume, and separation of padding from air and tissue.

Invariant: only counts and the values of the eight corners are used, so the result does not depend on the axes.
"""

import numba
import numpy as np
from jaxtyping import Int16, Int64

_ZERO = 32768
"""Index of the value 0 in the counts."""
LEAST, END = -_ZERO, _ZERO
"""The lowest int16 value, and one above the highest."""

_SPIKE = 10
"""A value this many times as frequent as its neighbours is a constant, not tissue with noise."""
_NEAR, _FEWEST = 20, 20
_SPREAD = 200
"""HU range on each side of a padding value over which interpolation and noise spread it."""
_USUAL_PADDING = (0, -1024)
"""Padding values within the range of HU: of scans multiplied by a mask, and of missing voxels (-1024)."""
PADDING_SHARE = 0.005
_ENOUGH = 1 << 22
"""Volumes with more voxels are sampled: every n-th row of every n-th slice is counted."""


class Histogram:
    """Counts of int16 values.

    Attributes:
        counts: one count per value, starting at -32768.
    """

    def __init__(self, counts: Int64[np.ndarray, "65536"]) -> None:
        self.counts = counts
        self.below = np.concatenate([[0], np.cumsum(counts)])

    @property
    def total(self) -> int:
        """Number of values."""
        return int(self.below[-1])

    def count(self, low: int, high: int) -> int:
        """Number of values from ``low`` to ``high``, exclusive."""
        first, last = (min(max(value + _ZERO, 0), 2 * _ZERO) for value in (low, high))
        return int(self.below[last] - self.below[first])

    def share(self, low: int, high: int, *, of: tuple[int, int] = (LEAST, END)) -> float:
        """Share of the values from ``low`` to ``high`` among those of the range ``of``; 0 if that range is empty."""
        return self.count(low, high) / max(1, self.count(*of))

    def quantile(self, share: float) -> int:
        """The value below or at which this share of all values lies."""
        return int(np.searchsorted(self.below[1:], max(1.0, share * self.total))) - _ZERO

    def most_frequent(self, low: int, high: int) -> int:
        """The most frequent value from ``low`` to ``high``, exclusive."""
        return int(self.counts[low + _ZERO : high + _ZERO].argmax()) + low

    def is_spike(self, value: int, share: float) -> bool:
        """Whether a value is far more frequent than its neighbours and makes up at least this share of all."""
        count = self.count(value, value + 1)
        first, last = max(LEAST, value - _NEAR), min(END, value + _NEAR + 1)
        near = (self.count(first, last) - count) / (last - first - 1)
        return count >= max(_FEWEST, share * self.total) and count >= _SPIKE * near

    def without(self, low: int, high: int) -> "Histogram":
        """Copy without the values from ``low`` to ``high``, exclusive."""
        counts = self.counts.copy()
        counts[max(0, low + _ZERO) : max(0, high + _ZERO)] = 0
        return Histogram(counts)

    def moved(self, slope: float, intercept: float) -> "Histogram":
        """Histogram of ``slope * value + intercept``, limited to int16."""
        values = np.rint(slope * np.arange(LEAST, END) + intercept).clip(LEAST, END - 1).astype(np.int64)
        return Histogram(np.bincount(values + _ZERO, weights=self.counts, minlength=2 * _ZERO).astype(np.int64))


def histogram_of(hu: Int16[np.ndarray, "x y z"]) -> tuple[Histogram, tuple[int, ...]]:
    """Histogram of a volume (a large one is sampled by rows), and the values of its eight corners."""
    corners = hu[:: max(1, hu.shape[0] - 1), :: max(1, hu.shape[1] - 1), :: max(1, hu.shape[2] - 1)]
    by_memory = hu.transpose(np.argsort([-abs(stride) for stride in hu.strides]))
    step = max(1, round((hu.size / _ENOUGH) ** 0.5))
    return Histogram(_count(by_memory[::step, ::step])), tuple(corners.ravel().tolist())


@numba.njit(cache=True, nogil=True)
def _count(values):
    counts = np.zeros(65536, np.int64)
    for a in range(values.shape[0]):
        for b in range(values.shape[1]):
            for c in range(values.shape[2]):
                counts[np.int64(values[a, b, c]) + 32768] += 1
    return counts


def without_far_padding(histogram: Histogram, low: int, high: int) -> Histogram:
    """Remove the most frequent value below ``low``, that above ``high``, and the values interpolated around them."""
    for first, last in ((LEAST, low), (high, END)):
        value = histogram.most_frequent(first, last)
        histogram = histogram.without(max(first, value - _SPREAD), min(last, value + _SPREAD + 1))
    return histogram


def without_near_padding(histogram: Histogram, corners: tuple[int, ...]) -> Histogram:
    """Remove constants that fill at least half of the corners or are one of the usual padding values."""
    for value in dict.fromkeys((corner_value(corners), *_USUAL_PADDING)):  # each removal changes the shares
        if value is not None and histogram.is_spike(value, PADDING_SHARE):
            histogram = histogram.without(value, value + 1)
    return histogram


def corner_value(corners: tuple[int, ...]) -> int | None:
    """The value of at least half of the corners, or ``None``."""
    value = max(corners, key=corners.count)  # among equally frequent values the first is taken
    return value if 2 * corners.count(value) >= len(corners) else None
