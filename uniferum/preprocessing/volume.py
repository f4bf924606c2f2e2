"""A CT volume: the array of HU values with its affine, and operations that keep the two consistent.

Invariant: affines map a voxel index to RAS+ millimetres (x grows to the patient's right, y to the front, z to the
head); values are HU in int16.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int16, Shaped

from uniferum.preprocessing import resampling


@dataclass(frozen=True)
class Volume:
    """HU on a grid.

    Attributes:
        hu: int16, axes as the affine says (x, y, z after :func:`reorient_to_ras`).
        affine: voxel index to RAS mm, 4 x 4 float64.
        flags: quality flags of the reader, see ``preprocessing/flags.py``.
        notes: the flags in sentences, see :class:`~uniferum.preprocessing.formats.stored.Stored`.
    """

    hu: Int16[np.ndarray, "x y z"]
    affine: Float[np.ndarray, "4 4"]
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along each axis of the array."""
        return spacing_of(self.affine)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each axis of the array."""
        x, y, z = self.hu.shape
        return (x, y, z)


def spacing_of(affine: np.ndarray) -> tuple[float, float, float]:
    """Lengths in mm of the affine's first three columns."""
    x, y, z = np.sqrt((np.asarray(affine)[:3, :3] ** 2).sum(axis=0)).tolist()
    return (x, y, z)


def reorient_array(
    array: Shaped[np.ndarray, "a b c"], affine: Float[np.ndarray, "4 4"]
) -> tuple[Shaped[np.ndarray, "x y z"], Float[np.ndarray, "4 4"]]:
    """Permute and flip the axes, without copying, so that each points as near to R, A, S as it can."""
    permutation = closest_axes(affine)
    turned = array.transpose(permutation)
    columns = affine[:, [*permutation, 3]].astype(np.float64)
    flips = [slice(None)] * 3
    for axis in range(3):
        if columns[axis, axis] < 0:
            flips[axis] = slice(None, None, -1)
            columns[:3, 3] += columns[:3, axis] * (turned.shape[axis] - 1)
            columns[:3, axis] *= -1
    return turned[tuple(flips)], columns


def reorient_to_ras(volume: Volume) -> Volume:
    """Reorder the axes to x, y, z as a view: no voxel is copied or interpolated."""
    hu, affine = reorient_array(volume.hu, volume.affine)
    return Volume(hu, affine, volume.flags, volume.notes)


def resample(
    volume: Volume, affine: Float[np.ndarray, "4 4"], shape: tuple[int, int, int], *, fill: int = -1000
) -> Volume:
    """Resample trilinearly onto another grid; positions outside the volume get ``fill``.

    The field of view ends half a voxel outside the outermost voxel centres.
    """
    hu = resampling.linear(volume.hu, np.linalg.inv(volume.affine) @ affine, shape, fill=fill)
    return Volume(hu, np.asarray(affine, dtype=np.float64), volume.flags, volume.notes)


def closest_axes(affine: np.ndarray) -> list[int]:
    """For each of x, y, z the array axis closest to it; each array axis is used once."""
    cosines = np.abs(affine[:3, :3] / np.asarray(spacing_of(affine)))
    axes = [-1, -1, -1]
    for flat in np.argsort(-cosines, axis=None):
        world, axis = divmod(int(flat), 3)
        if axes[world] < 0 and axis not in axes:
            axes[world] = axis
    return axes
