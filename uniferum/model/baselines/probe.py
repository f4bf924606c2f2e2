"""A control: a linear model on the pooled features of a frozen image encoder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uniferum.model.baselines.label_heads import LabelHeads, LabelReader, no_mask_grid
from uniferum.model.config import ModelConfig
from uniferum.model.encoder import Encoder, build_encoder
from uniferum.model.speed.compile import compile_parts


class Probe(LabelHeads):
    """One linear layer; the encoder keeps its weights and its batch-norm statistics."""

    def __init__(
        self, config: ModelConfig, model_shape: tuple[int, int, int], encoder: Encoder, labels: Sequence[str]
    ) -> None:
        super().__init__()
        self.tokens_shape, self.patch = no_mask_grid(model_shape), 1
        self.config, self.labels = config, LabelReader(labels)
        self.encoder = encoder.requires_grad_(False).eval()
        self.head = nn.Linear(encoder.channels, len(labels))

    def train(self, mode: bool = True) -> Self:
        """Switch the mode of the linear layer; the encoder stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    @torch.no_grad()
    def encode(self, volume: Float[Tensor, "V 1 X Y Z"]) -> Float[Tensor, "V C"]:
        """Compute the pooled features of each volume, without gradients."""
        return self.encoder(volume).mean(dim=(2, 3, 4))


def build_probe(
    config: ModelConfig,
    model_shape: tuple[int, int, int],
    labels: Sequence[str],
    weights_dir: Path | None,
    *,
    pretrained: bool = True,
) -> Probe:
    """Build the control with one output for each of ``labels``."""
    encoder = build_encoder(config.encoder, weights_dir, pretrained=pretrained)
    if config.compile:
        compile_parts((encoder,))
    return Probe(config, model_shape, encoder, labels)
