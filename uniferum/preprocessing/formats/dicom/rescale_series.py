"""Slope and intercept of every slice of a series: complete missing values, and check the result."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.dicom.rescale import Rescale
from uniferum.preprocessing.formats.dicom.slices import Slice

# A slice is reported to have another slice's values if these bring it four times nearer to its neighbour, and its own
# leave it this many HU away: contrast, noise and changes of anatomy change the median difference by less.
_ODD_HU, _ODD_RATIO = 200.0, 4.0


def completed(slices: Sequence[Slice], subject: str) -> tuple[list[Rescale], list[int], tuple[str, ...], list[str]]:
    """Complete the rescale of every slice: its own, or else the one that all valid slices share.

    Returns:
        rescale per slice; the slices that use the values of others; flags; notes.

    Raises:
        UniferumError: a value is unusable in every slice or in too many, or the valid ones differ.
    """
    rescales = [one.rescale for one in slices]
    valid = {one for one in rescales if one.sound}
    lost = [index for index, one in enumerate(rescales) if not one.sound]
    if not lost:
        return rescales, [], (), []
    if not valid and all(one.absent for one in rescales):
        return (
            rescales,
            [],
            ("no_rescale",),
            ["No slice has RescaleSlope and RescaleIntercept: stored values are read as HU."],
        )
    bad = slices[lost[0]]
    fault = bad.rescale.fault or "RescaleSlope and RescaleIntercept are absent"
    if len(valid) != 1 or 2 * len(lost) > len(rescales) or next(iter(valid)).lut:
        affected = f"{len(lost)} of {len(rescales)} slices"
        raise UniferumError(
            f"{bad.path}: {fault}", affected, must="be a number other than 0 (slope), a number (intercept)"
        )
    shared = next(iter(valid))
    note = f"{len(lost)} of {len(rescales)} slices lack valid rescale values; those of the other slices were applied."
    return [one if one.sound else shared for one in rescales], lost, ("rescale_filled_in",), [note]


def check_filled(stack: np.ndarray, filled: Sequence[int], rescale: Rescale, slices: Sequence[Slice]) -> None:
    """Check that slices with values of others resemble their neighbours, better than their stored values do.

    Raises:
        UniferumError: a slice does not.
    """
    valid = np.array([index for index in range(len(stack)) if index not in set(filled)])
    for index in filled:
        near = stack[valid[np.abs(valid - index).argmin()]].astype(np.float32)
        hu = stack[index].astype(np.float32)
        stored = (hu - rescale.intercept) / rescale.slope
        if np.median(np.abs(hu - near)) > np.median(np.abs(stored - near)):
            raise UniferumError(
                f"{slices[index].path}: RescaleSlope, RescaleIntercept",
                must="be given",
                cure="they are missing, and with the values of the other slices it does not look like its neighbours",
            )


def contradicting(stack: np.ndarray, usable: Sequence[int], rescale: Sequence[Rescale]) -> int:
    """Number of slices that resemble their neighbours only with the values of most slices, not with their own."""
    counts = Counter(rescale[at] for at in usable)
    if len(counts) < 2:
        return 0
    usual = counts.most_common(1)[0][0]
    if usual.lut or 2 * counts[usual] <= len(usable):
        return 0
    like = np.array([at for at in usable if rescale[at] == usual])
    count = 0
    for at in usable:
        applied = rescale[at]
        if applied == usual or applied.lut:
            continue
        near = stack[like[np.abs(like - at).argmin()]].astype(np.float32)
        hu = stack[at].astype(np.float32)
        other = (hu - applied.intercept) / applied.slope * usual.slope + usual.intercept
        apart = float(np.median(np.abs(hu - near)))
        count += apart > _ODD_HU and apart > _ODD_RATIO * float(np.median(np.abs(other - near)))
    return count


def odd_slices_note(count: int, of: int) -> str:
    """Note on slices whose rescale values contradict their pixels."""
    return f"{count} of {of} slices do not look like their neighbours, but would with the rescale values of the others."
