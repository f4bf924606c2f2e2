"""Masks as targets of the model: max-pooled by d / u, and split into patches of u^3 voxels in token order (paper 3.2).

Tokens and the voxels of a patch are both in raster order x, y, z with z fastest; a patch belongs to the token of the
same part of the volume.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Real

from uniferum.errors import UniferumError

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class TargetGrid:
    """Geometry of mask patches: the token grid, the patch side u, and the pooling side d / u."""

    tokens_shape: Shape
    patch: int
    pool: int

    @classmethod
    def of(cls, model_shape: Shape, tokens_shape: Shape, patch: int) -> "TargetGrid":
        """Target grid of a model that turns ``model_shape`` voxels into ``tokens_shape`` tokens.

        Raises:
            UniferumError: tokens are not cubes of whole voxels, or their side is not divisible by ``patch``.
        """
        strides = {n / t for n, t in zip(model_shape, tokens_shape, strict=True)}
        stride = strides.pop()
        if strides or stride % patch:
            shown = f"{tokens_shape} tokens on {model_shape} voxels"
            raise UniferumError("model.patch", patch, must=f"divide the side of a token, with {shown}")
        return cls(tokens_shape, patch, int(stride) // patch)

    @property
    def pooled_shape(self) -> Shape:
        """Shape of the pooled mask."""
        x, y, z = self.tokens_shape
        return x * self.patch, y * self.patch, z * self.patch

    @property
    def patches(self) -> int:
        """Number of tokens P."""
        x, y, z = self.tokens_shape
        return x * y * z

    def to_patches(self, pooled: Real[np.ndarray, "X Y Z"]) -> Real[np.ndarray, "P U"]:
        """Split the pooled mask into one row of u^3 values per token."""
        (x, y, z), u = self.tokens_shape, self.patch
        cut = pooled.reshape(x, u, y, u, z, u).transpose(0, 2, 4, 1, 3, 5)
        return cut.reshape(self.patches, u**3)

    def from_patches(self, patches: np.ndarray) -> np.ndarray:
        """Join patches to a pooled volume (or logits of one): the inverse of :meth:`to_patches`."""
        (x, y, z), u = self.tokens_shape, self.patch
        cut = patches.reshape(x, y, z, u, u, u).transpose(0, 3, 1, 4, 2, 5)
        return cut.reshape(self.pooled_shape)
