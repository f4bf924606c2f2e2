"""Find the lowest and highest slice of the lungs, from a mask or, without one, by threshold."""

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
# Smaller volumes are stray voxels of a segmentation or bowel gas; even a newborn's lungs are ten times larger.
MIN_LUNG_ML = 10.0
# Range of aerated lung in block means of a few mm: air outside the patient is lower, partial volume higher.
LUNG_HU = (-970, -400)
# Minimum volume of a piece of lung, and of one that touches a side where the field of view cuts the body: the scan
# of a limb may include a bit of the chest, and must not be cropped to it.
MIN_PIECE_ML, MIN_CUT_ML = 100.0, 150.0
# Lung masks with a smaller share of aerated tissue label something else: even severely consolidated lungs hold more.
MIN_AERATED_SHARE = 0.05
# Upper limit of room air, and its maximum share in a piece that touches such a side (lungs there: 0 to 1 %).
PURE_AIR_HU, MAX_AIR_SHARE = -960, 0.05


def limits_from_mask(
    mask: UInt8[np.ndarray, "x y z"], affine: np.ndarray, ids: tuple[int, ...]
) -> tuple[float, float] | None:
    """Heights in mm of the centres of the lowest and highest slices that hold lung; ``None`` without a lung.

    Args:
        mask: label ids, RAS+ axes.
        affine: voxel index of the mask to RAS mm.
        ids: the ids of lung.
    """
    wanted = np.zeros(256, dtype=np.bool_)
    wanted[list(ids)] = True
    slices = _count_by_slice(mask.transpose(2, 1, 0), wanted)
    if slices.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000 < MIN_LUNG_ML:
        return None
    return _heights(np.asarray(slices > 0), affine, mask.shape)


def holds_air(mask: UInt8[np.ndarray, "x y z"], affine: np.ndarray, ids: tuple[int, ...], small: Volume) -> bool:
    """Whether the mask's lungs contain air; ids 10 to 14 of TotalSegmentator v1 are other organs, without air."""
    on_small = resampling.nearest(mask, np.linalg.inv(affine) @ small.affine, small.shape)
    inside = small.hu[np.isin(on_small, ids)]
    return inside.size == 0 or float((inside < LUNG_HU[1]).mean()) > MIN_AERATED_SHARE


def limits_from_found(lungs: Bool[np.ndarray, "x y z"], affine: np.ndarray) -> tuple[float, float]:
    """Heights as in :func:`limits_from_mask`, for the lungs that :func:`find_lungs` returns."""
    return _heights(np.asarray(lungs.any(axis=(0, 1))), affine, lungs.shape)


def find_lungs(small: Volume, body: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"] | None:
    """Find the lungs by threshold: large aerated pieces inside the outline of the body.

    Where the field of view cuts through the patient, the outline is extended to its side, and a piece must contain
    almost no pure air, because the air of the room may look like lung.

    Args:
        small: block means of the clipped scan, RAS+.
        body: the largest soft-tissue component of the scan.

    Returns:
        the lungs, or ``None`` if there are none.
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
    """Keep pieces that are thick and large and hold little pure air; thin rims of partial volume are removed."""
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

    With ``cut_sides``, a side of the field of view that cuts the body counts as body: the patient continues behind it.
    """
    inside = np.ones_like(body)
    for axis in (0, 1):
        for direction in (body, np.flip(body, axis=axis)):
            cut = np.take(direction, 0, axis=axis).any(axis=0) & cut_sides
            behind = np.maximum.accumulate(direction, axis=axis) | cut
            inside &= behind if direction is body else np.flip(behind, axis=axis)
    return inside


def _heights(present: Bool[np.ndarray, " z"], affine: np.ndarray, shape: tuple[int, ...]) -> tuple[float, float]:
    """Heights of the centres of the lowest and highest slice that is marked ``present``."""
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
