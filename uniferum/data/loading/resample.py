"""Apply an augmentation's geometry in one resampling of a stored volume, row by row, without a grid in memory.

Indices: voxel centres of a stored array are at ``(i - (n - 1) / 2) * spacing`` mm from the box's centre on each axis,
and so are those of the output; :func:`index_map` combines the two with a draw. Without movement, the training level is
copied, and the 1 mm level is averaged over the windows of torch's area interpolation, so that both equal the paper's
chain of pad, crop and area resize. ``augmentation.resampling: stepwise`` rotates on the stored grid first.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int16, UInt8

from uniferum.data.loading import kernels
from uniferum.data.loading.augmentation import Draw
from uniferum.preprocessing.geometry import Geometry

# HU / 2000 + 0.5 (released configuration): -1000 HU is 0, 1000 HU is 1.
SLOPE, INTERCEPT = 1.0 / 2000.0, 0.5

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class ResampleGrid:
    """Regular voxel grid centred on the box, with its shape, and its spacing in mm."""

    shape: Shape
    spacing_mm: tuple[float, float, float]


def level_grid(geometry: Geometry, level: str) -> ResampleGrid:
    """Grid of a stored level, ``train`` or ``full``."""
    return ResampleGrid(geometry.shape(level), geometry.spacing(level))


def output_grid(geometry: Geometry) -> ResampleGrid:
    """Grid of the model's input."""
    return ResampleGrid(geometry.model_shape, geometry.level_spacing_mm)


def crop_grid(geometry: Geometry) -> ResampleGrid:
    """Grid of the centred crop at the full level's spacing, which the model's input averages."""
    return ResampleGrid(geometry.crop_shape, geometry.spacing_mm)


def index_map(
    source_from_output: Float64[np.ndarray, "3 3"], source: ResampleGrid, output: ResampleGrid
) -> tuple[Float64[np.ndarray, "3 3"], Float64[np.ndarray, " 3"]]:
    """Compute the affine map from output indices to source indices.

    Args:
        source_from_output: matrix on mm from the centre, see ``Draw.source_from_output``.
        source: the stored grid.
        output: the grid to fill.

    Returns:
        ``matrix`` and ``shift``: source index = matrix @ output index + shift.
    """
    matrix = np.asarray(source_from_output) * np.asarray(output.spacing_mm) / np.asarray(source.spacing_mm)[:, None]
    centre_out = (np.asarray(output.shape) - 1) / 2
    centre_in = (np.asarray(source.shape) - 1) / 2
    return matrix, centre_in - matrix @ centre_out


def crop_offset(source: ResampleGrid, output: ResampleGrid) -> tuple[int, int, int] | None:
    """First index of the output in the source if it is a plain crop, else None."""
    if not np.allclose(source.spacing_mm, output.spacing_mm, rtol=1e-6):
        return None
    margin = [a - b for a, b in zip(source.shape, output.shape, strict=True)]
    if any(m < 0 or m % 2 for m in margin):
        return None
    return margin[0] // 2, margin[1] // 2, margin[2] // 2


