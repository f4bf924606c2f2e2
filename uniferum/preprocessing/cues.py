"""Evidence about a scan's axes from the landmarks of the chest, as log-odds with a reason.

Each cue is a log-likelihood ratio of "the header is right" to "the axis is reversed": a measure times a slope, clipped
so that no single organ (a collapsed lung, a raised diaphragm, a pneumonectomy) outvotes the others. Slopes and limits
were set on three real thoraces with crops, cuts, noise and rotations of 10 degrees, and on 160 phantoms with findings;
``tests/hard_data/test_orientations.py`` prints the results. A limit of 2 assumes that the cue is wrong in one patient
of eight, 3 in one of twenty, 4 in one of fifty.
"""

from dataclasses import dataclass, replace
from itertools import permutations
from typing import Literal

import numpy as np
from scipy import ndimage

from uniferum.preprocessing import landmarks
from uniferum.preprocessing.landmarks import Chest, X, Y, Z

Question = Literal["axes", "left_right", "front_back", "head_foot"]
# Two lungs are visible if the valley between them is at least half as deep as they are high, and neither is a remnant.
MIN_VALLEY, MIN_LUNG_ML, MIN_LUNG_SHARE = 0.5, 150.0, 0.1
# Minimum density of a column of bone that counts as the spine (vertebrae of real scans: 0.16 to 0.52 of a block).
MIN_SPINE = 0.08
MIN_BONE_ML, MIN_TISSUE_ML = 20.0, 50.0
# Lungs that fill less of the trunk are diseased, collapsed or partly outside the scan; their cues count in proportion
# (healthy thoraces: 0.18 to 0.46; phantoms with consolidated or resected lungs: 0.03 to 0.1).
FULL_TRUST_SHARE = 0.12
_NAMES = ("left to right", "front to back", "head to foot")


@dataclass(frozen=True)
class Cue:
    """One piece of evidence about the axes.

    Attributes:
        question: the property of the axes that it concerns.
        log_odds: positive if it supports the header, negative if it contradicts it.
        against: the observation in words, for the case that it contradicts the header.
    """

    question: Question
    log_odds: float
    against: str


def of_chest(chest: Chest) -> list[Cue]:
    """All cues of a chest with two visible lungs; none for other scans, such as a limb or half a thorax."""
    depths = [landmarks.gap_between_lungs(chest, axis) for axis in range(3)]
    if max(depths) < MIN_VALLEY or chest.lungs.sum() * chest.block_ml < 2 * MIN_LUNG_ML:
        return []
    trust = min(1.0, float(chest.lungs.sum() / chest.inside.sum()) / FULL_TRUST_SHARE)
    cues = [_axes(chest, [trust * depth for depth in depths])]
    left, right = chest.sides_ml()
    if depths[X] == max(depths) and min(left, right) > max(MIN_LUNG_ML, MIN_LUNG_SHARE * (left + right)):
        by_lungs = _left_right(chest) + _head_foot(chest)
        cues += _front_back(chest) + [replace(cue, log_odds=trust * cue.log_odds) for cue in by_lungs]
    return cues


def _axes(chest: Chest, depths: list[float]) -> Cue:
    """Order of the axes: lungs side by side along x, spine and cut ends of the trunk along z, against all others."""
    spines = [max(landmarks.spine(chest, axis)[0], 0.03) for axis in range(3)]
    blunt = [landmarks.open_ends(chest, axis) for axis in range(3)]

    def score(order: tuple[int, ...]) -> float:
        across, _, along = order
        return 6 * depths[across] + 2 * float(np.log(spines[along])) + 3 * blunt[along]

    orders = sorted(permutations(range(3)), key=score)
    best = orders[-1] if orders[-1] != (X, Y, Z) else orders[-2]
    lungs, spine = _NAMES[best[0]], _NAMES[best[2]]
    observation = f"the lungs lie side by side along what the header calls {lungs}, the spine along {spine}"
    return Cue("axes", _limited(score((X, Y, Z)) - score(best), 1, 6), observation)


