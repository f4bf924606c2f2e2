"""Choose the stack of slices to read from a folder: one CT series, one orientation, one acquisition."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.dicom import kinds
from uniferum.preprocessing.formats.dicom.phases import by_height, group_by_position, heights_of, separate
from uniferum.preprocessing.formats.dicom.slices import Slice
from uniferum.preprocessing.formats.stored import MAX_BYTES

# A shorter stack is a bolus tracker or a single rotation, which is read only if there is nothing longer.
_SHORT_MM = 40.0
# Tolerances of direction and spacing within a stack (half a millimetre at the edge of a field of 500 mm).
_SAME_DIRECTION, _SAME_SPACING = 2e-3, 1e-3
# Parts that reach less far beyond the chosen one add nothing of the body.
_BEYOND_MM = 10.0
# Slices within about 35 degrees of transverse are axial; gantries tilt by up to 30.
_AXIAL_COSINE = 0.82


@dataclass(frozen=True)
class Choice:
    """The chosen slices, sorted along their normal, with flags and notes on the slices that were ignored."""

    slices: list[Slice]
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())


def choose(slices: Sequence[Slice], subject: str, beside: str = "") -> Choice:
    """Choose a stack: original axial images first, then the largest number of slices, then the lowest series number.

    Args:
        slices: slices of all series.
        subject: the folder, for error messages.
        beside: other content of the folder, for error messages.

    Raises:
        UniferumError: no stack has at least two positions, or the chosen one is too large for the memory.
    """
    stacks = _stacks(slices)
    best, joined = stacks[0], False
    if len(group_by_position(best)) < 2:
        best, joined = _joined(slices, stacks, subject, beside), True
    rows, columns = best[0].shape
    if 4 * rows * columns * len(best) > MAX_BYTES:
        raise UniferumError(subject, must=f"hold at most {MAX_BYTES >> 30} GiB of voxels in its series")
    parts = separate(best)
    chosen = parts[0]
    if len(group_by_position(chosen)) < 2:
        count = f"{len(best)} slices at {len(group_by_position(best))} position(s)"
        raise UniferumError(
            subject, count, must="hold slices at two or more positions", cure="it shows one position over time"
        )
    remarks = _series_remarks(stacks, best, joined=joined), _acquisition_remarks(parts), _kind_remarks(chosen)
    flags, notes = (f for one in remarks for f in one.flags), (n for one in remarks for n in one.notes)
    return Choice(chosen, tuple(flags), tuple(notes))


def _stacks(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices of one series, kind, size, spacing and direction; the best stack comes first."""
    remarks = _grouped(slices, lambda one: (one.study, one.series))
    return sorted((stack for group in remarks for stack in _by_reference(group)), key=_rank)


def _grouped(slices: Sequence[Slice], key: Callable[[Slice], Hashable]) -> list[list[Slice]]:
    """Group slices by a key, kind, size, spacing and direction; nearly equal directions are made equal."""
    directions, spacings = _Near(_SAME_DIRECTION), _Near(_SAME_SPACING)
    groups: dict[Hashable, list[Slice]] = {}
    for one in slices:
        direction, spacing = directions(one.axes.ravel()), spacings(np.log(one.spacing))
        axes = directions.known[direction].reshape(2, 3)
        same = one if np.array_equal(axes, one.axes) else replace(one, axes=axes)
        groups.setdefault((key(one), one.kind, one.shape, direction, spacing), []).append(same)
    return list(groups.values())


class _Near:
    """Number vectors so that vectors that differ by less than a limit get the same number."""

    def __init__(self, limit: float) -> None:
        self.limit, self.known, self.seen = limit, list[np.ndarray](), dict[bytes, int]()

    def __call__(self, vector: np.ndarray) -> int:
        raw = vector.tobytes()
        if raw not in self.seen:
            close = [n for n, other in enumerate(self.known) if np.abs(other - vector).max() <= self.limit]
            if not close:
                self.known.append(vector)
            self.seen[raw] = close[0] if close else len(self.known) - 1
        return self.seen[raw]


def _by_reference(stack: list[Slice]) -> list[list[Slice]]:
    """Split by frame of reference, unless there is one per slice (a fault of some anonymisers)."""
    counts = Counter(one.reference for one in stack if one.reference)
    if len(counts) < 2 or 2 * len(counts) > len(stack):
        return [stack]
    most = counts.most_common(1)[0][0]
    return [[one for one in stack if (one.reference or most) == reference] for reference in counts]


