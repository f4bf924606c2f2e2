"""Interpret the numbers of a mask file: 0 and 1 of a binary layer, or the ids of TotalSegmentator.

Invariant: the header's slope and intercept are applied first, and ambiguous numbers are refused with the key (``value``
or ``threshold``) that resolves them. No float copy of a whole file is made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
from jaxtyping import UInt8

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.source import Intensity, MaskSource
from uniferum.preprocessing.formats.stored import Stored

TOTALSEGMENTATOR = "totalsegmentator"
MAX_ID = 117
"""Highest id of ``total`` in TotalSegmentator v2."""

# Tolerance for labels that went through float arithmetic.
_ROUNDING = 1e-3
# Minimum of a label map or interpolated mask (one of 0 and 255 reaches -115); a CT has lower values.
_CT_LOW = -500
# Maximum number of distinct values, and of a whole number; a file with more is a continuous map.
_MAX_FRACTIONS, _MAX_LABEL = 64, 1 << 15
_REMEDY = "set value (one or several of its numbers) or threshold"


@dataclass(frozen=True)
class Spread:
    """Range of the numbers in a file after slope and intercept.

    Attributes:
        low: the smallest number.
        high: the largest number.
        distinct: all numbers, sorted; ``None`` for a continuous map.
        step: half the value of one step of the stored integers if the header scales them, else 0.
    """

    low: float
    high: float
    distinct: np.ndarray | None
    step: float

    def listed(self) -> str:
        """The numbers, or their range, for a message."""
        if self.distinct is None or len(self.distinct) > 8:
            return f"{self.low:g} to {self.high:g}"
        return ", ".join(f"{number:g}" for number in self.distinct)

    def whole(self) -> bool:
        """Whether all numbers are whole, apart from rounding and the header's scale."""
        near = _ROUNDING + min(self.step, 0.25)
        return self.distinct is not None and bool((np.abs(self.distinct - np.rint(self.distinct)) <= near).all())


def layer_values(stored: Stored, mask: MaskSource, path: Path) -> tuple[UInt8[np.ndarray, "a b c"], tuple[str, ...]]:
    """Convert a stored layer to ids of ``totalsegmentator``, or else to 0 and 1.

    Args:
        stored: the result of the file format's reader.
        mask: the layer, and which numbers belong to it.
        path: the file, for messages.

    Returns:
        the array, and notes.

    Raises:
        UniferumError: the numbers are not finite, look like a CT, fill the whole file, or are not labels and not made
            so by ``value`` or ``threshold``.
    """
    values, scale = stored.values, stored.intensity
    if _plain(values, mask, scale):
        return values, ()
    spread = _spread(values, scale, path)
    if spread.low < _CT_LOW:
        raise UniferumError(str(path), spread.listed(), must="hold a mask", cure="these numbers look like a CT in HU")
    choose, notes = _rule(mask, spread, path)
    return _chosen(values, scale, choose), notes


def _plain(values: np.ndarray, mask: MaskSource, scale: Intensity) -> bool:
    """Whether the file needs no conversion: uint8, not scaled, 0 and 1 or ids, neither of them everywhere."""
    if values.dtype != np.uint8 or scale != Intensity(1.0, 0.0) or mask.value is not None or mask.threshold is not None:
        return False
    most = MAX_ID if mask.layer == TOTALSEGMENTATOR else 1
    return bool(values.max() <= most and values.min() == 0)


def _rule(mask: MaskSource, spread: Spread, path: Path) -> tuple[Callable[[np.ndarray], np.ndarray], tuple[str, ...]]:
    """Conversion of each number, and notes."""
    if mask.layer == TOTALSEGMENTATOR:
        return _ids(spread, path), ()
    if mask.threshold is not None:
        return _above(mask.threshold, mask.layer, spread, path)
    if mask.value is not None:
        selected = (mask.value,) if isinstance(mask.value, int) else mask.value
        return _equal(selected, mask.layer, spread, path)
    return _binary(spread, path), ()


def _ids(spread: Spread, path: Path) -> Callable[[np.ndarray], np.ndarray]:
    if not spread.whole():
        cure = "an interpolated or probability map holds no ids; export the labels themselves"
        raise UniferumError(str(path), spread.listed(), must="hold whole ids", cure=cure)
    low, high = np.rint([spread.low, spread.high])
    if low < 0 or high > MAX_ID:
        raise UniferumError(str(path), spread.listed(), must=f"hold ids 0 to {MAX_ID} of TotalSegmentator v2")
    if low == high and low > 0:
        raise _everywhere(path, spread)
    return np.rint


def _above(
    threshold: float, layer: str, spread: Spread, path: Path
) -> tuple[Callable[[np.ndarray], np.ndarray], tuple[str, ...]]:
    if spread.low > threshold:
        cure = "every voxel is above it"
        raise UniferumError(str(path), spread.listed(), must=f"go below the threshold {threshold:g}", cure=cure)
    none = spread.high <= threshold and spread.high > 0
    note = f"mask {layer}: no voxel is above the threshold {threshold:g}; the file holds {spread.listed()}"
    return (lambda v: v > threshold), ((note,) if none else ())


def _equal(
    selected: tuple[int, ...], layer: str, spread: Spread, path: Path
) -> tuple[Callable[[np.ndarray], np.ndarray], tuple[str, ...]]:
    if not spread.whole() or spread.distinct is None:
        cure = "a map of fractions needs `threshold`"
        raise UniferumError(str(path), spread.listed(), must="hold whole numbers if `value` selects one", cure=cure)
    present = set(np.rint(spread.distinct).astype(int).tolist())
    if present <= set(selected):
        raise _everywhere(path, spread)
    absent = [number for number in selected if number not in present]
    note = f"mask {layer}: no voxel has the value {', '.join(map(str, absent))}; the file holds {spread.listed()}"
    return (lambda v: np.isin(np.rint(v), selected)), ((note,) if absent and spread.high > 0 else ())