def _front_back(chest: Chest) -> list[Cue]:
    first, last = landmarks.skin(chest, Y)
    cues = []
    density, (_, y) = landmarks.spine(chest, Z)
    if density > MIN_SPINE:
        position = _relative_position(float(y), first, last)
        cues.append(Cue("front_back", _limited(-position, 12, 4), "the spine lies in the front half of the body"))
    bone = landmarks.profile(chest.bone, Y)
    if bone.sum() * chest.block_ml > MIN_BONE_ML:
        position = _relative_position(_centre(bone), first, last)
        limit = 2 if landmarks.is_cut(chest.body, Y) else 3
        cues.append(Cue("front_back", _limited(-position, 8, limit), "the bones lie in front of the body's middle"))
    return cues


def _left_right(chest: Chest) -> list[Cue]:
    cues = []
    if not landmarks.is_cut(chest.lungs, X):
        left, right = chest.sides_ml()
        share = left / (left + right)
        larger = f"the lung on the left is the larger ({share:.0%} of both)"
        cues.append(Cue("left_right", _limited(0.5 - share, 30, 2), larger))
    width, shift = _mediastinum(chest)
    low = _half(chest, low=True)[None] & (width > 0)
    if low.any():
        lean = float((width * shift)[low].sum() / width[low].sum() * chest.spacing_mm[X])
        cues.append(Cue("left_right", _limited(-lean, 0.35, 3), f"the heart leans {lean:.0f} mm to the right"))
    denser = _denser_side(chest)
    if denser is not None:
        observation = "the tissue below the lung on the left is the denser, as the liver is"
        cues.append(Cue("left_right", _limited(denser, 0.12, 2.5), observation))
    return cues


def _head_foot(chest: Chest) -> list[Cue]:
    cues = [Cue("head_foot", _limited(_domes_mm(chest), 0.1, 4), "the domes of the lungs point down")]
    width, shift = _mediastinum(chest)
    low, high = (_half(chest, low=side)[None] & (width > 0) & _central(chest) for side in (True, False))
    if min(low.sum(), high.sum()) >= 0.25 * max(low.sum(), high.sum(), 1):
        below, above = width[low].mean(), width[high].mean()
        more = float((below - above) / (below + above))
        cues.append(Cue("head_foot", _limited(more, 10, 2), "the mediastinum is wider above than below"))
    lean = [abs(float((width * shift)[part].sum())) / max(float(width[part].sum()), 1) for part in (low, high)]
    more = (lean[0] - lean[1]) * chest.spacing_mm[X]
    cues.append(Cue("head_foot", _limited(more, 0.25, 1.5), "the heart lies beside the upper half of the lungs"))
    first, last = chest.reach[Z]
    room = (first - (chest.lungs.shape[Z] - 1 - last)) * chest.spacing_mm[Z]
    cues.append(Cue("head_foot", _limited(room, 0.03, 1), "there is more of the scan above the lungs than below"))
    below, above = _below_lungs(chest), _above_lungs(chest)
    if min(below.sum(), above.sum()) * chest.block_ml > MIN_TISSUE_ML:
        denser = float(chest.hu[below].mean() - chest.hu[above].mean())
        cues.append(
            Cue("head_foot", _limited(denser, 0.08, 2), "the tissue above the lungs is denser, as the liver is")
        )
    return cues


def _mediastinum(chest: Chest) -> tuple[np.ndarray, np.ndarray]:
    """For each line from left to right: width of the mediastinum, and offset of its middle from the lungs' (blocks).

    Where the field of view cuts a lung, its outer edge is unknown: the offset is then measured from the spine.
    """
    count = chest.lungs.shape[X]
    left, right = chest.lungs[: chest.middle + 1], chest.lungs[chest.middle :]
    both = left.any(axis=0) & right.any(axis=0)
    inner_left = chest.middle - left[::-1].argmax(axis=0)
    inner_right = chest.middle + right.argmax(axis=0)
    if landmarks.is_cut(chest.lungs, X):
        middle = np.full(chest.lungs.shape[Z], float(landmarks.spine(chest, Z)[1][0]))
    else:
        slices = np.asarray(chest.lungs.any(axis=Y))
        middle = (slices.argmax(axis=0) + count - 1 - slices[::-1].argmax(axis=0)) / 2
    width = np.where(both, inner_right - inner_left - 1, 0).clip(0)
    return width, np.where(both, (inner_left + inner_right) / 2 - middle, 0)


