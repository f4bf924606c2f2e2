"""Grids of the prepared volumes: the box, the centred crop inside it and the training level.

Invariant: the training level is aligned with the centred crop, so that its middle ``model_shape`` voxels are the
model's input when no augmentation is used (paper 3.5: 416 x 336 x 256 mm, then the centred 384 x 320 x 256 mm as
256 x 160 x 128 voxels).
"""

import math
from collections.abc import Iterable
from typing import Self

import numpy as np
from pydantic import model_validator

from uniferum.config import Section

Triple = tuple[float, float, float]
Shape = tuple[int, int, int]


class Geometry(Section):
    """Sizes of the prepared grids; axes x, y, z of RAS+, in millimetres.

    Attributes:
        spacing_mm: voxel size of the full level (paper 3.5: 1 mm).
        box_mm: the padded or cropped volume (paper 3.5: 416 x 336 x 256).
        crop_mm: the centred crop that becomes the model's input (paper 3.5: 384 x 320 x 256).
        model_shape: voxels of the model's input (paper 3.5: 256 x 160 x 128).
    """

    spacing_mm: Triple = (1.0, 1.0, 1.0)
    box_mm: Triple = (416.0, 336.0, 256.0)
    crop_mm: Triple = (384.0, 320.0, 256.0)
    model_shape: Shape = (256, 160, 128)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for spacing, box, crop, count in zip(self.spacing_mm, self.box_mm, self.crop_mm, self.model_shape, strict=True):
            if spacing <= 0 or count < 1 or not 0 < crop <= box:
                raise ValueError("spacing_mm and model_shape must be positive, and crop_mm within box_mm")
            if not all(_whole(mm / spacing) for mm in (box, crop, (box - crop) / 2)):
                raise ValueError("box_mm, crop_mm and half their difference must be whole multiples of spacing_mm")
            if crop / spacing < count:
                raise ValueError("model_shape must not be finer than spacing_mm, because it is computed by averaging")
        return self

    @property
    def box_shape(self) -> Shape:
        """Voxels of the full level."""
        return _shape(round(mm / spacing) for mm, spacing in zip(self.box_mm, self.spacing_mm, strict=True))

    @property
    def crop_shape(self) -> Shape:
        """Voxels of the centred crop at the full level."""
        return _shape(round(mm / spacing) for mm, spacing in zip(self.crop_mm, self.spacing_mm, strict=True))

    @property
    def level_spacing_mm(self) -> Triple:
        """Voxel size of the training level (1.5, 2, 2 mm for the paper)."""
        x, y, z = (mm / count for mm, count in zip(self.crop_mm, self.model_shape, strict=True))
        return (x, y, z)

    @property
    def level_margin(self) -> Shape:
        """Voxels of the training level on each side of the crop (10, 4, 0 for the paper)."""
        return _shape(
            math.floor((box - crop) / 2 / spacing + 1e-9)
            for box, crop, spacing in zip(self.box_mm, self.crop_mm, self.level_spacing_mm, strict=True)
        )

    @property
    def level_shape(self) -> Shape:
        """Voxels of the training level (276, 168, 128 for the paper)."""
        return _shape(count + 2 * margin for count, margin in zip(self.model_shape, self.level_margin, strict=True))

    def shape(self, level: str) -> Shape:
        """Voxels of the level ``full`` or ``train``."""
        return self.box_shape if level == "full" else self.level_shape

    def spacing(self, level: str) -> Triple:
        """Voxel size in mm of the level ``full`` or ``train``."""
        return self.spacing_mm if level == "full" else self.level_spacing_mm

    def serves(self, run: "Geometry", level: str) -> bool:
        """Whether stores of this geometry hold the voxels that a run of another geometry reads from a level.

        The full level is on the grid of ``box_mm`` and ``spacing_mm`` alone, so that a run may take another crop of it,
        or a finer input, than that for which the store was made.
        """
        if level == "full":
            return (self.spacing_mm, self.box_mm) == (run.spacing_mm, run.box_mm)
        return self == run

    def affine(self, level: str, centre_mm: tuple[float, float, float]) -> np.ndarray:
        """Affine (voxel index to RAS mm, 4 x 4, float64) of a level centred at ``centre_mm``."""
        spacing = np.asarray(self.spacing(level), dtype=np.float64)
        affine = np.diag([*spacing, 1.0])
        affine[:3, 3] = np.asarray(centre_mm) - spacing * (np.asarray(self.shape(level)) - 1) / 2
        return affine


def _whole(value: float) -> bool:
    return abs(value - round(value)) < 1e-6


def _shape(values: Iterable[int]) -> Shape:
    x, y, z = values
    return (int(x), int(y), int(z))
