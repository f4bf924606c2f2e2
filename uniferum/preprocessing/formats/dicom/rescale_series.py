"""Slope and intercept of every slice of a series, where some headers lack them, and the check of what was filled in."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.dicom.rescale import Rescale
from uniferum.preprocessing.formats.dicom.slices import Slice

# A slice is told to have another slice's values where these bring it four times nearer to its neighbour, and its own
# leave it this many HU away: more than contrast, noise or a change of anatomy do to the median difference.
_ODD_HU, _ODD_RATIO = 200.0, 4.0


def completed(slices: Sequence[Slice], subject: str) -> tuple[list[Rescale], list[int], tuple[str, ...], list[str]]:
    """The rescale of every slice: its own, else the one that all sound slices share.

    Returns:
        rescale a slice; the slices for which it was taken from the others; flags; notes.

    Raises:
        UniferumError: a value is unusable in every slice, or too many are, or the sound ones differ.
    """
    own = [one.rescale for one in slices]
    sound = {one for one in own if one.sound}
    lost = [index for index, one in enumerate(own) if not one.sound]
    if not lost:
        return own, [], (), []
    if not sound and all(one.absent for one in own):
        return (
            own,
            [],
            ("no_rescale",),
            ["No slice has RescaleSlope and RescaleIntercept: stored values are read as HU."],
        )
    bad = slices[lost[0]]
    fault = bad.rescale.fault or "RescaleSlope and RescaleIntercept are absent"
    if len(sound) != 1 or 2 * len(lost) > len(own) or next(iter(sound)).lut:
        where = f"{len(lost)} of {len(own)} slices"
        raise UniferumError(
            f"{bad.path}: {fault}", where, must="be a number other than 0 (slope), a number (intercept)"
        )
    shared = next(iter(sound))
    note = f"{len(lost)} of {len(own)} slices have no usable rescale values; those of the other slices were applied."
    return [one if one.sound else shared for one in own], lost, ("rescale_filled_in",), [note]


def check_filled(stack: np.ndarray, filled: Sequence[int], rescale: Rescale, slices: Sequence[Slice]) -> None:
    """Slices with borrowed values must look like their neighbours, and more so than their stored values do.

    Raises:
        UniferumError: one does not.
    """
    sound = np.array([index for index in range(len(stack)) if index not in set(filled)])
    for index in filled:
        near = stack[sound[np.abs(sound - index).argmin()]].astype(np.float32)
        hu = stack[index].astype(np.float32)
        stored = (hu - rescale.intercept) / rescale.slope
        if np.median(np.abs(hu - near)) > np.median(np.abs(stored - near)):
            raise UniferumError(
                f"{slices[index].path}: RescaleSlope, RescaleIntercept",
                must="be given",
                cure="they are lost, and with the values of the other slices it does not look like its neighbours",
            )


def contradicting(stack: np.ndarray, usable: Sequence[int], rescale: Sequence[Rescale]) -> int:
    """How many slices look like their neighbours only with the values of most slices, and not with their own."""
    counts = Counter(rescale[at] for at in usable)
    if len(counts) < 2:
        return 0
    usual = counts.most_common(1)[0][0]
    if usual.lut or 2 * counts[usual] <= len(usable):
        return 0
    like = np.array([at for at in usable if rescale[at] == usual])
    found = 0
    for at in usable:
        own = rescale[at]
        if own == usual or own.lut:
            continue
        near = stack[like[np.abs(like - at).argmin()]].astype(np.float32)
        hu = stack[at].astype(np.float32)
        other = (hu - own.intercept) / own.slope * usual.slope + usual.intercept
        apart = float(np.median(np.abs(hu - near)))
        found += apart > _ODD_HU and apart > _ODD_RATIO * float(np.median(np.abs(other - near)))
    return found


def said_of_odd(count: int, of: int) -> str:
    """The note on slices whose rescale values contradict their pixels."""
    return f"{count} of {of} slices do not look like their neighbours, but would with the rescale values of the others."
