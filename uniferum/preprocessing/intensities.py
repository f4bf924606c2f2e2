"""Stored values to Hounsfield units in int16, slab by slab, and what looks wrong about them.

Invariant: no float64 copy of a scan is ever made; a scan whose values are HU in int16 already is not copied at all.
"""

import numba
import numpy as np
from jaxtyping import Int16, Shaped

from uniferum.errors import UniferumError
from uniferum.preprocessing.source import Intensity

# Plausible HU of a chest scan: below lies padding, above only metal (CT-RATE reaches 10,286 at a few voxels).
PLAUSIBLE_HU = (-2000, 4000)
# Shares of voxels outside the plausible range: flagged from the first, refused from the second.
FLAGGED_SHARE, REFUSED_SHARE = 0.02, 0.25
# Interpolation smears a padding value over so many HU.
_PADDING_WIDTH = 200
# Where a writer left the outside of the field of view as NaN; more of it is a damaged file.
NAN_SHARE = 0.5


def to_hu(
    stored: Shaped[np.ndarray, "a b c"], intensity: Intensity, *, subject: str
) -> tuple[Int16[np.ndarray, "a b c"], tuple[str, ...]]:
    """``slope * stored + intercept`` rounded to int16, NaN as air; the second is flags (``nan_voxels``).

    Raises:
        UniferumError: most voxels are NaN, or slope or intercept is not a finite number other than a zero slope.
    """
    slope, intercept = intensity.slope, intensity.intercept
    if not np.isfinite([slope, intercept]).all() or slope == 0:
        raise UniferumError(subject, f"slope {slope}, intercept {intercept}", must="have a finite slope other than 0")
    if stored.dtype == np.int16 and slope == 1 and intercept == 0:
        return stored, ()
    order = "F" if stored.strides[0] <= stored.strides[2] else "C"
    out = np.empty(stored.shape, dtype=np.int16, order=order)
    axis = 2 if order == "F" else 0
    missing = 0
    for index in range(stored.shape[axis]):
        part = (slice(None),) * axis + (index,)
        value = stored[part].astype(np.float32) * np.float32(slope) + np.float32(intercept)
        if stored.dtype.kind == "f":
            absent = np.isnan(value)
            missing += int(absent.sum())
            value[absent] = -1024
        out[part] = np.rint(np.clip(value, -32768, 32767, out=value), out=value)
    if missing > NAN_SHARE * stored.size:
        raise UniferumError(subject, f"{missing / stored.size:.0%} NaN", must="hold numbers in most voxels")
    return out, (("nan_voxels",) if missing else ())


def check_plausible(hu: Int16[np.ndarray, "x y z"], *, subject: str) -> tuple[str, ...]:
    """``("wrong_hu",)`` where the values do not look like HU, apart from one padding value.

    Looked for: values beyond the plausible range, no air beside bright voxels (an offset of 1024 left out), and no
    soft tissue at all (an offset applied twice).

    Raises:
        UniferumError: so many lie outside the plausible range that nothing can be made of the scan.
    """
    counts = _histogram(hu[:, ::2, ::2] if hu.size > 1 << 22 else hu)
    low, high = PLAUSIBLE_HU
    padding = int(counts[: low + 32768].argmax())
    counts[max(0, padding - _PADDING_WIDTH) : min(low + 32768, padding + _PADDING_WIDTH)] = 0
    share = _Shares(counts)
    outside = share(-32768, low) + share(high, 32768)
    if outside > REFUSED_SHARE:
        cure = "check slope and intercept: v1 files of CT-RATE take theirs from the metadata table, v2 files none"
        raise UniferumError(subject, f"{outside:.0%} outside", must=f"hold HU within {PLAUSIBLE_HU}", cure=cure)
    shifted = share(-32768, -300) == 0 and share(700, 32768) > 0.25
    return ("wrong_hu",) if outside > FLAGGED_SHARE or shifted or share(-200, 300) < 0.01 else ()


class _Shares:
    """Shares of a histogram of int16 values."""

    def __init__(self, counts: np.ndarray) -> None:
        self.below = np.concatenate([[0], np.cumsum(counts)])

    def __call__(self, low: int, high: int) -> float:
        """Share of the values in ``low`` to ``high``, the latter not included."""
        return float(self.below[high + 32768] - self.below[low + 32768]) / max(1, int(self.below[-1]))


@numba.njit(cache=True, nogil=True)
def _histogram(hu):
    counts = np.zeros(65536, np.int64)
    for z in range(hu.shape[2]):
        for y in range(hu.shape[1]):
            for x in range(hu.shape[0]):
                counts[np.int64(hu[x, y, z]) + 32768] += 1
    return counts


def clip_in_place(hu: Int16[np.ndarray, "x y z"], low: int, high: int) -> None:
    """Limit every voxel of a writable array to ``low`` to ``high`` HU (paper 3.5: -1000 to 1000)."""
    by_memory = np.argsort([-abs(stride) for stride in hu.strides])
    _clip(hu.transpose(by_memory), low, high)


@numba.njit(cache=True, nogil=True)
def _clip(hu, low, high):
    for a in range(hu.shape[0]):
        for b in range(hu.shape[1]):
            for c in range(hu.shape[2]):
                hu[a, b, c] = min(max(hu[a, b, c], low), high)
