"""The paper's baseline (section 4): EfficientNet, global average pooling, one logit per label, no text.

The head has two dropout layers with a ReLU between; the paper does not state rates and width, so they are config keys.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from uniferum.errors import UniferumError
from uniferum.model.base import Model, RowOutput
from uniferum.model.config import ModelConfig
from uniferum.model.encoder import Encoder, build_encoder
from uniferum.model.speed.compile import compile_parts


class LabelReader:
    """Select each row's logit from the logits of all labels."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.places = {label: index for index, label in enumerate(labels)}

    def pick(self, logits: Float[Tensor, "V K"], row_volume: Tensor, labels: Sequence[str]) -> Float[Tensor, " R"]:
        """Return the rows' logits; NaN without gradient for a label that the model does not have."""
        known = [index for index, label in enumerate(labels) if label in self.places]
        picked = logits.new_full((len(labels),), float("nan"))
        if not known:
            return picked
        rows = torch.tensor(known, device=logits.device)
        columns = torch.tensor([self.places[labels[index]] for index in known], device=logits.device)
        return picked.index_put((rows,), logits[row_volume[rows], columns])


def no_mask_grid(model_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return a token grid for models without masks: the largest cubes that fill the input."""
    x, y, z = (side // math.gcd(*model_shape) for side in model_shape)
    return x, y, z


class Cnn(Model):
    """The CNN baseline."""

    def __init__(
        self, config: ModelConfig, model_shape: tuple[int, int, int], encoder: Encoder, labels: Sequence[str]
    ) -> None:
        super().__init__()
        head = config.head
        self.tokens_shape, self.patch = no_mask_grid(model_shape), 1
        self.config, self.encoder, self.labels = config, encoder, LabelReader(labels)
        self.head = nn.Sequential(
            nn.Dropout(head.dropout),
            nn.Linear(encoder.channels, head.hidden),
            nn.ReLU(),
            nn.Dropout(head.dropout),
            nn.Linear(head.hidden, len(labels)),
        )

    def encode(self, volume: Float[Tensor, "V 1 X Y Z"]) -> Float[Tensor, "V C"]:
        """Compute the pooled features of each volume."""
        return self.encoder(volume).mean(dim=(2, 3, 4))

    def read(
        self,
        visual: Float[Tensor, "V C"],
        row_volume: Int[Tensor, " R"],
        prompts: Sequence[str],
        labels: Sequence[str],
        mask_rows: Int[Tensor, " S"] | None = None,
    ) -> RowOutput:
        """Return each row's logit by its label id; prompts are ignored, and there are no masks."""
        return RowOutput(self.labels.pick(self.head(visual), row_volume, labels), None)


def build_cnn(
    config: ModelConfig,
    model_shape: tuple[int, int, int],
    labels: Sequence[str],
    weights_dir: Path | None,
    *,
    pretrained: bool = True,
) -> Cnn:
    """Build the baseline with one output for each of ``labels``.

    Raises:
        UniferumError: no label is given.
    """
    if not labels:
        raise UniferumError("model.kind", config.kind, must="have at least one label to predict", cure="check train_on")
    encoder = build_encoder(
        config.encoder, weights_dir, gradient_checkpointing=config.gradient_checkpointing, pretrained=pretrained
    )
    if config.compile:
        compile_parts((encoder,))
    return Cnn(config, model_shape, encoder, labels)
