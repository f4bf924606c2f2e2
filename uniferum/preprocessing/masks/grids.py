"""Resample masks to the prepared grids, each directly from its own grid by nearest neighbour.

Invariant: no structure vanishes. If no voxel centre of the new grid is inside it, the nearest voxel is set, and
counted.
"""

from collections.abc import Sequence

import numba
import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from uniferum.preprocessing import body as bodies
from uniferum.preprocessing import resampling
from uniferum.preprocessing.formats.source import Sphere
from uniferum.preprocessing.volume import spacing_of

Shape = tuple[int, int, int]
# A binary mask with more voxels or pieces has no small parts worth keeping one by one.
_MAX_VOXELS, _MAX_PIECES = 4_000_000, 200


def onto_grid(
    mask: UInt8[np.ndarray, "a b c"],
    mask_affine: Float[np.ndarray, "4 4"],
    affine: Float[np.ndarray, "4 4"],
    shape: Shape,
) -> tuple[UInt8[np.ndarray, "x y z"], int]:
    """Resample ids (or 0 and 1) by nearest neighbour.

    Returns:
        the ids on the grid, and the number of ids, or pieces of a binary mask, that were kept as one voxel.
    """
    counts, sums = _moments(mask.transpose(2, 1, 0))
    pieces = _pieces(mask, counts)
    matrix = np.linalg.inv(mask_affine) @ affine
    if pieces is not None:
        labels, corner, counts, sums = pieces
        shifted = np.eye(4)
        shifted[:3, 3] = -np.asarray(corner)
        numbered = resampling.nearest(labels, shifted @ matrix, shape)
        out = (numbered > 0).view(np.uint8)
        present = np.bincount(numbered.ravel(), minlength=len(counts)) if len(counts) > 2 else _count(out)
    else:
        out = resampling.nearest(mask, matrix, shape)
        corner = (0, 0, 0)
        present = _moments(out.transpose(2, 1, 0))[0]
    centres = {
        int(number): sums[number] / counts[number] + np.asarray(corner)
        for number in np.flatnonzero(counts)
        if number > 0 and (number >= len(present) or not present[number])
    }
    return out, _keep(out, centres, np.linalg.inv(matrix), present, binary=pieces is not None)


def draw_spheres(
    spheres: Sequence[Sphere], affine: Float[np.ndarray, "4 4"], shape: Shape
) -> tuple[UInt8[np.ndarray, "x y z"], int]:
    """Draw balls of the given diameters on the grid; a smaller one sets the nearest voxel, and is counted."""
    out = np.zeros(shape, dtype=np.uint8)
    inverse = np.linalg.inv(affine)
    spacing = np.asarray(spacing_of(affine))
    kept = 0
    for sphere in spheres:
        centre = (inverse @ [*sphere.centre_mm_ras, 1.0])[:3]
        reach = sphere.diameter_mm / 2 / spacing
        low = np.maximum(np.ceil(centre - reach), 0).astype(int)
        high = np.minimum(np.floor(centre + reach) + 1, shape).astype(int)
        grids = [np.arange(a, b) for a, b in zip(low, high, strict=True)]
        offsets = [(g - c) * s for g, c, s in zip(grids, centre, spacing, strict=True)]
        distance = np.add.outer(np.add.outer(offsets[0] ** 2, offsets[1] ** 2), offsets[2] ** 2)
        inside = distance <= (sphere.diameter_mm / 2) ** 2
        if inside.any():
            out[low[0] : high[0], low[1] : high[1], low[2] : high[2]] |= inside.view(np.uint8)
        elif (index := _index(centre, shape)) is not None:
            out[index] = 1
            kept += 1
    return out, kept


def _keep(
    out: np.ndarray, centres: dict[int, np.ndarray], inverse: np.ndarray, present: np.ndarray, *, binary: bool
) -> int:
    """Set the voxel nearest to each centre, unless it is the only one of another id; return how many were set."""
    kept = 0
    for number, centre in centres.items():
        index = _index(inverse @ [*centre, 1.0], out.shape)
        if index is not None and (out[index] == 0 or present[out[index]] > 1):
            out[index] = 1 if binary else number
            kept += 1
    return kept


def _pieces(mask: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, tuple[int, ...], np.ndarray, np.ndarray] | None:
    """Connected pieces of a small binary mask, cropped to its extent: labels, corner, sizes, sums of indices."""
    if counts[2:].any() or not 0 < counts[1] <= _MAX_VOXELS:
        return None
    extent = ndimage.find_objects(mask)[0]
    labels, number = bodies.labelled(mask[extent])
    if number > _MAX_PIECES:
        return None
    labels = np.asfortranarray(labels.astype(np.uint8))
    sizes, sums = _moments(labels.transpose(2, 1, 0))
    return labels, tuple(part.start for part in extent), sizes, sums


def _count(binary: np.ndarray) -> np.ndarray:
    ones = int(np.count_nonzero(binary))
    return np.array([binary.size - ones, ones])


def _index(position: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    x, y, z = (int(value) for value in np.rint(position[:3]))
    return (x, y, z) if 0 <= x < shape[0] and 0 <= y < shape[1] and 0 <= z < shape[2] else None


@numba.njit(cache=True, nogil=True)
def _moments(mask):
    """Count the voxels of each id, and sum their x, y, z indices; ``mask`` is (z, y, x)."""
    counts = np.zeros(256, np.int64)
    sums = np.zeros((256, 3), np.float64)
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            for x in range(mask.shape[2]):
                number = mask[z, y, x]
                if number:
                    counts[number] += 1
                    sums[number, 0] += x
                    sums[number, 1] += y
                    sums[number, 2] += z
    return counts, sums
