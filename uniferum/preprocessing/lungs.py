"""How far the lungs reach in z: from a mask where there is one, else found by threshold and marked so."""

from typing import Any

import numba
import numpy as np
from jaxtyping import Bool, Int16, UInt8
from scipy import ndimage

from uniferum.preprocessing.body import labelled
from uniferum.preprocessing.volume import Volume

# TotalSegmentator v2: 10 and 11 are the left lobes, 12 to 14 the right ones (its map_to_binary.py).
LUNG_IDS = (10, 11, 12, 13, 14)
LEFT_LUNG_IDS, RIGHT_LUNG_IDS = (10, 11), (12, 13, 14)
# Less than this is not a lung but stray voxels of a segmentation or bowel gas; a newborn's lungs hold ten times more.
MIN_LUNG_ML = 10.0
# Aerated lung as block means of some mm see it; air outside the patient lies below, partial volume above.
LUNG_HU = (-970, -400)


def limits_from_mask(
    mask: UInt8[np.ndarray, "x y z"], affine: np.ndarray, ids: tuple[int, ...]
) -> tuple[float, float] | None:
    """Heights in mm of the centres of the lowest and highest slices that hold lung; ``None`` without a lung.

    Args:
        mask: ids, RAS+ axes.
        affine: its voxel index to RAS mm.
        ids: those that are lung.
    """
    wanted = np.zeros(256, dtype=np.bool_)
    wanted[list(ids)] = True
    slices = _count_by_slice(mask.transpose(2, 1, 0), wanted)
    if slices.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000 < MIN_LUNG_ML:
        return None
    return _heights(np.asarray(slices > 0), affine)


def limits_from_found(lungs: Bool[np.ndarray, "x y z"], affine: np.ndarray) -> tuple[float, float]:
    """As :func:`limits_from_mask`, for lungs that :func:`find_lungs` found."""
    return _heights(np.asarray(lungs.any(axis=(0, 1))), affine)


def find_lungs(small: Volume, body: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"] | None:
    """Lungs by threshold: aerated tissue inside the outline of the body, in pieces of more than a tenth of a litre.

    Args:
        small: block means of the clipped scan, RAS+.
        body: its largest soft-tissue component.

    Returns:
        the lungs, or ``None`` where there are none.
    """
    hu: Int16[np.ndarray, "x y z"] = small.hu
    aerated = (hu > LUNG_HU[0]) & (hu < LUNG_HU[1]) & _outline(body)
    core = ndimage.binary_opening(aerated, structure=np.ones((3, 3, 3), dtype=bool))
    labels, count = labelled(core)
    if count == 0:
        return None
    voxel_ml = abs(np.linalg.det(small.affine[:3, :3])) / 1000
    sizes = np.bincount(labels.ravel()) * voxel_ml
    sizes[0] = 0
    kept = sizes > 100
    if not kept.any():
        return None
    grown: Any = ndimage.binary_dilation(kept[labels], structure=np.ones((3, 3, 3), dtype=bool))
    return np.asarray(grown & aerated)


def _outline(body: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    """Voxels with body on both sides along x and along y, in each slice."""
    inside = np.ones_like(body)
    for axis in (0, 1):
        before = np.maximum.accumulate(body, axis=axis)
        after = np.flip(np.maximum.accumulate(np.flip(body, axis=axis), axis=axis), axis=axis)
        inside &= before & after
    return inside


def _heights(present: Bool[np.ndarray, " z"], affine: np.ndarray) -> tuple[float, float]:
    slices = np.flatnonzero(present)
    step = float(affine[2, 2])
    return (float(affine[2, 3] + step * slices[0]), float(affine[2, 3] + step * slices[-1]))


@numba.njit(cache=True, nogil=True)
def _count_by_slice(mask, wanted):
    counts = np.zeros(mask.shape[0], np.int64)
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            for x in range(mask.shape[2]):
                counts[z] += wanted[mask[z, y, x]]
    return counts
