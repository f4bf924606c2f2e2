"""What the landmarks of a chest say about its axes, as log-odds with a reason.

Each cue is a log-likelihood ratio "as the header says" against "turned round": the measure times a slope, cut off at a
limit so that no single organ (a collapsed lung, a raised diaphragm, a pneumonectomy) outvotes the others. Slope and
limit were set on three real thoraces under crops, cuts, noise and turns of 10 degrees, and on 160 phantoms with
findings: ``tests/hard_data/test_orientations.py`` prints what comes of them. A limit of 2 means that the cue is
believed to be wrong in one patient of eight, 3 in one of twenty, 4 in one of fifty.
"""

from dataclasses import dataclass, replace
from itertools import permutations
from typing import Literal

import numpy as np
from scipy import ndimage

from uniferum.preprocessing import landmarks
from uniferum.preprocessing.landmarks import Chest, X, Y, Z

Question = Literal["axes", "left_right", "front_back", "head_foot"]
# Two lungs are seen where the valley between them is at least half as deep as they are, and neither is a remnant.
MIN_VALLEY, MIN_LUNG_ML, MIN_LUNG_SHARE = 0.5, 150.0, 0.1
# A column of bone of less than this density is no spine (vertebrae of real scans: 0.16 to 0.52 of a block).
MIN_SPINE = 0.08
MIN_BONE_ML, MIN_TISSUE_ML = 20.0, 50.0
# Lungs that fill less of the trunk than this are ill, collapsed or half seen, and count in proportion (sound thoraces
# fill 0.18 to 0.46 of it; phantoms whose lungs are consolidated or resected 0.03 to 0.1).
FULL_TRUST_SHARE = 0.12
_NAMES = ("left to right", "front to back", "head to foot")


@dataclass(frozen=True)
class Cue:
    """One piece of evidence.

    Attributes:
        question: what it speaks about.
        log_odds: for the header (positive) or against it (negative).
        against: what was seen, in words, should it speak against the header.
    """

    question: Question
    log_odds: float
    against: str


def of_chest(chest: Chest) -> list[Cue]:
    """All cues of a chest that shows two lungs; none of another scan: a limb or half a thorax gives no verdict."""
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
    """Lungs side by side along x, the spine and the blunt ends of the trunk along z, against every other order."""
    spines = [max(landmarks.spine(chest, axis)[0], 0.03) for axis in range(3)]
    blunt = [landmarks.open_ends(chest, axis) for axis in range(3)]

    def score(order: tuple[int, ...]) -> float:
        across, _, along = order
        return 6 * depths[across] + 2 * float(np.log(spines[along])) + 3 * blunt[along]

    orders = sorted(permutations(range(3)), key=score)
    best = orders[-1] if orders[-1] != (X, Y, Z) else orders[-2]
    lungs, spine = _NAMES[best[0]], _NAMES[best[2]]
    seen = f"the lungs lie side by side along what the header calls {lungs}, the spine along {spine}"
    return Cue("axes", _limited(score((X, Y, Z)) - score(best), 1, 6), seen)


def _front_back(chest: Chest) -> list[Cue]:
    first, last = landmarks.skin(chest, Y)
    cues = []
    density, (_, y) = landmarks.spine(chest, Z)
    if density > MIN_SPINE:
        place = _place(float(y), first, last)
        cues.append(Cue("front_back", _limited(-place, 12, 4), "the spine lies in the front half of the body"))
    bone = landmarks.profile(chest.bone, Y)
    if bone.sum() * chest.block_ml > MIN_BONE_ML:
        place = _place(_centre(bone), first, last)
        limit = 2 if landmarks.is_cut(chest.body, Y) else 3
        cues.append(Cue("front_back", _limited(-place, 8, limit), "the bones lie in front of the body's middle"))
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
        seen = "the tissue below the lung on the left is the denser, as the liver is"
        cues.append(Cue("left_right", _limited(denser, 0.12, 2.5), seen))
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
    """For each line from left to right: the width between the lungs, and how far its middle is from theirs (blocks).

    Where the field of view cuts a lung, its outer edge says nothing: there it is how far the middle is from the spine.
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
    """By how many HU the tissue below the right lung, the liver, is denser than that below the left, stomach and fat.

    It counts the less, the more of the lungs' lower end the scan cuts off: then the heart is what lies below the left.
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
    """As :func:`_below_lungs`, above their highest blocks."""
    return ~landmarks.before(chest.lungs, Z) & chest.lungs.any(axis=Z, keepdims=True) & chest.body


def _domes_mm(chest: Chest) -> float:
    """How much higher the lungs' ends are amid their outline than at its rim: apex and diaphragm both bulge up."""
    columns = chest.lungs.any(axis=Z)
    lowest = chest.lungs.argmax(axis=Z)
    highest = chest.lungs.shape[Z] - 1 - np.flip(chest.lungs, axis=Z).argmax(axis=Z)
    # Where the field of view cuts the lungs in front or behind, that is no rim of theirs.
    outline = np.pad(np.pad(columns, ((0, 0), (1, 1)), mode="edge"), ((1, 1), (0, 0)))
    depth = np.asarray(ndimage.distance_transform_edt(outline, sampling=chest.spacing_mm[:2]))[1:-1, 1:-1]
    inner = columns & (depth > np.median(depth[columns]))
    rim = columns & ~inner
    if not inner.any() or not rim.any():
        return 0.0
    return float(sum(end[inner].mean() - end[rim].mean() for end in (lowest, highest)) * chest.spacing_mm[Z])


def _half(chest: Chest, *, low: bool) -> np.ndarray:
    """The lower or the upper half of the lungs' height."""
    first, last = chest.reach[Z]
    below = np.arange(chest.lungs.shape[Z]) <= (first + last) / 2
    return below if low else ~below


def _central(chest: Chest) -> np.ndarray:
    """The middle 60 and 70 % of the lungs' depth and height, where both lungs border on the mediastinum."""
    depth, height = (
        np.array([abs(_place(i, *chest.reach[axis])) < share for i in range(chest.lungs.shape[axis])])
        for axis, share in ((Y, 0.6), (Z, 0.7))
    )
    return depth[:, None] & height[None]


def _place(index: float, first: int, last: int) -> float:
    """Where between first and last, as -1 to 1."""
    return (index - (first + last) / 2) / max(1, last - first) * 2


def _centre(along: np.ndarray) -> float:
    return float((along * np.arange(len(along))).sum() / along.sum())


def _limited(measure: float, slope: float, limit: float) -> float:
    return float(np.clip(measure * slope, -limit, limit))