def _binary(spread: Spread, path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Select the one number other than 0, whatever it is: 1, 255, 0.9."""
    same = _ROUNDING * max(abs(spread.low), abs(spread.high))
    if spread.distinct is None:
        cure = "a probability map or an interpolated mask needs `threshold`"
        raise UniferumError(str(path), spread.listed(), must="hold 0 and one other number", cure=cure)
    set_to = spread.distinct[np.abs(spread.distinct) > same + spread.step]
    if spread.low < -same - spread.step or (len(set_to) and np.ptp(set_to) > 2 * same):
        raise UniferumError(str(path), spread.listed(), must="hold 0 and one other number", cure=_REMEDY)
    if len(set_to) == len(spread.distinct):
        raise _everywhere(path, spread)
    half = spread.high / 2 if len(set_to) else np.inf
    return lambda v: v > half


def _everywhere(path: Path, spread: Spread) -> UniferumError:
    return UniferumError(str(path), spread.listed(), must="have empty voxels", cure="its mask fills the whole file")


def _spread(values: np.ndarray, scale: Intensity, path: Path) -> Spread:
    scaled = scale != Intensity(1.0, 0.0)
    step = abs(scale.slope) / 2 if scaled and values.dtype.kind in "iu" else 0.0
    if not np.isfinite([scale.slope, scale.intercept]).all() or scale.slope == 0:
        value = f"slope {scale.slope}, intercept {scale.intercept}"
        raise UniferumError(str(path), value, must="have a finite slope other than 0")
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        codes = _codes(values.dtype)[_counts(values) > 0]
        distinct = np.unique(codes * scale.slope + scale.intercept)
        return Spread(float(distinct[0]), float(distinct[-1]), distinct, step)
    return _spread_of_many(values, scale, step, path)


def _codes(dtype: np.dtype) -> np.ndarray:
    """Every number of an 8- or 16-bit type, in the order of its bits read as unsigned."""
    bits = 8 * dtype.itemsize
    return np.arange(1 << bits).astype(f"u{dtype.itemsize}").view(dtype).astype(np.float64)


def _counts(values: np.ndarray) -> np.ndarray:
    """How often each bit pattern of an 8- or 16-bit array occurs."""
    size = values.dtype.itemsize
    counts = np.zeros(1 << 8 * size, dtype=np.int64)
    _histogram(_slabs(values.view(f"u{size}")), counts)
    return counts


@numba.njit(cache=True, nogil=True)
def _histogram(bits, counts):
    for a in range(bits.shape[0]):
        for b in range(bits.shape[1]):
            for c in range(bits.shape[2]):
                counts[bits[a, b, c]] += 1


def _slabs(values: np.ndarray) -> np.ndarray:
    """The array with its slowest axis first."""
    return values.transpose(np.argsort([-abs(stride) for stride in values.strides]))


def _spread_of_many(values: np.ndarray, scale: Intensity, step: float, path: Path) -> Spread:
    """Range of the numbers of floats and wide integers."""
    low, high = np.inf, -np.inf
    labels = np.zeros(2 * _MAX_LABEL + 1, dtype=np.bool_)
    fractions, continuous = np.empty(0), False
    for slab in _slabs(values):
        numbers = slab.astype(np.float64).ravel() * scale.slope + scale.intercept
        low, high = min(low, float(numbers.min())), max(high, float(numbers.max()))
        if not np.isfinite([low, high]).all():
            cure = "it has NaN or infinite voxels; write 0 there"
            raise UniferumError(str(path), must="hold finite numbers", cure=cure)
        if continuous:
            continue
        label = (numbers == np.rint(numbers)) & (np.abs(numbers) <= _MAX_LABEL)
        labels[numbers[label].astype(np.int64) + _MAX_LABEL] = True
        rest = numbers[~label]
        fractions = np.union1d(fractions, rest[:: max(1, len(rest) // 4096)])
        continuous = len(fractions) > _MAX_FRACTIONS
        fractions = fractions if continuous else np.union1d(fractions, rest)
        continuous = len(fractions) > _MAX_FRACTIONS
    whole = np.flatnonzero(labels) - float(_MAX_LABEL)
    return Spread(low, high, None if continuous else np.union1d(whole, fractions), step)


def _chosen(values: np.ndarray, scale: Intensity, choose: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Apply ``choose`` to every scaled voxel, as uint8 in the memory order of the file."""
    by_memory = np.argsort([-abs(stride) for stride in values.strides])
    source = values.transpose(by_memory)
    out = np.empty(source.shape, dtype=np.uint8)
    size = values.dtype.itemsize
    narrow = values.dtype.kind in "iu" and size <= 2
    # Numbers that do not occur may be far outside uint8, but are never looked up.
    with np.errstate(invalid="ignore"):
        table = choose(_codes(values.dtype) * scale.slope + scale.intercept) if narrow else np.empty(0)
        table = table.astype(np.int64).astype(np.uint8)
    for index, slab in enumerate(source):
        if narrow:
            table.take(slab.view(f"u{size}"), out=out[index], mode="clip")
        else:
            out[index] = choose(slab.astype(np.float64) * scale.slope + scale.intercept)
    return out.transpose(np.argsort(by_memory))
