"""Acquisitions that share one series: which slices belong together, by what their headers say and where they lie.

Invariant: two slices of two phases never stand in one stack. A stack stays whole where its acquisitions lie one behind
the other along the axis (stations of a scan that moves the table step by step).
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from uniferum.preprocessing.formats.dicom.slices import MARKS, Slice

Labels = list[str]
# Slices nearer than this share of the usual distance, or than 10 micrometres, lie at one place.
_SAME_PLACE, _SAME_PLACE_MM = 0.01, 0.01
# Distances that differ by less than this share of the usual one belong to a regular stack.
_REGULAR = 0.1
_MAX_COMBS = 8
# Interleaved stacks are each regular to a much smaller share of the distance between neighbours than a stack whose
# places scatter, and are long enough to show it.
_COMB, _SHORTEST_COMB = 0.05, 5
# At most this share of a stack has a stray value in an element that tells acquisitions apart.
_STRAY = 0.05


def by_height(slices: Iterable[Slice]) -> list[Slice]:
    """Sorted along the normal of the first one's plane, then by number."""
    return sorted(slices, key=lambda one: (one.height, one.order or 0, str(one.path), one.frame or 0))


def heights_of(slices: Sequence[Slice]) -> np.ndarray:
    """Places along the normal, mm."""
    return np.array([one.height for one in slices])


def places(slices: Sequence[Slice]) -> list[list[Slice]]:
    """The slices sorted by height, those that lie at one place together."""
    ordered = by_height(slices)
    heights = heights_of(ordered)
    gaps = np.diff(heights)
    near = gaps[gaps > _SAME_PLACE_MM]
    limit = max(_SAME_PLACE_MM, _SAME_PLACE * float(np.percentile(near, 75))) if len(near) else _SAME_PLACE_MM
    out = [[ordered[0]]]
    for one, gap in zip(ordered[1:], gaps, strict=True):
        if gap > limit:
            out.append([one])
        else:
            out[-1].append(one)
    return out


def separate(slices: Sequence[Slice]) -> list[list[Slice]]:
    """The acquisitions of one series and geometry, each sorted by height; the largest, then the earliest first."""
    parts = [by_height(slices)]
    for ask in (*(_mark(name) for name in MARKS), _by_file, _by_time, _by_number, _by_turn, _by_comb):
        parts = [piece for part in parts for piece in _split(part, ask)]
    return sorted(parts, key=lambda part: (-len(places(part)), _began(part)))


def _began(part: Sequence[Slice]) -> tuple[float, tuple[str, ...], int]:
    number = part[0].marks["AcquisitionNumber"]
    order = min((one.order for one in part if one.order is not None), default=0)
    return (float(number) if number.lstrip("-").isdigit() else 0.0, min(one.time for one in part), order)


def _split(part: list[Slice], ask: Callable[[list[Slice]], Labels]) -> list[list[Slice]]:
    """By labels, where these tell more than one value, make stacks and not crumbs, and lie across one another."""
    labels = ask(part)
    counts = Counter(labels)
    if len(counts) < 2 or len(part) < 2 * len(counts) or not (_across(part, labels) or _has_hole(part)):
        return [part]
    if _fills_gaps(part, counts):
        return [part]
    return [[one for one, label in zip(part, labels, strict=True) if label == wanted] for wanted in counts]


def _fills_gaps(part: Sequence[Slice], counts: Counter[str]) -> bool:
    """Whether but a few slices say another value, and these stand exactly where the others lack one: a stray value."""
    strays = len(part) - max(counts.values())
    return strays <= max(1, _STRAY * len(part)) and _regular(heights_of(part))


def _across(part: Sequence[Slice], labels: Labels) -> bool:
    """Whether a label's slices are parted by another one's, or lie at the place of one of another."""
    runs = 1 + sum(a != b for a, b in itertools.pairwise(labels))
    if runs > len(set(labels)):
        return True
    of = dict(zip(map(id, part), labels, strict=True))
    return any(len({of[id(one)] for one in place}) > 1 for place in places(part))


def _has_hole(part: Sequence[Slice]) -> bool:
    """Whether a gap is so wide that its two sides are two scans."""
    gaps = np.diff(heights_of(part))
    gaps = gaps[gaps > _SAME_PLACE_MM]
    return len(gaps) > 1 and float(gaps.max()) > max(3 * float(np.median(gaps)), 30.0)


