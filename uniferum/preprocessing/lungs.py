"""How far the lungs reach in z: from a mask where there is one, else found by threshold and marked so."""

import numba
import numpy as np
from jaxtyping import Bool, Int16, UInt8
from scipy import ndimage

from uniferum.preprocessing import resampling
from uniferum.preprocessing.body import labelled
from uniferum.preprocessing.volume import Volume

# TotalSegmentator v2: 10 and 11 are the left lobes, 12 to 14 the right ones (its map_to_binary.py).
LUNG_IDS = (10, 11, 12, 13, 14)
LEFT_LUNG_IDS, RIGHT_LUNG_IDS = (10, 11), (12, 13, 14)
# Less than this is not a lung but stray voxels of a segmentation or bowel gas; a newborn's lungs hold ten times more.
MIN_LUNG_ML = 10.0
# Aerated lung as block means of some mm see it; air outside the patient lies below, partial volume above.
LUNG_HU = (-970, -400)
# Smallest piece of a lung, and the smallest that touches a side of a field of view that cuts the body: a limb's scan
# may graze the chest, and is not to be cropped to what it grazes.
MIN_PIECE_ML, MIN_CUT_ML = 100.0, 150.0
# A lung mask with less aerated tissue than this share is of something else: even severely consolidated lungs hold more.
MIN_AERATED_SHARE = 0.05
# The room's air, and how much of it a piece at such a side may hold (lungs in cut fields of view: 0 to 1 %).
PURE_AIR_HU, MAX_AIR_SHARE = -960, 0.05


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
    return _heights(np.asarray(slices > 0), affine, mask.shape)


def holds_air(mask: UInt8[np.ndarray, "x y z"], affine: np.ndarray, ids: tuple[int, ...], small: Volume) -> bool:
    """Whether there is air in the mask's lungs: in those of TotalSegmentator v1's ids 10 to 14 there is none."""
    on_small = resampling.nearest(mask, np.linalg.inv(affine) @ small.affine, small.shape)
    inside = small.hu[np.isin(on_small, ids)]
    return inside.size == 0 or float((inside < LUNG_HU[1]).mean()) > MIN_AERATED_SHARE


def limits_from_found(lungs: Bool[np.ndarray, "x y z"], affine: np.ndarray) -> tuple[float, float]:
    """As :func:`limits_from_mask`, for lungs that :func:`find_lungs` found."""
    return _heights(np.asarray(lungs.any(axis=(0, 1))), affine, lungs.shape)


def find_lungs(small: Volume, body: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"] | None:
    """Lungs by threshold: large aerated pieces inside the outline of the body.

    Where the field of view cuts through the patient, the outline goes on to its side, and a piece must hold next to no
    pure air, since the room beside the patient may look like it.

    Args:
        small: block means of the clipped scan, RAS+.
        body: its largest soft-tissue component.

    Returns:
        the lungs, or ``None`` where there are none.
    """
    hu: Int16[np.ndarray, "x y z"] = small.hu
    voxel_ml = float(abs(np.linalg.det(small.affine[:3, :3]))) / 1000
    tissue = (hu > LUNG_HU[0]) & (hu < LUNG_HU[1]) & _outline(body, cut_sides=False)
    lungs = _pieces(tissue, MIN_PIECE_ML / voxel_ml, hu, 1.0)
    lungs |= _pieces((hu < LUNG_HU[1]) & _outline(body, cut_sides=True), MIN_CUT_ML / voxel_ml, hu, MAX_AIR_SHARE)
    return lungs if lungs.any() else None


def _pieces(
    aerated: Bool[np.ndarray, "x y z"], min_voxels: float, hu: Int16[np.ndarray, "x y z"], max_air: float
) -> Bool[np.ndarray, "x y z"]:
    """Pieces that are thick, large and not of air; thin rims of partial volume fall away."""
    cube = np.ones((3, 3, 3), dtype=bool)
    core = np.asarray(ndimage.binary_opening(aerated, structure=cube))
    labels, count = labelled(core)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    air = np.bincount(labels[hu < PURE_AIR_HU], minlength=count + 1)
    kept = (sizes > min_voxels) & (air <= max_air * sizes)
    kept[0] = False
    grown = np.asarray(ndimage.binary_dilation(kept[labels], structure=cube)) if kept.any() else kept[labels]
    return grown & aerated


def _outline(body: Bool[np.ndarray, "x y z"], *, cut_sides: bool) -> Bool[np.ndarray, "x y z"]:
    """Voxels with body on both sides along x and along y, in each slice.

    With ``cut_sides`` a side of the field of view that cuts the body counts as body: behind it the patient goes on.
    """
    inside = np.ones_like(body)
    for axis in (0, 1):
        for seen in (body, np.flip(body, axis=axis)):
            cut = np.take(seen, 0, axis=axis).any(axis=0) & cut_sides
            behind = np.maximum.accumulate(seen, axis=axis) | cut
            inside &= behind if seen is body else np.flip(behind, axis=axis)
    return inside


def _heights(present: Bool[np.ndarray, " z"], affine: np.ndarray, shape: tuple[int, ...]) -> tuple[float, float]:
    """Heights of the middles of the lowest and highest slice that are present."""
    slices = np.flatnonzero(present)[[0, -1]]
    middle = affine[2, :2] @ ((np.array(shape[:2]) - 1) / 2) + affine[2, 3]
    low, high = (middle + affine[2, 2] * slices).tolist()
    return (low, high)


@numba.njit(cache=True, nogil=True)
def _count_by_slice(mask, wanted):
    counts = np.zeros(mask.shape[0], np.int64)
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            for x in range(mask.shape[2]):
                counts[z] += wanted[mask[z, y, x]]
    return counts
