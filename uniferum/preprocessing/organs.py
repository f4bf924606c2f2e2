"""What the organs of a TotalSegmentator mask say about a scan's axes, as log-odds with a reason."""

import numpy as np
from jaxtyping import UInt8

from uniferum.preprocessing.cues import Cue, Question
from uniferum.preprocessing.landmarks import X, Y, Z
from uniferum.preprocessing.lungs import LEFT_LUNG_IDS, LUNG_IDS, RIGHT_LUNG_IDS

LIVER, SPLEEN, HEART = (5,), (1,), (51,)
# TotalSegmentator v2: S1 is 26, L5 to L1 27 to 31, T12 to T1 32 to 43, C7 to C1 44 to 50: ids grow towards the head.
VERTEBRAE = tuple(range(26, 51))
# Less of an organ than this is too little to judge by.
MIN_ML = 5.0
# An order of two organs that is off by 10 mm speaks with log-odds of 1; none speaks with more than 5 (1 in 150).
_PER_MM, _LIMIT = 0.1, 5.0
# Which structures stand at the smaller and at the larger coordinate of an axis.
_ORDER: tuple[tuple[Question, int, tuple[int, ...], tuple[int, ...], str], ...] = (
    ("left_right", X, LEFT_LUNG_IDS, RIGHT_LUNG_IDS, "the mask's left lung lies to the right of the right lung"),
    ("left_right", X, SPLEEN, LIVER, "the mask's liver lies to the left of the spleen"),
    ("front_back", Y, VERTEBRAE, HEART, "the mask's spine lies in front of the heart"),
    ("head_foot", Z, LIVER, LUNG_IDS, "the mask's liver lies above the lungs"),
)


def of_mask(ids: UInt8[np.ndarray, "x y z"], spacing_mm: np.ndarray) -> list[Cue]:
    """Cues of the organs that are in view.

    Args:
        ids: TotalSegmentator v2 on the coarse grid of the scan, axes as the header claims them.
        spacing_mm: of that grid.
    """
    counts = np.bincount(ids.ravel(), minlength=256)
    there = np.flatnonzero(counts[1:]) + 1
    centres = {int(number): _centre_mm(ids == number, spacing_mm) for number in there if number <= max(VERTEBRAE) + 1}
    block_ml = float(np.prod(spacing_mm)) / 1000

    def centre(numbers: tuple[int, ...]) -> np.ndarray | None:
        found = [number for number in numbers if number in centres]
        total = int(counts[found].sum()) if found else 0
        if total * block_ml < MIN_ML:
            return None
        return np.asarray(sum(counts[number] * centres[number] for number in found) / total)

    cues, ways = [], []
    for question, axis, lower, higher, against in _ORDER:
        a, b = centre(lower), centre(higher)
        if a is not None and b is not None:
            cues.append(Cue(question, _limited((b - a)[axis]), against))
            if lower == LEFT_LUNG_IDS:
                ways.append(_along(b - a, X, "the mask's lungs do not lie side by side from left to right"))
    for cue in _vertebrae(counts, centres, block_ml):
        (ways if cue.question == "axes" else cues).append(cue)
    # One axis in order says nothing of the other two: the weaker of the two answers counts.
    return cues + sorted(ways, key=lambda cue: cue.log_odds)[:1]


def _vertebrae(counts: np.ndarray, centres: dict[int, np.ndarray], block_ml: float) -> list[Cue]:
    """From the lowest to the highest vertebra the way goes up."""
    seen = [number for number in VERTEBRAE if number in centres and counts[number] * block_ml >= MIN_ML]
    if len(seen) < 3:
        return []
    way = centres[seen[-1]] - centres[seen[0]]
    return [
        Cue("head_foot", _limited(way[Z]), "the mask's vertebrae count downwards"),
        _along(way, Z, "the mask's vertebrae do not follow one another from foot to head"),
    ]


def _along(way: np.ndarray, axis: int, against: str) -> Cue:
    """Whether a way goes more along an axis than along the others."""
    others = max(abs(float(way[a])) for a in (X, Y, Z) if a != axis)
    return Cue("axes", _limited(abs(float(way[axis])) - others), against)


def _centre_mm(mask: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0) * spacing_mm


def _limited(mm: float) -> float:
    return float(np.clip(mm * _PER_MM, -_LIMIT, _LIMIT))