def _denser_side(chest: Chest) -> float | None:
    """Difference in HU between the tissue below the right lung (liver) and below the left lung (stomach, fat).

    It is reduced in proportion to the part of the lungs' lower ends that the scan cuts off: there, the heart is below.
    """
    columns = np.asarray(chest.lungs.any(axis=Z))
    cut = float(chest.lungs[:, :, 0].sum() / columns.sum())
    below = _below_lungs(chest)
    sides = below[: chest.middle], below[chest.middle + 1 :]
    if cut > 0.5 or min(side.sum() for side in sides) * chest.block_ml < MIN_TISSUE_ML:
        return None
    left = chest.hu[: chest.middle][sides[0]].mean()
    right = chest.hu[chest.middle + 1 :][sides[1]].mean()
    return float(right - left) * (1 - 2 * cut)


def _below_lungs(chest: Chest) -> np.ndarray:
    """Soft tissue below the lungs' lowest blocks, in the columns that hold lung."""
    return ~landmarks.after(chest.lungs, Z) & chest.lungs.any(axis=Z, keepdims=True) & chest.body


def _above_lungs(chest: Chest) -> np.ndarray:
    """Soft tissue above the lungs' highest blocks, in the columns that hold lung."""
    return ~landmarks.before(chest.lungs, Z) & chest.lungs.any(axis=Z, keepdims=True) & chest.body


def _domes_mm(chest: Chest) -> float:
    """Height of the lungs' ends inside their outline above those at its rim: apex and diaphragm are both convex."""
    columns = chest.lungs.any(axis=Z)
    lowest = chest.lungs.argmax(axis=Z)
    highest = chest.lungs.shape[Z] - 1 - np.flip(chest.lungs, axis=Z).argmax(axis=Z)
    # Where the field of view cuts the lungs in front or behind, their rim is outside the scan.
    outline = np.pad(np.pad(columns, ((0, 0), (1, 1)), mode="edge"), ((1, 1), (0, 0)))
    depth = np.asarray(ndimage.distance_transform_edt(outline, sampling=chest.spacing_mm[:2]))[1:-1, 1:-1]
    inner = columns & (depth > np.median(depth[columns]))
    rim = columns & ~inner
    if not inner.any() or not rim.any():
        return 0.0
    return float(sum(end[inner].mean() - end[rim].mean() for end in (lowest, highest)) * chest.spacing_mm[Z])


def _half(chest: Chest, *, low: bool) -> np.ndarray:
    """The lower or upper half of the lungs' height."""
    first, last = chest.reach[Z]
    below = np.arange(chest.lungs.shape[Z]) <= (first + last) / 2
    return below if low else ~below


def _central(chest: Chest) -> np.ndarray:
    """The middle 60 % of the lungs' depth and 70 % of their height, where both lungs touch the mediastinum."""
    depth, height = (
        np.array([abs(_relative_position(i, *chest.reach[axis])) < share for i in range(chest.lungs.shape[axis])])
        for axis, share in ((Y, 0.6), (Z, 0.7))
    )
    return depth[:, None] & height[None]


def _relative_position(index: float, first: int, last: int) -> float:
    """Position of ``index`` between ``first`` and ``last``, as -1 to 1."""
    return (index - (first + last) / 2) / max(1, last - first) * 2


def _centre(along: np.ndarray) -> float:
    return float((along * np.arange(len(along))).sum() / along.sum())


def _limited(measure: float, slope: float, limit: float) -> float:
    return float(np.clip(measure * slope, -limit, limit))