def _rank(stack: list[Slice]) -> tuple[object, ...]:
    heights = heights_of(stack)
    axial, original = _is_axial(stack[0]), stack[0].kind == kinds.ORIGINAL
    return (
        float(np.ptp(heights)) < _SHORT_MM,
        not (axial and original),
        not axial,
        [kinds.ORIGINAL, kinds.DERIVED, kinds.OTHER_CLASS, kinds.NOT_HU].index(stack[0].kind),
        -len(group_by_position(stack)),
        stack[0].series_number,
        stack[0].series,
    )


def _is_axial(one: Slice) -> bool:
    return abs(float(np.cross(one.axes[0], one.axes[1])[2])) > _AXIAL_COSINE


def _joined(slices: Sequence[Slice], stacks: list[list[Slice]], subject: str, beside: str) -> list[Slice]:
    """Join single slices of several series that have one study and frame of reference."""
    groups = sorted(_grouped(slices, lambda one: (one.study, one.reference)), key=_rank)
    best = groups[0]
    if len(group_by_position(best)) >= 2 and best[0].reference:
        return best
    if len(slices) == 1:
        cure = "use the folder with all slices of the series" + (f"; {beside}" if beside else "")
        raise UniferumError(subject, "1 slice", must="hold at least two slices of one series", cure=cure)
    if len(stacks) == 1:
        value = f"{len(slices)} slices at one position"
        raise UniferumError(subject, value, must="hold slices at two or more positions", cure=beside)
    value = f"{len(slices)} slices in {len(stacks)} series or sizes"
    cure = "no two of them share series (or frame of reference), size, spacing and direction"
    raise UniferumError(subject, value, must="hold at least two slices of one series", cure=cure)


def _series_remarks(stacks: list[list[Slice]], best: list[Slice], *, joined: bool) -> Choice:
    if joined:
        note = f"Each of the {len(best)} slices is a separate series; they share frame of reference, size, spacing and "
        return Choice(best, ("series_joined",), (note + "direction, and were read as one stack.",))
    series = {(stack[0].study, stack[0].series) for stack in stacks}
    flags, notes = (), []
    if len(series) > 1:
        studies = len({stack[0].study for stack in stacks})
        of = f"{len(series)} CT series" + (f" of {studies} studies" if studies > 1 else "")
        why = "original axial images first, then most slices"
        notes.append(f"Of {of} in the folder, one with {len(best)} slices was chosen ({why}).")
        flags = ("several_series",)
    chosen_series = (best[0].study, best[0].series)
    others = sum(len(stack) for stack in stacks if (stack[0].study, stack[0].series) == chosen_series) - len(best)
    if others:
        notes.append(f"{others} slices of the series have another direction, size, spacing or kind and were ignored.")
        flags = (*flags, "slices_left_out")
    return Choice(best, flags, tuple(notes))


def _acquisition_remarks(parts: list[list[Slice]]) -> Choice:
    if len(parts) == 1:
        numbers = {one.marks["AcquisitionNumber"] for one in parts[0]}
        joined = len(numbers) > 1 and "" not in numbers
        note = f"The series was acquired in {len(numbers)} consecutive parts, which were read as one stack."
        return Choice(parts[0], (), (note,) if joined else ())
    sizes = ", ".join(str(len(part)) for part in parts[:8]) + (", ..." if len(parts) > 8 else "")
    beyond = _beyond(parts)
    more = f" Others reach up to {beyond:.0f} mm beyond it." if beyond > _BEYOND_MM else ""
    note = f"The series holds {len(parts)} acquisitions (slices: {sizes}); only the first of these was read.{more}"
    return Choice(parts[0], ("several_acquisitions",), (note,))


def _beyond(parts: list[list[Slice]]) -> float:
    """Distance in mm by which other parts extend beyond the first one, along its normal."""
    low, high = parts[0][0].height, parts[0][-1].height
    return max(max(low - part[0].height, part[-1].height - high) for part in parts[1:])


def _kind_remarks(chosen: list[Slice]) -> Choice:
    one = chosen[0]
    if one.kind == kinds.NOT_HU:
        return Choice(chosen, ("derived_series", "wrong_hu"), ("The slices say that their values are not HU.",))
    if one.kind == kinds.OTHER_CLASS:
        return Choice(chosen, ("class_contradicts",), ("The slices have modality CT but are stored as MR images.",))
    if one.kind == kinds.DERIVED or not _is_axial(one):
        what = "derived (reformatted or processed)" if one.kind == kinds.DERIVED else "original, but not axial"
        return Choice(chosen, ("derived_series",), (f"There is no original axial series; the one read is {what}.",))
    return Choice(chosen)


def restricted(choice: Choice, slices: list[Slice], flags: Sequence[str], notes: Sequence[str]) -> Choice:
    """Copy a choice with other slices and with additional flags and notes."""
    return replace(choice, slices=by_height(slices), flags=(*choice.flags, *flags), notes=(*choice.notes, *notes))
