"""Find the patient's body and its centre in the axial plane (paper 3.5).

The body is the largest soft-tissue component, its centre that of the convex hull of each slice. Both are computed on
block means of a few millimetres: the centre depends on thousands of voxels, so only noise is lost.
"""

from typing import Any

import numba
import numpy as np
from jaxtyping import Bool, Int16
from scipy import ndimage

from uniferum.preprocessing import resampling
from uniferum.preprocessing.volume import Volume


def reduced(volume: Volume, spacing_mm: float) -> Volume:
    """Average blocks of voxels; the spacing becomes the largest one up to ``spacing_mm``."""
    x, y, z = (max(1, min(int(spacing_mm / s + 1e-6), n)) for s, n in zip(volume.spacing_mm, volume.shape, strict=True))
    return block_means(volume, (x, y, z))


def block_means(volume: Volume, factors: tuple[int, int, int]) -> Volume:
    """Average whole blocks of ``factors`` voxels; return the volume itself for blocks of one voxel."""
    if factors == (1, 1, 1):
        return volume
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ ((np.array(factors) - 1) / 2)
    affine[:3, :3] = affine[:3, :3] * np.array(factors)
    return Volume(resampling.block_mean(volume.hu, factors), affine, volume.flags, volume.notes)


def largest_soft_tissue(
    hu: Int16[np.ndarray, "x y z"], low: float, high: float | None
) -> Bool[np.ndarray, "x y z"] | None:
    """The largest face-connected component of ``low`` to ``high`` HU; ``None`` if there is none."""
    tissue = hu >= low if high is None else (hu >= low) & (hu <= high)
    labels, count = labelled(tissue)
    if count == 0:
        return None
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax()


def hull_centre(body: Bool[np.ndarray, "x y z"]) -> tuple[float, float]:
    """Common centre of mass, as x and y indices, of the convex hulls of all axial slices."""
    area, x, y = _hull_moments(body)
    return (x / area, y / area)


def component_centre(body: Bool[np.ndarray, "x y z"]) -> tuple[float, float]:
    """Centre of mass of the component itself, as x and y indices (released code: no hull)."""
    columns = body.sum(axis=2, dtype=np.int64)
    total = columns.sum()
    x = float((columns.sum(axis=1) * np.arange(body.shape[0])).sum() / total)
    y = float((columns.sum(axis=0) * np.arange(body.shape[1])).sum() / total)
    return (x, y)


def touches_sides(body: Bool[np.ndarray, "x y z"], share: float = 0.05) -> bool:
    """Whether the field of view cuts the body: the body fills more than ``share`` of one of its side faces."""
    faces = (body[0], body[-1], body[:, 0], body[:, -1])
    return any(float(face.mean()) > share for face in faces)


def labelled(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Face-connected components, numbered from 1, and their number."""
    components: Any = ndimage.label(mask)
    return components[0], int(components[1])


@numba.njit(cache=True, nogil=True)
def _corners(image, points):
    """Write the corners of each column's first and last voxel in order of x; return their number."""
    count = 0
    for i in range(image.shape[0]):
        first, last = -1, -1
        for j in range(image.shape[1]):
            if image[i, j]:
                first = j if first < 0 else first
                last = j
        if first >= 0:
            for side in (-0.5, 0.5):
                points[count, 0], points[count, 1] = i + side, first - 0.5
                points[count + 1, 0], points[count + 1, 1] = i + side, last + 0.5
                count += 2
    return count


@numba.njit(cache=True, nogil=True)
def _chain(points, order, hull, base):
    """Write one half of the monotone chain from index ``base`` of the hull; return the new number of corners."""
    size = base
    for index in order:
        px, py = points[index, 0], points[index, 1]
        while size - base >= 2:
            ax, ay = hull[size - 2, 0], hull[size - 2, 1]
            bx, by = hull[size - 1, 0], hull[size - 1, 1]
            if (bx - ax) * (py - ay) - (by - ay) * (px - ax) > 0:
                break
            size -= 1
        hull[size, 0], hull[size, 1] = px, py
        size += 1
    return size - 1


@numba.njit(cache=True, nogil=True)
def _hull_moments(body):
    """Sum the hulls' area, and area times centre in x and y, over slices; hulls are spanned by voxel corners."""
    nx, ny, nz = body.shape
    points = np.empty((4 * nx, 2), np.float64)
    hull = np.empty((8 * nx + 2, 2), np.float64)
    total, total_x, total_y = 0.0, 0.0, 0.0
    for k in range(nz):
        count = _corners(body[:, :, k], points)
        if count == 0:
            continue
        # Neighbouring columns share corners: sort by x, then y, as the monotone chain requires.
        order = np.argsort(points[:count, 0] * (4.0 * ny) + points[:count, 1])
        size = _chain(points, order[::-1], hull, _chain(points, order, hull, 0))
        for index in range(size):
            ax, ay = hull[index, 0], hull[index, 1]
            bx, by = hull[(index + 1) % size, 0], hull[(index + 1) % size, 1]
            cross = (ax * by - bx * ay) / 2
            total += cross
            total_x += cross * (ax + bx) / 3
            total_y += cross * (ay + by) / 3
    return total, total_x, total_y
