"""Separate acquisitions that share one series, by their headers and by the positions of their slices.

Invariant: slices of two phases are never in one stack. Acquisitions that follow each other along the axis (stations of
a scan that moves the table step by step) stay in one stack.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from uniferum.preprocessing.formats.dicom.slices import MARKS, Slice

Labels = list[str]
# Slices nearer than this share of the median distance, or than 10 micrometres, have one position.
_SAME_POSITION, _SAME_POSITION_MM = 0.01, 0.01
# Distances that differ by less than this share of the median belong to a regular stack.
_REGULAR = 0.1
_MAX_COMBS = 8
# Interleaved stacks are each regular, to a much smaller share of the distance between neighbours than a stack with
# scattered positions, and long enough to show it.
_COMB, _SHORTEST_COMB = 0.05, 5
# Maximum share of a stack with a stray value in an element that distinguishes acquisitions.
_STRAY = 0.05


def by_height(slices: Iterable[Slice]) -> list[Slice]:
    """Sort slices along the normal of the first slice's plane, then by number."""
    return sorted(slices, key=lambda one: (one.height, one.order or 0, str(one.path), one.frame or 0))


def heights_of(slices: Sequence[Slice]) -> np.ndarray:
    """Positions along the normal in mm."""
    return np.array([one.height for one in slices])


