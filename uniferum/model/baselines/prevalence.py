"""A control: one constant per label, which never looks at the volume; its AUROC is 0.5 by construction."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uniferum.model.baselines.label_heads import LabelHeads, LabelReader, no_mask_grid
from uniferum.model.config import ModelConfig


class Constants(nn.Module):
    """One trainable number per label, the same for every volume."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(count))

    def forward(self, visual: Float[Tensor, "V F"]) -> Float[Tensor, "V K"]:
        """Return the constants for each volume."""
        return self.logits.expand(len(visual), -1)


class Prevalence(LabelHeads):
    """A logit per label that training moves to the prevalence among the training rows."""

    def __init__(self, config: ModelConfig, model_shape: tuple[int, int, int], labels: Sequence[str]) -> None:
        super().__init__()
        self.tokens_shape, self.patch = no_mask_grid(model_shape), 1
        self.config, self.labels = config, LabelReader(labels)
        self.head = Constants(len(labels))

    def encode(self, volume: Float[Tensor, "V 1 X Y Z"]) -> Float[Tensor, "V 1"]:
        """Return an empty feature per volume."""
        return volume.new_zeros(len(volume), 1)


def build_prevalence(
    config: ModelConfig,
    model_shape: tuple[int, int, int],
    labels: Sequence[str],
    weights_dir: Path | None,
    *,
    pretrained: bool = True,
) -> Prevalence:
    """Build the control with one output for each of ``labels``; it has no pretrained weights."""
    return Prevalence(config, model_shape, labels)
