"""Of all slices of a folder, the stack that is read: one CT series, one orientation, one acquisition."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.dicom import kinds
from uniferum.preprocessing.formats.dicom.phases import by_height, heights_of, places, separate
from uniferum.preprocessing.formats.dicom.slices import Slice
from uniferum.preprocessing.formats.stored import MAX_BYTES

# A shorter stack is a bolus tracker or a single rotation, and is read only where there is nothing longer.
_SHORT_MM = 40.0
# Directions and spacings of one stack agree to this (half a millimetre at the edge of a field of 500 mm).
_SAME_DIRECTION, _SAME_SPACING = 2e-3, 1e-3
# Parts that reach less far beyond the one that is read show nothing more of the body.
_BEYOND_MM = 10.0
# Slices within about 35 degrees of transverse are axial; gantries tilt by up to 30.
_AXIAL_COSINE = 0.82


@dataclass(frozen=True)
class Choice:
    """The chosen slices, sorted along their normal, and what was left out."""

    slices: list[Slice]
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())


def choose(slices: Sequence[Slice], subject: str, beside: str = "") -> Choice:
    """Choose the stack: original axial images first, then the one with most slices, then the lowest number.

    Args:
        slices: of all series.
        subject: the folder, for an error.
        beside: what else lies there, for an error.

    Raises:
        UniferumError: there is no stack of at least two places, or one that is too large for the memory.
    """
    stacks = _stacks(slices)
    best, joined = stacks[0], False
    if len(places(best)) < 2:
        best, joined = _joined(slices, stacks, subject, beside), True
    rows, columns = best[0].shape
    if 4 * rows * columns * len(best) > MAX_BYTES:
        raise UniferumError(subject, must=f"hold at most {MAX_BYTES >> 30} GiB of voxels in its series")
    parts = separate(best)
    chosen = parts[0]
    if len(places(chosen)) < 2:
        count = f"{len(best)} slices at {len(places(best))} place(s)"
        raise UniferumError(
            subject, count, must="hold slices at two places or more", cure="it shows one place over time"
        )
    found = _said_of_series(stacks, best, joined=joined), _said_of_parts(parts), _said_of_kind(chosen)
    return Choice(chosen, tuple(f for one in found for f in one.flags), tuple(n for one in found for n in one.notes))


def _stacks(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices of one series, kind, size, spacing and direction, best stack first."""
    found = _grouped(slices, lambda one: (one.study, one.series))
    return sorted((stack for group in found for stack in _by_reference(group)), key=_rank)


def _grouped(slices: Sequence[Slice], key: Callable[[Slice], Hashable]) -> list[list[Slice]]:
    """Groups of one key, kind, size, spacing and direction; directions that nearly agree are made equal."""
    directions, spacings = _Near(_SAME_DIRECTION), _Near(_SAME_SPACING)
    groups: dict[Hashable, list[Slice]] = {}
    for one in slices:
        direction, spacing = directions(one.axes.ravel()), spacings(np.log(one.spacing))
        axes = directions.known[direction].reshape(2, 3)
        same = one if np.array_equal(axes, one.axes) else replace(one, axes=axes)
        groups.setdefault((key(one), one.kind, one.shape, direction, spacing), []).append(same)
    return list(groups.values())


class _Near:
    """Numbers vectors so that those that differ by less than a limit have one number."""

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
    """One frame of reference a stack, unless there is one a slice (a fault of some anonymisers)."""
    counts = Counter(one.reference for one in stack if one.reference)
    if len(counts) < 2 or 2 * len(counts) > len(stack):
        return [stack]
    most = counts.most_common(1)[0][0]
    return [[one for one in stack if (one.reference or most) == wanted] for wanted in counts]


def _rank(stack: list[Slice]) -> tuple[object, ...]:
    heights = heights_of(stack)
    axial, original = _is_axial(stack[0]), stack[0].kind == kinds.ORIGINAL
    return (
        float(np.ptp(heights)) < _SHORT_MM,
        not (axial and original),
        not axial,
        [kinds.ORIGINAL, kinds.DERIVED, kinds.OTHER_CLASS, kinds.NOT_HU].index(stack[0].kind),
        -len(places(stack)),
        stack[0].series_number,
        stack[0].series,
    )


