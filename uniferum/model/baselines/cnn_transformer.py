"""CNN + Transformer of INSPECT (Huang et al. 2023): a transformer over features of windowed slices.

A 2D ResNetV2 (BiT) over slices with three windows as colour channels, a small transformer over the sequence of slices,
attention pooling with a learned query, one logit per label. The input is the same prepared volume as of all systems.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uniferum.model.baselines.label_heads import LabelHeads, LabelReader, no_mask_grid
from uniferum.model.baselines.slices import slice_network
from uniferum.model.config import ModelConfig
from uniferum.model.transformer import Layer, TransformerShape
from uniferum.systems import system_of

WINDOWS_HU = ((-600.0, 1500.0), (400.0, 1000.0), (40.0, 400.0))
"""Centre and width: lung, pulmonary embolism, mediastinum (INSPECT's published windows)."""
SLICES_AT_ONCE = 64
HIDDEN, HEADS = 256, 4


class CnnTransformer(LabelHeads):
    """Windowed slices, a 2D network, a transformer over slices, logits."""

    def __init__(
        self,
        config: ModelConfig,
        model_shape: tuple[int, int, int],
        features: nn.Module,
        channels: int,
        labels: Sequence[str],
    ) -> None:
        super().__init__()
        self.tokens_shape, self.patch = no_mask_grid(model_shape), 1
        self.config, self.features, self.labels = config, features, LabelReader(labels)
        self.project = nn.Linear(channels, HIDDEN)
        self.positions = nn.Parameter(torch.randn(1, model_shape[2], HIDDEN) * 0.02)
        shape = TransformerShape(
            HIDDEN, HEADS, 4 * HIDDEN, words=1, norm_eps=1e-5, dropout=config.head.dropout, pre_norm=True
        )
        self.layers = nn.ModuleList(Layer(shape) for _ in range(2))
        self.query = nn.Linear(HIDDEN, 1)
        self.head = nn.Linear(HIDDEN, len(labels))

    def encode(self, volume: Float[Tensor, "V 1 X Y Z"]) -> Float[Tensor, "V H"]:
        """Compute one vector per volume."""
        slices = windows(volume[:, 0].permute(0, 3, 1, 2).flatten(0, 1))
        vectors = torch.cat([self.features(part).mean((2, 3)) for part in slices.split(SLICES_AT_ONCE)])
        x = self.project(vectors).unflatten(0, (len(volume), -1)) + self.positions
        for layer in self.layers:
            x = layer(x, None)
        return (self.query(x).softmax(dim=1) * x).sum(1)


def windows(intensity: Float[Tensor, "B X Y"]) -> Float[Tensor, "B 3 X Y"]:
    """Apply three windows, scaled to [0, 1], to intensities HU / 2000 + 0.5."""
    hu = (intensity - 0.5) * 2000
    return torch.stack([((hu - (centre - width / 2)) / width).clamp(0, 1) for centre, width in WINDOWS_HU], dim=1)


def build_cnn_transformer(
    config: ModelConfig,
    model_shape: tuple[int, int, int],
    labels: Sequence[str],
    weights_dir: Path | None,
    *,
    pretrained: bool = True,
) -> CnnTransformer:
    """Build the system with one output for each of ``labels``; ``encoder.weights``: whether it is pretrained."""
    hub = system_of("cnn_transformer").image_weights
    features = slice_network("resnetv2_50x1_bit", hub, config, weights_dir, pretrained=pretrained)
    return CnnTransformer(config, model_shape, features, 2048, labels)
