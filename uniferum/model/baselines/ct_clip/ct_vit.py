"""CT-ViT, the volume encoder of CT-CLIP: patches, spatial and temporal layers, quantiser, pooling.

Shapes: B volumes, T slabs, H rows, W columns, D channels; a volume is (channel, slices, rows, columns).
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from uniferum.model.baselines.ct_clip.attention import VitTransformer
from uniferum.model.baselines.ct_clip.position import ContinuousPositionBias
from uniferum.model.baselines.ct_clip.quantizer import Quantizer
from uniferum.model.ct_clip_config import CtVitConfig


class PatchEmbedding(nn.Module):
    """Cut a volume into patches and project each to one token."""

    def __init__(self, config: CtVitConfig) -> None:
        super().__init__()
        self.slices, self.side = config.patch_slices, config.patch
        voxels = self.slices * self.side**2
        self.norm_in = nn.LayerNorm(voxels)
        self.project = nn.Linear(voxels, config.width)
        self.norm_out = nn.LayerNorm(config.width)

    def forward(self, volume: Float[Tensor, "B 1 S R C"]) -> Float[Tensor, "B T H W D"]:
        """Return one token per patch; inside a patch, voxels are in the order slice, row, column."""
        cut = volume[:, 0].unfold(1, self.slices, self.slices).unfold(2, self.side, self.side)
        patches = cut.unfold(3, self.side, self.side).flatten(4)
        return self.norm_out(self.project(self.norm_in(patches)))


@dataclass(frozen=True)
class Encoded:
    """The stages of one forward pass."""

    patches: Float[Tensor, "B T H W D"]
    encoded: Float[Tensor, "B T H W D"]
    quantised: Float[Tensor, "B T H W D"]


class CtVit(nn.Module):
    """The volume encoder."""

    def __init__(self, config: CtVitConfig) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.patches = PatchEmbedding(config)
        self.position_bias = ContinuousPositionBias(width, heads)
        self.spatial = VitTransformer(width, config.spatial_layers, heads, config.head_width)
        self.temporal = VitTransformer(width, config.temporal_layers, heads, config.head_width)
        self.quantizer = Quantizer(width, config.codes, config.codebook_decay)

    def stages(self, volume: Float[Tensor, "B 1 S R C"]) -> Encoded:
        """Compute the tokens before the layers, after them, and after the quantiser."""
        patches = self.patches(volume)
        encoded = self.encode(patches)
        return Encoded(patches, encoded, self.quantizer(encoded))

    def encode(self, patches: Float[Tensor, "B T H W D"]) -> Float[Tensor, "B T H W D"]:
        """Apply the spatial layers within each slab, then the temporal layers along the slabs."""
        grid = (count, slabs, rows, columns) = tuple(patches.shape[:4])
        bias = self.position_bias(rows, columns)
        flat = patches.flatten(2, 3).flatten(0, 1)
        within = self.spatial(flat, grid, bias).unflatten(0, (count, slabs))
        columnwise = within.transpose(1, 2).flatten(0, 1)
        along = self.temporal(columnwise, grid).unflatten(0, (count, rows, columns))
        return along.permute(0, 3, 1, 2, 4)

    def forward(self, volume: Float[Tensor, "B 1 S R C"]) -> Float[Tensor, "B F"]:
        """Return the quantised tokens, averaged over the slabs and flattened in the order row, column, channel."""
        return pooled(self.stages(volume).quantised)


def pooled(quantised: Float[Tensor, "B T H W D"]) -> Float[Tensor, "B F"]:
    """Average over the slabs and flatten in the order row, column, channel."""
    return quantised.mean(dim=1).flatten(1)