def _tangled(part: Sequence[Slice]) -> bool:
    """Whether places repeat or distances go up and down, so that time and number should be asked."""
    if any(len(place) > 1 for place in places(part)):
        return True
    gaps = np.diff(heights_of(part))
    return len(gaps) > 2 and float((gaps < 0.6 * np.percentile(gaps, 75)).mean()) > 0.2


def _mark(name: str) -> Callable[[list[Slice]], Labels]:
    def ask(part: list[Slice]) -> Labels:
        said = [one.marks[name] for one in part]
        # A value that some headers lost tells nothing.
        return said if len(set(said) - {""}) > 1 else [""] * len(part)

    return ask


def _by_file(part: list[Slice]) -> Labels:
    """Multi-frame files that lie across one another are two acquisitions; those one behind the other are one."""
    return [str(one.path) if one.frame is not None else "" for one in part]


def _by_time(part: list[Slice]) -> Labels:
    if not _tangled(part) or any(not any(one.time) for one in part):
        return [""] * len(part)
    for which in range(len(part[0].time)):
        said = [one.time[which] for one in part]
        if len(set(said)) > 1 and 3 * len(set(said)) <= len(part) and _across(part, said):
            return said
    return _sweeps(part, [(one.time, one.order or 0) for one in part])


def _by_number(part: list[Slice]) -> Labels:
    numbers = [one.order for one in part]
    known = [number for number in numbers if number is not None]
    if len(known) < len(part) or len(set(known)) < len(known):
        return [""] * len(part)
    return _sweeps(part, known)


def _sweeps(part: list[Slice], keys: Sequence[object]) -> Labels:
    """Along the keys the table runs one way; where it turns or jumps back a new sweep begins."""
    order = sorted(range(len(part)), key=lambda index: (keys[index], index))  # type: ignore[index]
    labels, sweep, way = [""] * len(part), 0, 0.0
    labels[order[0]] = "0"
    for before, now in itertools.pairwise(order):
        step = part[now].height - part[before].height
        if abs(step) <= _SAME_PLACE_MM or (way and step * way < 0):
            sweep, way = sweep + 1, 0.0
        else:
            way = way or step
        labels[now] = str(sweep)
    return labels if len(part) >= 3 * (sweep + 1) and _one_covers(part, labels) else [""] * len(part)


def _one_covers(part: list[Slice], labels: Labels) -> bool:
    """Whether one label's slices reach over nearly all of the part: a phase, no piece of one."""
    heights = heights_of(part)
    spans = [np.ptp(heights[[label == wanted for label in labels]]) for wanted in set(labels)]
    return float(max(spans)) >= 0.8 * float(np.ptp(heights))


def _by_turn(part: list[Slice]) -> Labels:
    """Every place equally often, its numbers one after another: the phases of one place, then those of the next."""
    found = places(part)
    count = len(found[0])
    orders = [[one.order for one in place] for place in found]
    known = all(len(row) == count and None not in row for row in orders)
    spans = [max(row) - min(row) for row in orders if known]  # type: ignore[type-var, operator]
    if count < 2 or not known or set(spans) != {count - 1}:
        return [""] * len(part)
    ranks = {
        id(one): str(rank) for place in found for rank, one in enumerate(sorted(place, key=lambda o: o.order or 0))
    }
    return [ranks[id(one)] for one in part]


def _by_comb(part: list[Slice]) -> Labels:
    """Every n-th slice at one distance, and these combs shifted against one another: stacks that were interleaved."""
    heights = heights_of(part)
    if any(len(place) > 1 for place in places(part)):
        return [""] * len(part)
    uneven = not _regular(heights) and _tangled(part)
    used = Counter(one.order for one in part)
    for count in range(2, min(_MAX_COMBS, len(part) // _SHORTEST_COMB) + 1):
        combs = [heights[start::count] for start in range(count)]
        numbered_anew = set(used.values()) == {count} and len(used) > 2 and part[0].frame is None
        if (uneven or numbered_anew) and all(_regular(comb, _COMB / count) for comb in combs):
            return [str(index % count) for index in range(len(part))]
    return [""] * len(part)


def _regular(heights: np.ndarray, share: float = _REGULAR) -> bool:
    if len(heights) < 3:
        return True
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    return bool(np.abs(gaps - usual).max() <= share * usual)
