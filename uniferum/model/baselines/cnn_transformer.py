"""CNN + Transformer of INSPECT (Huang et al. 2023) as published: a transformer over features of windowed slices.

Three windows are the colours of a slice for a 2D ResNetV2 (BiT), whose mean features are one token a slice; then
transformer layers, pooling over slices, one linear layer. The sizes and their sources are in
:mod:`uniferum.model.cnn_transformer_config`.

Shapes: V volumes, S slices, R rows, K columns, D features of a slice.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uniferum.errors import UniferumError
from uniferum.model.baselines.label_heads import LabelHeads, LabelReader, no_mask_grid
from uniferum.model.baselines.own_grid import OwnGrid, to_hu
from uniferum.model.baselines.slices import maps_shape, slice_network
from uniferum.model.cnn_transformer_config import CnnTransformerInput
from uniferum.model.config import ModelConfig
from uniferum.preprocessing.geometry import Geometry

SLICES_AT_ONCE = 50
AIR_HU = -1000.0


class WindowedSlices:
    """Converts volumes of one run's geometry to slices of three windows."""

    def __init__(self, config: CnnTransformerInput, geometry: Geometry) -> None:
        self.config, self.grid = config, OwnGrid(config, geometry)
        self.columns, self.rows, self.slices = self.grid.shape
        self.spacing_mm = self.grid.spacing_mm[2]

    def __call__(self, volume: Float[Tensor, "V 1 X Y Z"]) -> Float[Tensor, "V S 3 R K"]:
        """Resample volumes, and give the three windows of each slice, normalised as photographs are."""
        slices = self.grid(to_hu(volume), AIR_HU)[:, 0].permute(0, 3, 2, 1)
        mean, std = (slices.new_tensor(colours).view(3, 1, 1) for colours in (self.config.mean, self.config.std))
        return (windows(slices, self.config.windows_hu) - mean) / std


def windows(
    hu: Float[Tensor, "V S R K"], windows_hu: Sequence[tuple[float, float]]
) -> Float[Tensor, "V S {len(windows_hu)} R K"]:
    """Clip HU to windows of a centre and a width, each scaled to [0, 1]."""
    shown = [((hu - (centre - width / 2)) / width).clamp(0, 1) for centre, width in windows_hu]
    return torch.stack(shown, dim=2)


class PlaceAttention(nn.Module):
    """Attention pooling of the published code: exp(tanh(w x + b)) with a bias b for each slice, normalised."""

    def __init__(self, features: int, slices: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.zeros(features, 1)))
        self.bias = nn.Parameter(torch.zeros(slices))

    def forward(self, x: Float[Tensor, "V S D"]) -> Float[Tensor, "V D"]:
        """Pool over slices."""
        score = ((x @ self.weight)[..., 0] + self.bias).tanh().exp()
        share = score / score.sum(1, keepdim=True) + 1e-10
        return (x * share[..., None]).sum(1)


class CnnTransformer(LabelHeads):
    """CNN + Transformer: one logit per label."""

    def __init__(self, config: ModelConfig, geometry: Geometry, features: nn.Module, labels: Sequence[str]) -> None:
        super().__init__()
        own = config.cnn_transformer
        self.tokens_shape, self.patch = no_mask_grid(geometry.model_shape), 1
        self.config, self.labels, self.frozen = config, LabelReader(labels), own.freeze_network
        self.input, self.features = WindowedSlices(own.input, geometry), features
        channels, *_ = maps_shape(features, config, self.input.rows, self.input.columns)
        width = _width(config, channels)
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(width, own.heads, own.feed_forward, own.dropout, batch_first=True)
                for _ in range(own.layers)
            )
        )
        self.attention = PlaceAttention(width, self.input.slices) if "attention" in own.pooling else None
        self.head = nn.Linear(width * (2 if own.pooling == "attention+max" else 1), len(labels))
        self.features.requires_grad_(not self.frozen)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen slice network stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.features.eval()
        return self

    def encode(self, volume: Float[Tensor, "V 1 X Y Z"]) -> Float[Tensor, "V F"]:
        """Compute one vector per volume."""
        return self._pooled(self.layers(self.tokens(self.input(volume))))

    def tokens(self, slices: Float[Tensor, "V S 3 R K"]) -> Float[Tensor, "V S D"]:
        """Compute the features of each slice, with its position in mm where the config appends it."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            parts = slices.flatten(0, 1).split(SLICES_AT_ONCE)
            vectors = torch.cat([self.features(part).mean((2, 3)) for part in parts])
        x = vectors.unflatten(0, (len(slices), -1))
        if self.config.cnn_transformer.position == "none":
            return x
        place_mm = torch.arange(x.shape[1], device=x.device, dtype=x.dtype) * self.input.spacing_mm
        return torch.cat([x, place_mm.view(1, -1, 1).expand(len(x), -1, 1)], dim=2)

    def _pooled(self, x: Float[Tensor, "V S D"]) -> Float[Tensor, "V F"]:
        pooling = self.config.cnn_transformer.pooling
        parts = [x.mean(1)] if pooling == "mean" else []
        if "max" in pooling:
            parts.append(x.amax(1))
        if self.attention is not None:
            parts.append(self.attention(x))
        return torch.cat(parts, dim=1)


def _width(config: ModelConfig, channels: int) -> int:
    """Width of the transformer.

    Raises:
        UniferumError: it is not a multiple of the number of heads.
    """
    own = config.cnn_transformer
    width = channels + (own.position == "append")
    if width % own.heads:
        position = " and 1 of the position" if width > channels else ""
        raise UniferumError(
            "model.cnn_transformer.heads",
            own.heads,
            must=f"divide the {channels} features of {own.network}{position}",
            cure="change heads, network or position",
        )
    return width


def build_cnn_transformer(
    config: ModelConfig,
    model_shape: tuple[int, int, int],
    labels: Sequence[str],
    weights_dir: Path | None,
    *,
    geometry: Geometry,
    pretrained: bool = True,
) -> CnnTransformer:
    """Build the system with one output for each of ``labels``; ``encoder.weights``: whether it is pretrained.

    Raises:
        UniferumError: sizes that do not fit, missing weights, or no label.
    """
    assert model_shape == geometry.model_shape
    if not labels:
        raise UniferumError("model.kind", config.kind, must="have at least one label to predict", cure="check train_on")
    return CnnTransformer(config, geometry, slice_network(config, weights_dir, pretrained=pretrained), labels)
