"""The input of CT-ViT: volumes of the run's grid, resampled to the published grid and window.

Order of the published code: resample by trilinear interpolation, clip HU, divide, then crop or pad about the centre.
Shapes: B volumes, X Y Z voxels of the run's grid (RAS+), S slices, R rows, C columns of CT-ViT's.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from uniferum.model.ct_clip_config import CtClipInput
from uniferum.preprocessing.geometry import Geometry, Shape

HU_SLOPE, HU_ZERO = 2000.0, 0.5
"""Intensities of a batch are HU / 2000 + 0.5."""


class ClipInput:
    """Converts volumes of one run's geometry."""

    def __init__(self, config: CtClipInput, geometry: Geometry) -> None:
        self.config = config
        resampled = config.spacing_mm is not None
        self.shape: Shape = config.shape if resampled else geometry.model_shape
        """Voxels along x, y, z after resampling."""
        self._flips = [axis + 2 for axis, letter in enumerate(config.orientation) if letter in "LPI"]
        self._weights = _axis_weights(config, geometry)

    def __call__(self, volume: Float[Tensor, "B 1 X Y Z"]) -> Float[Tensor, "B 1 S R C"]:
        """Window and resample volumes; slices are along z, rows along x, columns along y, as in the published code."""
        config = self.config
        x = ((volume.float() - HU_ZERO) * HU_SLOPE).clamp(*config.hu) / config.divide_by
        if self._weights is not None:
            weights = (torch.from_numpy(weight).to(x) for weight in self._weights)
            x = _resampled(x - config.pad, *weights) + config.pad
        return x.flip(self._flips).permute(0, 1, 4, 2, 3)


def _resampled(x: Tensor, over_x: Tensor, over_y: Tensor, over_z: Tensor) -> Tensor:
    """Interpolate along each axis in turn, which is trilinear interpolation."""
    x = x @ over_z.T
    x = over_y @ x
    return (over_x @ x.flatten(3)).unflatten(3, x.shape[3:])


def _axis_weights(config: CtClipInput, geometry: Geometry) -> tuple[np.ndarray, ...] | None:
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


def token_grid(shape: Shape, patch: int, patch_slices: int) -> tuple[int, int, int] | None:
    """Tokens along z, x, y of a volume of ``shape`` voxels along x, y, z; None where patches do not fill it."""
    x, y, z = shape
    if x % patch or y % patch or z % patch_slices:
        return None
    return z // patch_slices, x // patch, y // patch
