"""Evidence about a scan's axes from the organs of a TotalSegmentator mask, as log-odds with a reason."""

import numpy as np
from jaxtyping import UInt8

from uniferum.preprocessing.cues import Cue, Question
from uniferum.preprocessing.landmarks import X, Y, Z
from uniferum.preprocessing.lungs import LEFT_LUNG_IDS, LUNG_IDS, RIGHT_LUNG_IDS

LIVER, SPLEEN, HEART = (5,), (1,), (51,)
# TotalSegmentator v2: S1 is 26, L5 to L1 27 to 31, T12 to T1 32 to 43, C7 to C1 44 to 50: ids grow towards the head.
VERTEBRAE = tuple(range(26, 51))
# Minimum volume of an organ that is used as evidence.
MIN_ML = 5.0
# Log-odds per mm of distance between two organs, and their limit: 5 means wrong in 1 of 150 patients.
_PER_MM, _LIMIT = 0.1, 5.0
# Pairs of structures at the smaller and at the larger coordinate of an axis.
_ORDER: tuple[tuple[Question, int, tuple[int, ...], tuple[int, ...], str], ...] = (
    ("left_right", X, LEFT_LUNG_IDS, RIGHT_LUNG_IDS, "the mask's left lung lies to the right of the right lung"),
    ("left_right", X, SPLEEN, LIVER, "the mask's liver lies to the left of the spleen"),
    ("front_back", Y, VERTEBRAE, HEART, "the mask's spine lies in front of the heart"),
    ("head_foot", Z, LIVER, LUNG_IDS, "the mask's liver lies above the lungs"),
)


def of_mask(ids: UInt8[np.ndarray, "x y z"], spacing_mm: np.ndarray) -> list[Cue]:
    """Evidence from the organs in view.

    Args:
        ids: TotalSegmentator v2 ids on the coarse grid of the scan, axes as in the header.
        spacing_mm: voxel size of that grid.
    """
    counts = np.bincount(ids.ravel(), minlength=256)
    present = np.flatnonzero(counts[1:]) + 1
    centres = {int(number): _centre_mm(ids == number, spacing_mm) for number in present if number <= max(VERTEBRAE) + 1}
    block_ml = float(np.prod(spacing_mm)) / 1000

    def centre(numbers: tuple[int, ...]) -> np.ndarray | None:
        visible = [number for number in numbers if number in centres]
        total = int(counts[visible].sum()) if visible else 0
        if total * block_ml < MIN_ML:
            return None
        return np.asarray(sum(counts[number] * centres[number] for number in visible) / total)

    cues, axis_cues = [], []
    for question, axis, lower, higher, against in _ORDER:
        a, b = centre(lower), centre(higher)
        if a is not None and b is not None:
            cues.append(Cue(question, _limited((b - a)[axis]), against))
            if lower == LEFT_LUNG_IDS:
                axis_cues.append(_along(b - a, X, "the mask's lungs do not lie side by side from left to right"))
    for cue in _vertebrae(counts, centres, block_ml):
        (axis_cues if cue.question == "axes" else cues).append(cue)
    # One axis in the right order says nothing about the other two, so the weaker answer counts.
    return cues + sorted(axis_cues, key=lambda cue: cue.log_odds)[:1]


def _vertebrae(counts: np.ndarray, centres: dict[int, np.ndarray], block_ml: float) -> list[Cue]:
    """Evidence from the vertebrae: from the lowest to the highest, z increases."""
    vertebrae = [number for number in VERTEBRAE if number in centres and counts[number] * block_ml >= MIN_ML]
    if len(vertebrae) < 3:
        return []
    offset = centres[vertebrae[-1]] - centres[vertebrae[0]]
    return [
        Cue("head_foot", _limited(offset[Z]), "the mask's vertebrae count downwards"),
        _along(offset, Z, "the mask's vertebrae do not follow one another from foot to head"),
    ]


def _along(offset: np.ndarray, axis: int, against: str) -> Cue:
    """Evidence that an offset points more along ``axis`` than along the other axes."""
    others = max(abs(float(offset[a])) for a in (X, Y, Z) if a != axis)
    return Cue("axes", _limited(abs(float(offset[axis])) - others), against)


def _centre_mm(mask: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0) * spacing_mm


def _limited(mm: float) -> float:
    return float(np.clip(mm * _PER_MM, -_LIMIT, _LIMIT))