def windows(samples: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """First and one-past-last sample of each cell in torch's area interpolation; cells may share a sample."""
    cell = np.arange(cells, dtype=np.int64)
    return (cell * samples) // cells, -((-(cell + 1) * samples) // cells)


def resample_image(
    source: Int16[np.ndarray, "a b c"],
    source_from_output: Float64[np.ndarray, "3 3"] | None,
    geometry: Geometry,
    *,
    level: str,
    offset: float = 0.0,
    outside: str = "edge",
    out: Float32[np.ndarray, "x y z"] | None = None,
) -> Float32[np.ndarray, "x y z"]:
    """Compute the model's input from a stored level.

    Args:
        source: HU of the level, on :func:`level_grid`.
        source_from_output: the movement in mm, or None.
        geometry: geometry of the store.
        level: ``train`` or ``full``.
        offset: added, in [0, 1] units.
        outside: ``edge`` repeats the border, ``air`` gives -1000 HU.
        out: array to write to; a new one by default.

    Returns:
        HU / 2000 + 0.5 + offset, shape ``geometry.model_shape``.
    """
    grid, target = level_grid(geometry, level), output_grid(geometry)
    assert source.shape == grid.shape, f"a stored level of {source.shape} where {grid.shape} belongs"
    if out is None:
        out = np.empty(target.shape, np.float32)
    shift = np.float32(INTERCEPT + offset)
    air = outside == "air"
    if level == "train":
        corner = crop_offset(grid, target) if source_from_output is None else None
        if corner is not None:
            kernels.crop(source, corner[0], corner[1], corner[2], np.float32(SLOPE), shift, out)
        else:
            matrix, start = index_map(_movement(source_from_output), grid, target)
            kernels.resample(source, matrix, start, np.float32(SLOPE), shift, air, out)
        return out
    crop = crop_grid(geometry)
    matrix, start = index_map(_movement(source_from_output), grid, crop)
    x_cells, x_counts = _cells(crop.shape[0], target.shape[0])
    y_cells, y_counts = _cells(crop.shape[1], target.shape[1])
    z_windows = np.stack(windows(crop.shape[2], target.shape[2]), 1)
    slope = np.float32(SLOPE)
    kernels.pooled(source, matrix, start, x_cells, x_counts, y_cells, y_counts, z_windows, slope, shift, air, out)
    return out


def resample_mask(
    source: UInt8[np.ndarray, "a b c"],
    members: UInt8[np.ndarray, " 256"],
    source_from_output: Float64[np.ndarray, "3 3"] | None,
    geometry: Geometry,
    *,
    level: str,
    outside: str = "edge",
    pool: int,
) -> UInt8[np.ndarray, "x y z"]:
    """Compute a structure's target mask by nearest neighbour with the image's transform, max-pooled on the fly.

    A structure that no output voxel hits keeps its nearest voxel, if it is in the field of view.

    Args:
        source: a stored mask layer.
        members: 1 for every value of the layer that belongs to the structure.
        source_from_output: the movement in mm, or None.
        geometry: geometry of the store.
        level: ``train`` or ``full``.
        outside: as for the image; ``air`` means no structure.
        pool: side of the pooling window, d / u (paper 3.2).
    """
    grid, target = level_grid(geometry, level), output_grid(geometry)
    matrix, start = index_map(_movement(source_from_output), grid, target)
    pooled = np.zeros([-(-n // pool) for n in target.shape], np.uint8)
    hit = kernels.nearest_pooled(source, members, matrix, start, outside == "air", target.shape, pool, pooled)
    if not hit:
        _keep_nearest(source, members, matrix, start, target.shape, pool, pooled)
    return pooled


def turned(
    source: Int16[np.ndarray, "a b c"],
    rotation: Float64[np.ndarray, "3 3"],
    geometry: Geometry,
    *,
    level: str,
    outside: str = "edge",
) -> Int16[np.ndarray, "a b c"]:
    """Rotate a stored level on its own grid, the first of two interpolations of a stepwise augmentation.

    The result is rounded to whole HU, like a stored level. Arguments as for :func:`resample_image`.
    """
    grid = level_grid(geometry, level)
    matrix, start = index_map(rotation, grid, grid)
    out = np.empty(grid.shape, np.float32)
    kernels.resample(source, matrix, start, np.float32(1), np.float32(0), outside == "air", out)
    return np.rint(out, out=out).astype(np.int16)


def resample_fractions(
    source: UInt8[np.ndarray, "a b c"],
    members: UInt8[np.ndarray, " 256"],
    drawn: Draw,
    geometry: Geometry,
    *,
    level: str,
    outside: str = "edge",
    stepwise: bool = False,
    pool: int,
) -> Float32[np.ndarray, "x y z"]:
    """Interpolate a structure like the image to fractions in [0, 1], then max-pool it (released code).

    Structures that are too small to be hit are lost. Arguments as for :func:`resample_mask`; ``stepwise`` rotates and
    zooms in two interpolations.
    """
    coded = np.array([-1000, 1000], np.int16)[members][source]  # HU / 2000 + 0.5 gives 0 and 1; air is 0
    coded, movement = moved_source(coded, drawn, geometry, level=level, outside=outside, stepwise=stepwise)
    image = resample_image(coded, movement, geometry, level=level, outside=outside)
    # The kernels compute in float32 without a fixed order, so rounding can move a fraction outside [0, 1].
    image = np.clip(image, 0.0, 1.0)
    x, y, z = (side // pool for side in image.shape)
    return image.reshape(x, pool, y, pool, z, pool).max(axis=(1, 3, 5))


def moved_source(
    source: Int16[np.ndarray, "a b c"],
    drawn: Draw,
    geometry: Geometry,
    *,
    level: str,
    outside: str,
    stepwise: bool,
) -> tuple[Int16[np.ndarray, "a b c"], Float64[np.ndarray, "3 3"] | None]:
    """Split a draw for :func:`resample_image`: the source, rotated if stepwise, and the remaining movement."""
    if stepwise and drawn.turns and drawn.zoom != 1.0:
        return turned(source, drawn.rotation(), geometry, level=level, outside=outside), drawn.zoomed()
    return source, drawn.source_from_output() if drawn.moves else None


def _movement(source_from_output: Float64[np.ndarray, "3 3"] | None) -> Float64[np.ndarray, "3 3"]:
    return np.eye(3) if source_from_output is None else source_from_output


def _cells(samples: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """First and one-past-last cell of each sample, and the number of samples of each cell."""
    first, last = windows(samples, count)
    sample = np.arange(samples)
    held = np.stack([np.searchsorted(last, sample, side="right"), np.searchsorted(first, sample, side="right")], 1)
    return held, last - first


def _keep_nearest(source, members, matrix, start, shape: Shape, pool: int, pooled: np.ndarray) -> None:
    """Mark the output voxel nearest to the structure's most central voxel, if it is inside the output."""
    voxels = np.argwhere(members[source])
    if not len(voxels):
        return
    middle = voxels[np.argmin(((voxels - voxels.mean(0)) ** 2).sum(1))]
    position = np.rint(np.linalg.solve(matrix, middle - start)).astype(int)
    if all(0 <= p < n for p, n in zip(position, shape, strict=True)):
        pooled[tuple(position // pool)] = 1
