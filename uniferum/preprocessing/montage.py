"""Draw a prepared volume in radiological orientation: upright, the patient's left on the right of the image."""

import numpy as np
from jaxtyping import Int16, UInt8

# Window in HU, centre -250 and width 1500: shows both lung and soft tissue.
_WINDOW_HU = (-1000.0, 500.0)
_LEFT_MARK = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 1, 1]], dtype=bool)


def montage(
    hu: Int16[np.ndarray, "x y z"],
    spacing_mm: tuple[float, float, float],
    mask: UInt8[np.ndarray, "x y z"] | None = None,
    *,
    pixel_mm: float = 2.0,
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Draw five axial, five coronal and five sagittal slices, with an ``L`` on the left side and mask edges in red.

    Args:
        hu: a level of a prepared volume, RAS+ axes.
        spacing_mm: voxel size of that level.
        mask: ids on the same grid.
        pixel_mm: pixel size of the picture.
    """
    rows = []
    for axis in (2, 1, 0):
        indices = np.linspace(0, hu.shape[axis] - 1, 7)[1:-1].round().astype(int)
        tiles = []
        for index in indices:
            image = np.take(hu, index, axis=axis)
            edge = None if mask is None else _edges(np.take(mask, index, axis=axis))
            tiles.append(_tile(image, edge, axis, spacing_mm, pixel_mm))
        rows.append(np.concatenate(tiles, axis=1))
    width = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0))) for row in rows], axis=0)


def _tile(
    image: np.ndarray, edge: np.ndarray | None, axis: int, spacing_mm: tuple[float, float, float], pixel_mm: float
) -> np.ndarray:
    low, high = _WINDOW_HU
    grey = (np.clip((image.astype(np.float32) - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    colour = np.repeat(grey[..., None], 3, axis=2)
    if edge is not None:
        colour[edge] = (255, 40, 40)
    first, second = (spacing_mm[a] for a in range(3) if a != axis)
    at = [
        np.minimum((np.arange(max(1, round(n * s / pixel_mm))) + 0.5) * pixel_mm / s, n - 1).astype(int)
        for n, s in zip(image.shape, (first, second), strict=True)
    ]
    # Columns run to the patient's left (sagittal: to the back), rows to the back (coronal and sagittal: to the feet).
    upright = colour[np.ix_(at[0], at[1])].transpose(1, 0, 2)[::-1, ::-1].copy()
    if axis != 0 and upright.shape[1] > 12:
        upright[3:13, -9:-3][_LEFT_MARK.repeat(2, axis=0).repeat(2, axis=1)] = (255, 255, 0)
    return upright


def _edges(mask: np.ndarray) -> np.ndarray:
    edge = np.zeros(mask.shape, dtype=bool)
    edge[:-1] |= mask[:-1] != mask[1:]
    edge[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    return edge
