"""What a coarse chest CT shows of its own axes: two lungs, a spine, a heart, a liver, each as a number with a sign.

Every measure is taken on means over blocks of at most 7 mm. It changes its sign when the picture is turned the other
way round, so that a mirrored scan gives the opposite evidence and a symmetric one gives none.
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

# Coarse enough to be cheap (a tenth of the blocks in which preparation looks for the body), fine enough for a spine.
GRID_MM = 7.0
BONE_HU = 250
SOFT_TISSUE_HU = (-150, 250)
# A vertebral body is about 30 mm wide; kyphosis moves the spine to and fro by about as much.
_SPINE_MM = 24
# Disease cuts a lung into pieces; smaller ones than this may be anything.
_PIECE_ML = 30.0
# The part of the lungs' width in which the mediastinum is looked for.
_MIDDLE = (0.3, 0.7)
# Of a face of the field of view; noise at the edge fills less, a lung or a trunk that is cut ten times as much.
_CUT_SHARE = 0.02
X, Y, Z = 0, 1, 2


@dataclass(frozen=True)
class Chest:
    """A scan on the coarse grid, axes as the header claims them (x to the right, y to the front, z to the head).

    Attributes:
        hu: block means.
        bone: share of each block that is bone.
        spacing_mm: size of a block.
        body: the largest piece of soft tissue.
        inside: body, and what has body on both sides along at least two axes.
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
        """The index along x at which the lungs are fewest between the two: the mediastinum."""
        return _valley(self.lungs, X)[1]

    @cached_property
    def reach(self) -> list[tuple[int, int]]:
        """First and last index of the lungs along each axis."""
        return [_ends(self.lungs, axis) for axis in range(3)]

    def sides_ml(self) -> tuple[float, float]:
        """Lung volume on the side of smaller x, claimed left, and of larger x, claimed right of the mediastinum."""
        along = profile(self.lungs, X) * self.block_ml
        return float(along[: self.middle].sum()), float(along[self.middle + 1 :].sum())


def coarse(small: Volume) -> Volume:
    """Block means of at most 7 mm, the grid that everything here is measured on."""
    return bodies.reduced(small, GRID_MM)


def look(small: Volume, seen: Volume, lungs: Bool[np.ndarray, "x y z"] | None = None) -> Chest | None:
    """What the coarse picture of a scan shows; ``None`` where nothing is soft tissue.

    Args:
        small: block means of the clipped scan, RAS+ as its header claims.
        seen: the same on the grid of :func:`coarse`.
        lungs: of a mask, on the coarse grid; found by threshold without one.
    """
    x, y, z = (round(to / of) for to, of in zip(seen.spacing_mm, small.spacing_mm, strict=True))
    body = bodies.largest_soft_tissue(seen.hu, *SOFT_TISSUE_HU)
    if body is None:
        return None
    sides = np.stack([after(body, axis) & before(body, axis) for axis in range(3)])
    inside = sides.sum(axis=0, dtype=np.int8) >= 2
    spacing = np.array(seen.spacing_mm)
    permille = (small.hu > BONE_HU).astype(np.int16) * np.int16(1000)
    bone = bodies.block_means(Volume(permille, small.affine), (x, y, z)).hu * inside
    found = _aerated(seen.hu, inside | _inside_if_it_goes_on(seen.hu, body), spacing) if lungs is None else lungs
    return Chest(seen.hu, bone.astype(np.float32) / 1000, spacing, body, inside, found)


def profile(mask: np.ndarray, axis: int) -> Float[np.ndarray, " n"]:
    """Sums over the planes across an axis."""
    return mask.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.float64)


def after(mask: Bool[np.ndarray, "x y z"], axis: int) -> Bool[np.ndarray, "x y z"]:
    """The mask and all that lies beyond it, towards the larger index of an axis."""
    return np.maximum.accumulate(mask, axis=axis)


def before(mask: Bool[np.ndarray, "x y z"], axis: int) -> Bool[np.ndarray, "x y z"]:
    """The mask and all that lies beyond it, towards the smaller index of an axis."""
    return np.flip(after(np.flip(mask, axis=axis), axis), axis=axis)