def group_by_position(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Sort slices by height and group those with the same position."""
    ordered = by_height(slices)
    heights = heights_of(ordered)
    gaps = np.diff(heights)
    near = gaps[gaps > _SAME_POSITION_MM]
    limit = max(_SAME_POSITION_MM, _SAME_POSITION * float(np.percentile(near, 75))) if len(near) else _SAME_POSITION_MM
    out = [[ordered[0]]]
    for one, gap in zip(ordered[1:], gaps, strict=True):
        if gap > limit:
            out.append([one])
        else:
            out[-1].append(one)
    return out


def separate(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Split slices of one series and geometry into acquisitions, sorted by height; largest first, then earliest."""
    parts = [by_height(slices)]
    for label_by in (*(_mark(name) for name in MARKS), _by_file, _by_time, _by_number, _by_turn, _by_comb):
        parts = [piece for part in parts for piece in _split(part, label_by)]
    return sorted(parts, key=lambda part: (-len(group_by_position(part)), _start(part)))


def _start(part: Sequence[Slice]) -> tuple[float, tuple[str, ...], int]:
    number = part[0].marks["AcquisitionNumber"]
    order = min((one.order for one in part if one.order is not None), default=0)
    return (float(number) if number.lstrip("-").isdigit() else 0.0, min(one.time for one in part), order)


def _split(part: list[Slice], label_by: Callable[[list[Slice]], Labels]) -> list[list[Slice]]:
    """Split by labels if there are several, each makes a stack of its own, and these overlap."""
    labels = label_by(part)
    counts = Counter(labels)
    if len(counts) < 2 or len(part) < 2 * len(counts) or not (_overlap(part, labels) or _has_hole(part)):
        return [part]
    if _fills_gaps(part, counts):
        return [part]
    return [[one for one, label in zip(part, labels, strict=True) if label == wanted] for wanted in counts]


def _fills_gaps(part: Sequence[Slice], counts: Counter[str]) -> bool:
    """Whether only a few slices have another value, exactly where the others have gaps: a stray value."""
    strays = len(part) - max(counts.values())
    return strays <= max(1, _STRAY * len(part)) and _regular(heights_of(part))


def _overlap(part: Sequence[Slice], labels: Labels) -> bool:
    """Whether slices of one label lie between those of another, or at the same position."""
    runs = 1 + sum(a != b for a, b in itertools.pairwise(labels))
    if runs > len(set(labels)):
        return True
    of = dict(zip(map(id, part), labels, strict=True))
    return any(len({of[id(one)] for one in group}) > 1 for group in group_by_position(part))


def _has_hole(part: Sequence[Slice]) -> bool:
    """Whether a gap is so wide that its two sides are different scans."""
    gaps = np.diff(heights_of(part))
    gaps = gaps[gaps > _SAME_POSITION_MM]
    return len(gaps) > 1 and float(gaps.max()) > max(3 * float(np.median(gaps)), 30.0)


def _is_irregular(part: Sequence[Slice]) -> bool:
    """Whether positions repeat or distances alternate, so that time and number are needed."""
    if any(len(group) > 1 for group in group_by_position(part)):
        return True
    gaps = np.diff(heights_of(part))
    return len(gaps) > 2 and float((gaps < 0.6 * np.percentile(gaps, 75)).mean()) > 0.2


def _mark(name: str) -> Callable[[list[Slice]], Labels]:
    def label_by(part: list[Slice]) -> Labels:
        values = [one.marks[name] for one in part]
        # A value that is missing in some headers distinguishes nothing.
        return values if len(set(values) - {""}) > 1 else [""] * len(part)

    return label_by


def _by_file(part: list[Slice]) -> Labels:
    """Label by file: multi-frame files that overlap are two acquisitions, consecutive ones are one."""
    return [str(one.path) if one.frame is not None else "" for one in part]


def _by_time(part: list[Slice]) -> Labels:
    if not _is_irregular(part) or any(not any(one.time) for one in part):
        return [""] * len(part)
    for which in range(len(part[0].time)):
        values = [one.time[which] for one in part]
        if len(set(values)) > 1 and 3 * len(set(values)) <= len(part) and _overlap(part, values):
            return values
    return _sweeps(part, [(one.time, one.order or 0) for one in part])


def _by_number(part: list[Slice]) -> Labels:
    numbers = [one.order for one in part]
    known = [number for number in numbers if number is not None]
    if len(known) < len(part) or len(set(known)) < len(known):
        return [""] * len(part)
    return _sweeps(part, known)


def _sweeps(part: list[Slice], keys: Sequence[object]) -> Labels:
    """Label sweeps: ordered by the keys, the table moves one way until it turns or jumps back."""
    order = sorted(range(len(part)), key=lambda index: (keys[index], index))  # type: ignore[index]
    labels, sweep, direction = [""] * len(part), 0, 0.0
    labels[order[0]] = "0"
    for before, now in itertools.pairwise(order):
        step = part[now].height - part[before].height
        if abs(step) <= _SAME_POSITION_MM or (direction and step * direction < 0):
            sweep, direction = sweep + 1, 0.0
        else:
            direction = direction or step
        labels[now] = str(sweep)
    return labels if len(part) >= 3 * (sweep + 1) and _one_covers(part, labels) else [""] * len(part)


def _one_covers(part: list[Slice], labels: Labels) -> bool:
    """Whether the slices of one label cover almost the whole part: a phase, not a section of one."""
    heights = heights_of(part)
    spans = [np.ptp(heights[[label == wanted for label in labels]]) for wanted in set(labels)]
    return float(max(spans)) >= 0.8 * float(np.ptp(heights))


def _by_turn(part: list[Slice]) -> Labels:
    """Label by rank if each position has equally many consecutive numbers: first all phases of one position."""
    groups = group_by_position(part)
    count = len(groups[0])
    orders = [[one.order for one in group] for group in groups]
    known = all(len(row) == count and None not in row for row in orders)
    spans = [max(row) - min(row) for row in orders if known]  # type: ignore[type-var, operator]
    if count < 2 or not known or set(spans) != {count - 1}:
        return [""] * len(part)
    ranks = {
        id(one): str(rank) for group in groups for rank, one in enumerate(sorted(group, key=lambda o: o.order or 0))
    }
    return [ranks[id(one)] for one in part]


def _by_comb(part: list[Slice]) -> Labels:
    """Label interleaved stacks: every n-th slice has one distance, and these combs are shifted to each other."""
    heights = heights_of(part)
    if any(len(group) > 1 for group in group_by_position(part)):
        return [""] * len(part)
    uneven = not _regular(heights) and _is_irregular(part)
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
