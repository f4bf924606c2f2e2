"""Does the patient lie as the header says? Anatomy that contradicts the axes is flagged ``orientation_doubtful``.

Swapped or flipped axes leave a picture that looks sound and labels that are wrong. What is asked is what holds in every
patient but the rare mirrored one: the spine is behind, and where a mask names organs, left is left and up is up.
"""

import numpy as np
from jaxtyping import Bool, Int16, UInt8

from uniferum.preprocessing import resampling
from uniferum.preprocessing.lungs import LEFT_LUNG_IDS, LUNG_IDS, RIGHT_LUNG_IDS
from uniferum.preprocessing.volume import Volume

LIVER, SPLEEN, HEART = (5,), (1,), (51,)
VERTEBRAE = tuple(range(26, 51))
# Which structures stand at the smaller and at the larger coordinate of an axis (TotalSegmentator v2 ids).
_ORDER = (
    (0, LEFT_LUNG_IDS, RIGHT_LUNG_IDS),
    (0, SPLEEN, LIVER),
    (1, VERTEBRAE, HEART),
    (2, LIVER, LUNG_IDS),
)
# Fewer block-mean voxels than this are too little of an organ to judge by.
_MIN_VOXELS = 200
_BONE_HU = 250


def contradicted_by_mask(ids: UInt8[np.ndarray, "x y z"], affine: np.ndarray, small: Volume) -> bool:
    """Whether organs of a TotalSegmentator mask stand in an order that the axes do not allow."""
    seen = resampling.nearest(ids, np.linalg.inv(affine) @ small.affine, small.shape)
    for axis, lower, higher in _ORDER:
        centres = [_centre(np.isin(seen, numbers), axis) for numbers in (lower, higher)]
        if centres[0] is not None and centres[1] is not None and centres[0] > centres[1]:
            return True
    return False


def contradicted_by_bone(hu: Int16[np.ndarray, "x y z"], body: Bool[np.ndarray, "x y z"]) -> bool:
    """Whether a whole body's bones have their middle in front of the body's, or far beside it.

    Args:
        hu: block means, RAS+.
        body: the largest soft-tissue component, not cut by the field of view.
    """
    bone = hu > _BONE_HU
    if np.count_nonzero(bone) < _MIN_VOXELS:
        return False
    reach = [np.ptp(np.flatnonzero(body.any(axis=tuple(a for a in range(3) if a != axis)))) for axis in (0, 1)]
    x, y = (((_centre(bone, axis) or 0) - (_centre(body, axis) or 0)) / max(1, reach[axis]) for axis in (0, 1))
    return bool(y > 0.05 or abs(x) > 0.15)


def _centre(mask: np.ndarray, axis: int) -> float | None:
    """Centre of mass along an axis; ``None`` where there is too little."""
    along = mask.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.int64)
    total = int(along.sum())
    return float((along * np.arange(len(along))).sum() / total) if total >= _MIN_VOXELS else None