def gap_between_lungs(chest: Chest, axis: int) -> float:
    """How deep the valley is between two lungs along an axis: 1 where nothing joins them, 0 without one."""
    return _valley(chest.lungs, axis)[0]


def open_ends(chest: Chest, axis: int) -> float:
    """How blunt the body's ends are, area against the largest area: the scan cuts the trunk, the skin is round."""
    first, last = _ends(chest.body, axis)
    along = profile(chest.body, axis)[first : last + 1]
    step = min(1, (len(along) - 1) // 2)
    return float(min(along[step], along[-1 - step]) / along.max())


def is_cut(mask: Bool[np.ndarray, "x y z"], axis: int) -> bool:
    """Whether the field of view cuts something across an axis: it fills more of one of the two faces than grazes it."""
    faces = mask.take(0, axis=axis), mask.take(-1, axis=axis)
    return max(float(face.mean()) for face in faces) > _CUT_SHARE


def spine(chest: Chest, axis: int) -> tuple[float, tuple[int, int]]:
    """The densest column of bone along an axis that goes through the whole body, and its place across the axis.

    The lowest of the densities in the thirds of its length: a heart or an aorta full of contrast agent fills two.
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
    """First and last index of the body along an axis, lungs included."""
    return _ends(chest.inside, axis)


def _aerated(hu: np.ndarray, inside: np.ndarray, spacing_mm: np.ndarray) -> Bool[np.ndarray, "x y z"]:
    """Large pieces of aerated lung, without the thin rims of partial volume.

    Other than :func:`uniferum.preprocessing.lungs.find_lungs` it prefers no axis: which is which is the question.
    """
    air = (hu > LUNG_HU[0]) & (hu < LUNG_HU[1]) & inside
    core = np.asarray(ndimage.binary_opening(air, structure=np.ones((2, 2, 2), dtype=bool)))
    labels, count = labelled(core)
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * np.prod(spacing_mm) / 1000
    kept = sizes > _PIECE_ML
    kept[0] = False
    closed = ndimage.binary_closing(np.pad(kept[labels], 1), structure=np.ones((3, 3, 3), dtype=bool))
    return np.asarray(closed)[1:-1, 1:-1, 1:-1] & inside


def _inside_if_it_goes_on(hu: np.ndarray, body: np.ndarray) -> np.ndarray:
    """What has body on both sides along one axis, and along another when body and lung go on beyond the field of view.

    Without it a lung that is cut at a side and at an end loses its rim there, and looks whole and small. Foam under the
    patient has body on one side alone.
    """
    goes_on = body | ((hu > LUNG_HU[0]) & (hu < LUNG_HU[1]))
    seen = np.zeros(body.shape, dtype=np.int8)
    continued = np.zeros(body.shape, dtype=np.int8)
    for axis in range(3):
        behind, ahead = after(body, axis), before(body, axis)
        seen += behind & ahead
        continued += (behind | goes_on.take([0], axis=axis)) & (ahead | goes_on.take([-1], axis=axis))
    return (seen >= 1) & (continued >= 2)


def _ends(mask: np.ndarray, axis: int) -> tuple[int, int]:
    there = np.flatnonzero(profile(mask, axis))
    return (int(there[0]), int(there[-1])) if there.size else (0, 0)


def _valley(mask: Bool[np.ndarray, "x y z"], axis: int) -> tuple[float, int]:
    """Depth and place of the deepest valley in the middle of a profile, against the lower of the peaks beside it."""
    along = profile(mask, axis)
    first, last = _ends(mask, axis)
    count = last - first + 1
    depth, place = 0.0, (first + last) // 2
    for i in range(first + int(count * _MIDDLE[0]), first + int(np.ceil(count * _MIDDLE[1]))):
        beside = min(along[: i + 1].max(), along[i:].max())
        if beside > 0 and 1 - along[i] / beside > depth:
            depth, place = float(1 - along[i] / beside), i
    return depth, place
