"""Convert stored values to Hounsfield units in int16, slab by slab.

Invariant: no float64 copy of a scan is made, and a scan that is already HU in int16 is not copied.
"""

import numba
import numpy as np
from jaxtyping import Float, Int16, Shaped

from uniferum.errors import UniferumError
from uniferum.preprocessing.flags import WRONG_HU
from uniferum.preprocessing.formats.source import Intensity

# HU for NaN, which some writers store outside the field of view, and its maximum share: above it, the file is damaged.
NAN_SHARE = 0.5
NAN_HU = -1024


def to_hu(
    stored: Shaped[np.ndarray, "a b c"], intensity: Intensity, *, subject: str
) -> tuple[Int16[np.ndarray, "a b c"], tuple[str, ...], tuple[str, ...]]:
    """Compute ``slope * stored + intercept``, rounded and limited to int16, with NaN as air.

    Returns:
        The values; flags (``nan_voxels``, and ``wrong_hu`` where a value is infinite); notes with the numbers.

    Raises:
        UniferumError: most voxels are NaN, slope or intercept is not finite, or the slope is 0.
    """
    slope, intercept = intensity.slope, intensity.intercept
    if not np.isfinite([slope, intercept]).all() or slope == 0:
        raise UniferumError(subject, f"slope {slope}, intercept {intercept}", must="have a finite slope other than 0")
    if stored.dtype == np.int16 and slope == 1 and intercept == 0:
        return stored, (), ()
    order = "F" if stored.strides[0] <= stored.strides[2] else "C"
    out = np.empty(stored.shape, dtype=np.int16, order=order)
    axis = 2 if order == "F" else 0
    absent = infinite = 0
    for index in range(stored.shape[axis]):
        part = (slice(None),) * axis + (index,)
        value = stored[part].astype(np.float32) * np.float32(slope) + np.float32(intercept)
        if stored.dtype.kind == "f":
            slice_absent, slice_infinite = _replace_nonfinite(value)
            absent, infinite = absent + slice_absent, infinite + slice_infinite
        out[part] = np.rint(np.clip(value, -32768, 32767, out=value), out=value)
    if absent > NAN_SHARE * stored.size:
        raise UniferumError(subject, f"{absent / stored.size:.0%} NaN", must="hold numbers in most voxels")
    return out, *_flags_and_notes(absent, infinite, stored.size)


def _replace_nonfinite(value: Float[np.ndarray, "a b"]) -> tuple[int, int]:
    """Replace NaN by air; return the numbers of NaN and of infinite values (which become the limits of int16)."""
    finite = np.isfinite(value)
    others = value.size - int(np.count_nonzero(finite))
    if not others:
        return 0, 0
    nan = np.isnan(value)
    value[nan] = NAN_HU
    absent = int(np.count_nonzero(nan))
    return absent, others - absent


def _flags_and_notes(absent: int, infinite: int, size: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    flags, notes = [], []
    if absent:
        flags.append("nan_voxels")
        notes.append(f"{absent} voxels ({absent / size:.2%}) were NaN and were replaced by air ({NAN_HU} HU).")
    if infinite:
        flags.append(WRONG_HU)
        notes.append(
            f"{infinite} voxels ({infinite / size:.2%}) were infinite and became the limits of int16: a division by "
            "zero or an overflow when the file was written. Write it again from its source."
        )
    return tuple(flags), tuple(notes)


def clip_in_place(hu: Int16[np.ndarray, "x y z"], low: int, high: int) -> None:
    """Clip every voxel of a writable array to ``low`` to ``high`` HU (paper 3.5: -1000 to 1000)."""
    by_memory = np.argsort([-abs(stride) for stride in hu.strides])
    _clip(hu.transpose(by_memory), low, high)


@numba.njit(cache=True, nogil=True)
def _clip(hu, low, high):
    for a in range(hu.shape[0]):
        for b in range(hu.shape[1]):
            for c in range(hu.shape[2]):
                hu[a, b, c] = min(max(hu[a, b, c], low), high)
