"""Resample volumes of the run's grid to a grid of a system's own, by trilinear interpolation about the centre.

Shapes: B volumes, X Y Z voxels along the axes x, y, z.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from uniferum.model.own_input_config import OwnInput
from uniferum.preprocessing.geometry import Geometry, Shape

HU_SLOPE, HU_ZERO = 2000.0, 0.5
"""Intensities of a batch are HU / 2000 + 0.5."""


class OwnGrid:
    """Resamples volumes of one run's geometry."""

    def __init__(self, config: OwnInput, geometry: Geometry) -> None:
        resampled = config.spacing_mm is not None
        self.shape: Shape = config.shape if resampled else geometry.model_shape
        """Voxels along x, y, z after resampling."""
        self.spacing_mm = config.spacing_mm or geometry.level_spacing_mm
        self._flips = [axis + 2 for axis, letter in enumerate(config.orientation) if letter in "LPI"]
        self._weights = _axis_weights(config, geometry)

    def __call__(self, volume: Float[Tensor, "B 1 X Y Z"], pad: float) -> Float[Tensor, "B 1 _X _Y _Z"]:
        """Resample volumes, with ``pad`` outside of them, and turn their axes."""
        if self._weights is not None:
            weights = (torch.from_numpy(weight).to(volume) for weight in self._weights)
            volume = _resampled(volume - pad, *weights) + pad
        return volume.flip(self._flips)


def to_hu(volume: Tensor) -> Tensor:
    """Convert the intensities of a batch to HU, float32."""
    return (volume.float() - HU_ZERO) * HU_SLOPE


def _resampled(x: Tensor, over_x: Tensor, over_y: Tensor, over_z: Tensor) -> Tensor:
    """Interpolate along each axis in turn, which is trilinear interpolation."""
    x = x @ over_z.T
    x = over_y @ x
    return (over_x @ x.flatten(3)).unflatten(3, x.shape[3:])


def _axis_weights(config: OwnInput, geometry: Geometry) -> tuple[np.ndarray, ...] | None:
    same = config.shape == geometry.model_shape and config.spacing_mm == geometry.level_spacing_mm
    if config.spacing_mm is None or same:
        return None
    sides = zip(geometry.model_shape, geometry.level_spacing_mm, config.shape, config.spacing_mm, strict=True)
    return tuple(axis_weights(*side) for side in sides)


def axis_weights(count: int, spacing_mm: float, new_count: int, new_spacing_mm: float) -> np.ndarray:
    """Linear interpolation along one axis, about its centre, as a matrix (new_count, count).

    A position within the outermost voxels takes their value; a position outside the scan has weights of zero.
    """
    position = (np.arange(new_count) - (new_count - 1) / 2) * (new_spacing_mm / spacing_mm) + (count - 1) / 2
    inside = (position > -0.5 - 1e-9) & (position < count - 0.5 + 1e-9)
    held = position.clip(0, count - 1)
    low = np.floor(held).astype(int).clip(0, max(0, count - 2))
    part = held - low
    weights = np.zeros((new_count, count), np.float32)
    rows = np.arange(new_count)
    weights[rows, low] += (1 - part) * inside
    weights[rows, np.minimum(low + 1, count - 1)] += part * inside
    return weights
