"""Orient a mask by its own header, and compare that header with its scan's.

Invariant: two headers that contradict each other are never reconciled by a guess. A mask with its scan's shape on a
different grid is refused; a grid with another shape (other spacing, part of the scan) must overlap the scan.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.source import Affine
from uniferum.preprocessing.volume import Volume, reorient_array, spacing_of

# A grid with the scan's shape is equal to it if no corner differs by more than this, in voxels of the scan: rounded
# spacings drift so far over 512 voxels.
SAME_VOXELS = 0.25
# Shifts up to this (half a voxel: another convention for voxel centres) are flagged and kept; larger ones (a slice too
# many or too few) are refused.
MAX_SHIFT_VOXELS = 0.75
# Tolerance in mm for a header without information: voxels of 1 mm, the first at 0.
_UNIT_MM = 1e-3


@dataclass(frozen=True)
class OrientedMask:
    """A mask in RAS+ axes.

    Attributes:
        ids: voxels of the mask.
        affine: 4 x 4, voxel index to RAS mm.
        shift_mm: shift from its scan's grid if both should be equal, else 0.
    """

    ids: UInt8[np.ndarray, "x y z"]
    affine: Float[np.ndarray, "4 4"]
    shift_mm: float = 0.0


def orient_mask(
    as_stored: UInt8[np.ndarray, "a b c"],
    affine: Float[np.ndarray, "4 4"],
    *,
    blank: bool,
    given: Affine | None,
    like: Volume | None,
    path: Path,
) -> OrientedMask:
    """Orient a mask to RAS+ axes by its header.

    Args:
        as_stored: voxels of the mask.
        affine: affine of its header, voxel index to RAS mm.
        blank: whether its header has no orientation, so that the affine is only a convention.
        given: the scan's affine if it comes from the cohort and not from a header. The origins of the two may then
            differ, so a mask with the scan's shape gets the scan's grid.
        like: the scan, RAS+ axes; ``None`` for no comparison.
        path: for messages.

    Raises:
        UniferumError: the header contradicts the scan's, or has no position.
    """
    if like is not None and given is not None:
        no_position = blank or _is_default(affine, as_stored.shape)
        placed = _on_scan_grid(as_stored, None if no_position else affine, given, like)
        if placed is not None:
            return placed
    if like is not None and blank and sorted(as_stored.shape) != sorted(like.shape):
        raise _no_position_error(path, like)
    ids, mask_affine = reorient_array(as_stored, affine)
    return OrientedMask(
        ids, mask_affine, 0.0 if like is None else _compare(ids.shape, mask_affine, like, path, blank=blank)
    )


def _on_scan_grid(as_stored: np.ndarray, affine: np.ndarray | None, given: Affine, like: Volume) -> OrientedMask | None:
    """Mask on its scan's grid, with axes from its own header or else the scan's; ``None`` if neither fits."""
    if affine is not None:
        ids, mask_affine = reorient_array(as_stored, affine)
        if ids.shape == like.shape and np.allclose(spacing_of(mask_affine), like.spacing_mm, rtol=0.02):
            return OrientedMask(ids, like.affine)
    turned, turned_affine = reorient_array(as_stored, np.asarray(given, dtype=np.float64))
    return OrientedMask(turned, turned_affine) if turned.shape == like.shape else None


def _compare(shape: tuple[int, ...], mask_affine: np.ndarray, like: Volume, path: Path, *, blank: bool) -> float:
    """Shift in mm of a grid from the scan's; 0 for an equal grid and for one of another shape."""
    subject = f"{path}: header"
    if shape != like.shape:
        if sorted(shape) == sorted(like.shape):
            cure = f"it is {_by(shape)}, the scan {_by(like.shape)} (x, y, z): the axes of one were swapped"
            raise UniferumError(subject, must="have the same order of axes as its scan's", cure=cure)
        if _is_default(mask_affine, shape) and not _near_zero(like):
            cure = "voxels of 1 mm at 0, 0, 0 are a writer's default; write the mask's own geometry"
            raise UniferumError(subject, must="give its position", cure=cure)
        return 0.0
    ends = np.array([[*(np.array(shape) - 1) * [a, b, c], 1] for a in (0, 1) for b in (0, 1) for c in (0, 1)]).T
    apart = (mask_affine - like.affine) @ ends
    voxels = float(np.abs((np.linalg.inv(like.affine) @ apart)[:3]).max())
    if voxels <= SAME_VOXELS:
        return 0.0
    shift = float(np.linalg.norm(apart[:3], axis=0).max())
    if voxels <= MAX_SHIFT_VOXELS:
        return shift
    nothing = blank or _is_default(mask_affine, shape)
    statement = "is blank" if nothing else f"shifts it by up to {shift:.0f} mm"
    cure = f"it {statement}: copy the scan's header to the mask if both have the same voxels, else resample it"
    raise UniferumError(subject, must=f"agree with its scan's, since both are {_by(shape)} voxels", cure=cure)


def check_overlap(placed: OrientedMask, like: Volume, path: Path) -> None:
    """Refuse a mask whose grid is completely outside the scan: one of the two headers is wrong.

    Raises:
        UniferumError: the grids do not overlap.
    """
    shape = np.array(placed.ids.shape)
    ends = np.array([[*shape * [a, b, c] - 0.5, 1] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    reach = (np.linalg.inv(like.affine) @ placed.affine @ ends.T)[:3]
    apart = (reach.max(axis=1) < -0.5) | (reach.min(axis=1) > np.array(like.shape) - 0.5)
    if apart.any():
        raise UniferumError(str(path), must="overlap its scan", cure="the two headers contradict")


def _is_default(mask_affine: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether voxels are 1 mm, along the axes, with one corner (NIfTI without orientation: the centre) at 0."""
    unit = np.abs(np.abs(mask_affine[:3, :3]) - np.eye(3)).max() < _UNIT_MM
    last = mask_affine[:3, 3] + mask_affine[:3, :3] @ (np.array(shape) - 1)
    at_zero = np.minimum(np.abs(mask_affine[:3, 3]), np.abs(last)) < _UNIT_MM
    centred = np.abs(mask_affine[:3, 3] + last) < _UNIT_MM
    return bool(unit and (at_zero.all() or centred.all()))


def _near_zero(like: Volume) -> bool:
    """Whether the scan's first stored voxel, in whatever order, may be at 0."""
    last = like.affine @ [*(np.array(like.shape) - 1), 1.0]
    return bool((np.minimum(np.abs(like.affine[:3, 3]), np.abs(last[:3])) < 1.0).all())


def _no_position_error(path: Path, like: Volume) -> UniferumError:
    cure = f"its header is blank and its shape is not its scan's, {_by(like.shape)}"
    return UniferumError(str(path), must="give its position", cure=cure)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(str(count) for count in shape)
