"""Anatomical landmarks of a coarse chest CT: lungs, spine, heart and liver, as signed measures for its axes.

All are measured on means over blocks of at most 7 mm. A measure changes its sign when the image is mirrored: a mirrored
scan gives the opposite evidence, a symmetric one gives none.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int16
from scipy import ndimage

from uniferum.preprocessing import body as bodies
from uniferum.preprocessing.body import labelled
from uniferum.preprocessing.lungs import LUNG_HU
from uniferum.preprocessing.volume import Volume

# Coarse enough to be fast (a tenth of the blocks used to find the body), fine enough for the spine.
GRID_MM = 7.0
BONE_HU = 250
SOFT_TISSUE_HU = (-150, 250)
# A vertebral body is about 30 mm wide; kyphosis shifts the spine by about as much.
_SPINE_MM = 24
# Disease splits lungs into pieces; smaller pieces than this are ignored.
_PIECE_ML = 30.0
# Part of the lungs' width in which the mediastinum is searched.
_MIDDLE = (0.3, 0.7)
# Share of a face of the field of view: noise at the edge fills less, a cut lung or trunk ten times as much.
_CUT_SHARE = 0.02
X, Y, Z = 0, 1, 2


@dataclass(frozen=True)
class Chest:
    """A scan on the coarse grid, axes as in the header (x to the right, y to the front, z to the head).

    Attributes:
        hu: mean HU of each block.
        bone: share of each block that is bone.
        spacing_mm: size of a block.
        body: the largest component of soft tissue.
        inside: the body, and blocks with body on both sides along at least two axes.
        lungs: aerated tissue inside the body.
    """

    hu: Int16[np.ndarray, "x y z"]
    bone: Float32[np.ndarray, "x y z"]
    spacing_mm: Float[np.ndarray, "3"]
    body: Bool[np.ndarray, "x y z"]
    inside: Bool[np.ndarray, "x y z"]
    lungs: Bool[np.ndarray, "x y z"]

    @property
    def block_ml(self) -> float:
        """Volume of a block."""
        return float(np.prod(self.spacing_mm)) / 1000

    @cached_property
    def middle(self) -> int:
        """Index along x of the mediastinum: the least lung between the two lungs."""
        return _valley(self.lungs, X)[1]

    @cached_property
    def reach(self) -> list[tuple[int, int]]:
        """First and last index of the lungs along each axis."""
        return [_ends(self.lungs, axis) for axis in range(3)]

    def sides_ml(self) -> tuple[float, float]:
        """Lung volume left (smaller x) and right (larger x) of the mediastinum, sides as in the header."""
        along = profile(self.lungs, X) * self.block_ml
        return float(along[: self.middle].sum()), float(along[self.middle + 1 :].sum())


def coarse(small: Volume) -> Volume:
    """Average to blocks of at most 7 mm, the grid of all measures in this module."""
    return bodies.reduced(small, GRID_MM)


def look(small: Volume, coarse_volume: Volume, lungs: Bool[np.ndarray, "x y z"] | None = None) -> Chest | None:
    """Locate body, bone and lungs on the coarse grid; ``None`` if there is no soft tissue.

    Args:
        small: block means of the clipped scan, RAS+ as in its header.
        coarse_volume: the same scan on the grid of :func:`coarse`.
        lungs: lungs of a mask on the coarse grid; without them, lungs are found by threshold.
    """
    x, y, z = (round(to / of) for to, of in zip(coarse_volume.spacing_mm, small.spacing_mm, strict=True))
    body = bodies.largest_soft_tissue(coarse_volume.hu, *SOFT_TISSUE_HU)
    if body is None:
        return None
    sides = np.stack([after(body, axis) & before(body, axis) for axis in range(3)])
    inside = sides.sum(axis=0, dtype=np.int8) >= 2
    spacing = np.array(coarse_volume.spacing_mm)
    permille = (small.hu > BONE_HU).astype(np.int16) * np.int16(1000)
    bone = bodies.block_means(Volume(permille, small.affine), (x, y, z)).hu * inside
    lung_blocks = (
        _aerated(coarse_volume.hu, inside | _inside_when_extended(coarse_volume.hu, body), spacing)
        if lungs is None
        else lungs
    )
    return Chest(coarse_volume.hu, bone.astype(np.float32) / 1000, spacing, body, inside, lung_blocks)


def profile(mask: np.ndarray, axis: int) -> Float[np.ndarray, " n"]:
    """Sum of the mask over each plane perpendicular to an axis."""
    return mask.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.float64)


def after(mask: Bool[np.ndarray, "x y z"], axis: int) -> Bool[np.ndarray, "x y z"]:
    """Extend the mask to the end of an axis (larger index)."""
    return np.maximum.accumulate(mask, axis=axis)


def before(mask: Bool[np.ndarray, "x y z"], axis: int) -> Bool[np.ndarray, "x y z"]:
    """Extend the mask to the start of an axis (smaller index)."""
    return np.flip(after(np.flip(mask, axis=axis), axis), axis=axis)


def gap_between_lungs(chest: Chest, axis: int) -> float:
    """Depth of the valley between the lungs along an axis: 1 if nothing connects them, 0 without a valley."""
    return _valley(chest.lungs, axis)[0]


def open_ends(chest: Chest, axis: int) -> float:
    """Area of the body's ends relative to its largest area: large where the scan cuts the trunk, small at the skin."""
    first, last = _ends(chest.body, axis)
    along = profile(chest.body, axis)[first : last + 1]
    step = min(1, (len(along) - 1) // 2)
    return float(min(along[step], along[-1 - step]) / along.max())


def is_cut(mask: Bool[np.ndarray, "x y z"], axis: int) -> bool:
    """Whether the field of view cuts the mask: it fills more than a minimum share of one of the two faces."""
    faces = mask.take(0, axis=axis), mask.take(-1, axis=axis)
    return max(float(face.mean()) for face in faces) > _CUT_SHARE


def spine(chest: Chest, axis: int) -> tuple[float, tuple[int, int]]:
    """Density and position of the densest column of bone along an axis through the whole body.

    The density is the lowest of the three thirds of its length: a contrast-filled heart or aorta fills two at most.
    """
    first, last = _ends(chest.body, axis)
    across = [a for a in range(3) if a != axis]
    size: Any = [max(1, round(_SPINE_MM / chest.spacing_mm[a])) for a in across]
    bone = chest.bone.take(range(first, last + 1), axis=axis)
    thirds = [part.mean(axis=axis) for part in np.array_split(bone, 3, axis=axis) if part.size]
    smooth = [ndimage.uniform_filter(third, size, mode="constant") for third in thirds]
    density = np.minimum.reduce(smooth)
    i, j = np.unravel_index(int(density.argmax()), density.shape)
    return float(density[i, j]), (int(i), int(j))


def skin(chest: Chest, axis: int) -> tuple[int, int]:
    """First and last index along an axis of the body, lungs included."""
    return _ends(chest.inside, axis)


def _aerated(hu: np.ndarray, inside: np.ndarray, spacing_mm: np.ndarray) -> Bool[np.ndarray, "x y z"]:
    """Find large pieces of aerated lung, without the thin rims of partial volume.

    Unlike :func:`uniferum.preprocessing.lungs.find_lungs` it treats all axes alike, because their order is in question.
    """
    air = (hu > LUNG_HU[0]) & (hu < LUNG_HU[1]) & inside
    core = np.asarray(ndimage.binary_opening(air, structure=np.ones((2, 2, 2), dtype=bool)))
    labels, count = labelled(core)
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * np.prod(spacing_mm) / 1000
    kept = sizes > _PIECE_ML
    kept[0] = False
    closed = ndimage.binary_closing(np.pad(kept[labels], 1), structure=np.ones((3, 3, 3), dtype=bool))
    return np.asarray(closed)[1:-1, 1:-1, 1:-1] & inside


def _inside_when_extended(hu: np.ndarray, body: np.ndarray) -> np.ndarray:
    """Find blocks inside the body if body and lung continue beyond the field of view.

    They have body on both sides along one axis, and along a second one when it is extended. Without this, a lung that
    is cut at a side and at an end loses its rim there and looks whole and small. Foam under the patient has body on
    one side only.
    """
    goes_on = body | ((hu > LUNG_HU[0]) & (hu < LUNG_HU[1]))
    enclosed = np.zeros(body.shape, dtype=np.int8)
    continued = np.zeros(body.shape, dtype=np.int8)
    for axis in range(3):
        behind, ahead = after(body, axis), before(body, axis)
        enclosed += behind & ahead
        continued += (behind | goes_on.take([0], axis=axis)) & (ahead | goes_on.take([-1], axis=axis))
    return (enclosed >= 1) & (continued >= 2)


def _ends(mask: np.ndarray, axis: int) -> tuple[int, int]:
    occupied = np.flatnonzero(profile(mask, axis))
    return (int(occupied[0]), int(occupied[-1])) if occupied.size else (0, 0)


def _valley(mask: Bool[np.ndarray, "x y z"], axis: int) -> tuple[float, int]:
    """Depth and index of the deepest valley in the middle of a profile, relative to the lower peak beside it."""
    along = profile(mask, axis)
    first, last = _ends(mask, axis)
    count = last - first + 1
    depth, deepest = 0.0, (first + last) // 2
    for i in range(first + int(count * _MIDDLE[0]), first + int(np.ceil(count * _MIDDLE[1]))):
        beside = min(along[: i + 1].max(), along[i:].max())
        if beside > 0 and 1 - along[i] / beside > depth:
            depth, deepest = float(1 - along[i] / beside), i
    return depth, deepest