def _is_axial(one: Slice) -> bool:
    return abs(float(np.cross(one.axes[0], one.axes[1])[2])) > _AXIAL_COSINE


def _joined(slices: Sequence[Slice], stacks: list[list[Slice]], subject: str, beside: str) -> list[Slice]:
    """The slices of several series of one place each, of one study and one frame of reference."""
    groups = sorted(_grouped(slices, lambda one: (one.study, one.reference)), key=_rank)
    best = groups[0]
    if len(places(best)) >= 2 and best[0].reference:
        return best
    if len(slices) == 1:
        cure = "give the folder that holds all slices of the series" + (f"; {beside}" if beside else "")
        raise UniferumError(subject, "1 slice", must="hold at least two slices of one series", cure=cure)
    if len(stacks) == 1:
        value = f"{len(slices)} slices at one place"
        raise UniferumError(subject, value, must="hold slices at two places or more", cure=beside)
    value = f"{len(slices)} slices in {len(stacks)} series or sizes"
    cure = "no two of them share series (or frame of reference), size, spacing and direction"
    raise UniferumError(subject, value, must="hold at least two slices of one series", cure=cure)


def _said_of_series(stacks: list[list[Slice]], best: list[Slice], *, joined: bool) -> Choice:
    if joined:
        note = (
            f"Each of the {len(best)} slices has a series of its own; they share frame of reference, size, spacing and "
        )
        return Choice(best, ("series_joined",), (note + "direction, and were read as one stack.",))
    series = {(stack[0].study, stack[0].series) for stack in stacks}
    flags, notes = (), []
    if len(series) > 1:
        studies = len({stack[0].study for stack in stacks})
        of = f"{len(series)} CT series" + (f" of {studies} studies" if studies > 1 else "")
        why = "original axial images first, then most slices"
        notes.append(f"Of {of} in the folder one with {len(best)} slices was chosen ({why}).")
        flags = ("several_series",)
    own = (best[0].study, best[0].series)
    others = sum(len(stack) for stack in stacks if (stack[0].study, stack[0].series) == own) - len(best)
    if others:
        notes.append(f"{others} slices of the series have another direction, size, spacing or kind and were left out.")
        flags = (*flags, "slices_left_out")
    return Choice(best, flags, tuple(notes))


def _said_of_parts(parts: list[list[Slice]]) -> Choice:
    if len(parts) == 1:
        numbers = {one.marks["AcquisitionNumber"] for one in parts[0]}
        joined = len(numbers) > 1 and "" not in numbers
        note = f"The series was acquired in {len(numbers)} parts, one behind the other, and read as one stack."
        return Choice(parts[0], (), (note,) if joined else ())
    sizes = ", ".join(str(len(part)) for part in parts[:8]) + (", ..." if len(parts) > 8 else "")
    beyond = _beyond(parts)
    more = f" Others reach up to {beyond:.0f} mm beyond it." if beyond > _BEYOND_MM else ""
    note = f"The series holds {len(parts)} acquisitions (slices: {sizes}); the first of these was read, whole.{more}"
    return Choice(parts[0], ("several_acquisitions",), (note,))


def _beyond(parts: list[list[Slice]]) -> float:
    """Millimetres by which other parts reach beyond the first one, along its normal."""
    low, high = parts[0][0].height, parts[0][-1].height
    return max(max(low - part[0].height, part[-1].height - high) for part in parts[1:])


def _said_of_kind(chosen: list[Slice]) -> Choice:
    one = chosen[0]
    if one.kind == kinds.NOT_HU:
        return Choice(chosen, ("derived_series", "wrong_hu"), ("The slices say that their values are not HU.",))
    if one.kind == kinds.OTHER_CLASS:
        return Choice(chosen, ("class_contradicts",), ("The slices say modality CT and are stored as MR images.",))
    if one.kind == kinds.DERIVED or not _is_axial(one):
        what = "derived (reformatted or processed)" if one.kind == kinds.DERIVED else "original, but not axial"
        return Choice(chosen, ("derived_series",), (f"There is no original axial series; the one read is {what}.",))
    return Choice(chosen)


def restricted(choice: Choice, slices: list[Slice], flags: Sequence[str], notes: Sequence[str]) -> Choice:
    """The choice with other slices, and more said about it."""
    return replace(choice, slices=by_height(slices), flags=(*choice.flags, *flags), notes=(*choice.notes, *notes))
