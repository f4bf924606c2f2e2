"""The paper's baseline (section 4): EfficientNet, global average pooling, one logit per label, no text.

The head has two dropout layers with a ReLU between; the paper does not state rates and width, so they are config keys.
"""

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from uniferum.errors import UniferumError
from uniferum.model.baselines.label_heads import LabelHeads, LabelReader, no_mask_grid
from uniferum.model.config import ModelConfig
from uniferum.model.encoder import Encoder, build_encoder
from uniferum.model.speed.compile import compile_parts


class Cnn(LabelHeads):
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
