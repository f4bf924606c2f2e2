"""The transformer of CT-ViT: position convolution, cosine attention and a gated feed-forward part in each layer.

Two points of the published code that differ from a textbook transformer: keys and values are computed from the input
before the norm, queries from the input after it; and queries and keys are unit vectors, times a learned scale for each
channel.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from uniferum.model.baselines.ct_clip.position import PositionConvolution

SCALE = 8.0
"""Factor of the attention scores, which are cosines before (published code)."""


class ScaleNorm(nn.Module):
    """Layer norm with a learned scale; the shift is stored, but not learned (zero in published weights)."""

    shift: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.register_buffer("shift", torch.zeros(width))

    def forward(self, x: Float[Tensor, "*tokens D"]) -> Float[Tensor, "*tokens D"]:
        """Normalise each token."""
        return F.layer_norm(x, x.shape[-1:], self.scale, self.shift)


class CosineAttention(nn.Module):
    """Self-attention with cosine similarities."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        inner = heads * head_width
        self.heads = heads
        self.norm = ScaleNorm(width)
        self.query = nn.Linear(width, inner, bias=False)
        self.key_value = nn.Linear(width, 2 * inner, bias=False)
        self.query_scale = nn.Parameter(torch.ones(head_width))
        self.key_scale = nn.Parameter(torch.ones(head_width))
        self.out = nn.Linear(inner, width, bias=False)

    def forward(self, x: Float[Tensor, "S N D"], bias: Float[Tensor, "A N N"] | None = None) -> Float[Tensor, "S N D"]:
        """Attend within each of S sequences; ``bias`` is added to the scores."""
        query = self.query(self.norm(x))
        key, value = self.key_value(x).chunk(2, dim=-1)
        query = F.normalize(self._split(query), dim=-1) * self.query_scale
        key = F.normalize(self._split(key), dim=-1) * self.key_scale
        mask = None if bias is None else bias.to(query.dtype)[None]
        context = F.scaled_dot_product_attention(query, key, self._split(value), attn_mask=mask, scale=SCALE)
        return self.out(context.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """Layer norm, linear, GEGLU (Shazeer 2020), linear."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = inner_width(width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Float[Tensor, "*tokens D"]) -> Float[Tensor, "*tokens D"]:
        """Transform each token."""
        value, gate = self.up(self.norm(x)).chunk(2, dim=-1)
        return self.down(F.gelu(gate) * value)


def inner_width(width: int) -> int:
    """Number of gated channels: 4 x width, less a third for the gate."""
    return 4 * width * 2 // 3


class VitLayer(nn.Module):
    """Position convolution, attention, feed-forward part, each added to its input."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.position = PositionConvolution(width)
        self.attention = CosineAttention(width, heads, head_width)
        self.feed_forward = FeedForward(width)

    def forward(
        self, x: Float[Tensor, "S N D"], grid: tuple[int, int, int, int], bias: Float[Tensor, "A N N"] | None
    ) -> Float[Tensor, "S N D"]:
        """Apply the three parts."""
        x = x + self.position(x, grid)
        x = x + self.attention(x, bias)
        return x + self.feed_forward(x)


class VitTransformer(nn.Module):
    """Layers, and a norm after the last."""

    def __init__(self, width: int, depth: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(VitLayer(width, heads, head_width) for _ in range(depth))
        self.norm = ScaleNorm(width)

    def forward(
        self,
        x: Float[Tensor, "S N D"],
        grid: tuple[int, int, int, int],
        bias: Float[Tensor, "A N N"] | None = None,
    ) -> Float[Tensor, "S N D"]:
        """Transform S sequences of N tokens; ``grid`` is the layout that position convolutions read them in."""
        for layer in self.layers:
            x = layer(x, grid, bias)
        return self.norm(x)
