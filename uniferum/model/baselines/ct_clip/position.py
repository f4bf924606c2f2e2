"""How CT-ViT knows where a token is: a continuous position bias, and a position-generating convolution in each layer.

Shapes: B volumes, T slabs, H rows and W columns of tokens, N = H x W tokens of a slab, D channels, A heads.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.1
"""Negative slope of the leaky ReLU in the position bias (published code)."""


class ContinuousPositionBias(nn.Module):
    """A small network from the distance between two tokens of a slab to one bias per head (Liu et al. 2022)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.first = nn.Linear(2, width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, heads)

    def forward(self, height: int, columns: int) -> Float[Tensor, "A N N"]:
        """Compute the bias of each query (first N) and key (second N) of a slab of ``height`` x ``columns`` tokens."""
        like = self.first.weight
        rows = torch.arange(height, device=like.device)
        across = torch.arange(columns, device=like.device)
        positions = torch.cartesian_prod(rows, across)
        distance = (positions[:, None] - positions[None, :]).to(like.dtype)
        x = distance.sign() * distance.abs().log1p()
        x = F.leaky_relu(self.second(F.leaky_relu(self.first(x), SLOPE)), SLOPE)
        return self.last(x).permute(2, 0, 1)


class PositionConvolution(nn.Module):
    """Depthwise 3 x 3 x 3 convolution, causal in time, that is added to its input (Chu et al. 2021)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(width, width, 3, groups=width)

    def forward(self, x: Float[Tensor, "*tokens D"], grid: tuple[int, int, int, int]) -> Float[Tensor, "*tokens D"]:
        """Convolve tokens that are laid out as ``grid`` (B, T, H, W) in memory order, whatever their own shape is.

        The tokens of the temporal layers come as (B H W, T): the published code reads them as (B, T, H, W) without
        moving them, and its weights were trained with that.
        """
        laid_out = x.reshape(*grid, -1).permute(0, 4, 1, 2, 3)
        padded = F.pad(laid_out, (1, 1, 1, 1, 2, 0))
        return self.convolution(padded).permute(0, 2, 3, 4, 1).reshape(x.shape)
