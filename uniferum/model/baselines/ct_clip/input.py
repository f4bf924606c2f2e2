"""The input of CT-ViT: volumes of the run's grid, resampled to the published grid and window.

Order of the published code: resample by trilinear interpolation, clip HU, divide, then crop or pad about the centre.
Shapes: B volumes, X Y Z voxels of the run's grid (RAS+), S slices, R rows, C columns of CT-ViT's.
"""

from jaxtyping import Float
from torch import Tensor

from uniferum.model.baselines.own_grid import OwnGrid, to_hu
from uniferum.model.ct_clip_config import CtClipInput
from uniferum.preprocessing.geometry import Geometry, Shape


class ClipInput:
    """Converts volumes of one run's geometry."""

    def __init__(self, config: CtClipInput, geometry: Geometry) -> None:
        self.config, self.grid = config, OwnGrid(config, geometry)
        self.shape: Shape = self.grid.shape
        """Voxels along x, y, z after resampling."""

    def __call__(self, volume: Float[Tensor, "B 1 X Y Z"]) -> Float[Tensor, "B 1 S R C"]:
        """Window and resample volumes; slices are along z, rows along x, columns along y, as in the published code."""
        config = self.config
        x = to_hu(volume).clamp(*config.hu) / config.divide_by
        return self.grid(x, config.pad).permute(0, 1, 4, 2, 3)


def token_grid(shape: Shape, patch: int, patch_slices: int) -> tuple[int, int, int] | None:
    """Tokens along z, x, y of a volume of ``shape`` voxels along x, y, z; None where patches do not fill it."""
    x, y, z = shape
    if x % patch or y % patch or z % patch_slices:
        return None
    return z // patch_slices, x // patch, y // patch
