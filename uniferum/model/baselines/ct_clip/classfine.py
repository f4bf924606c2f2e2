"""ClassFine: one linear layer from the volume's latent to the labels; the encoder is frozen, as in the released script.

The published script calls it ``lipro``: linear probing.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from uniferum.errors import UniferumError
from uniferum.model.base import RowOutput
from uniferum.model.baselines.ct_clip.clip import CtClip
from uniferum.model.baselines.label_heads import LabelReader
from uniferum.model.config import ModelConfig
from uniferum.model.text import Text
from uniferum.preprocessing.geometry import Geometry


class ClassFine(CtClip):
    """ReLU, dropout and a linear layer on the latents of CT-CLIP."""

    def __init__(self, config: ModelConfig, geometry: Geometry, text: Text, labels: Sequence[str]) -> None:
        super().__init__(config, geometry, text)
        if not labels:
            raise UniferumError(
                "model.ct_clip.way", "classfine", must="have at least one label to predict", cure="check train_on"
            )
        own = config.ct_clip
        self.frozen = own.freeze_encoder
        self.requires_grad_(not self.frozen)
        # Nothing here reads a text.
        for unread in (self.transformer, self.text_latent):
            unread.requires_grad_(False)
        self.temperature.requires_grad_(False)
        self.visual.quantizer.moves = not self.frozen
        self.labels, self.dropout = LabelReader(labels), own.dropout
        self.head = nn.Linear(own.latent, len(labels))

    def encode(self, volume: Float[Tensor, "V 1 X Y Z"]) -> Float[Tensor, "V E"]:
        """Compute the unit vector of each volume, without a graph where the encoder is frozen."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return super().encode(volume)

    def read(
        self,
        visual: Float[Tensor, "V E"],
        row_volume: Int[Tensor, " R"],
        prompts: Sequence[str],
        labels: Sequence[str],
        mask_rows: Int[Tensor, " S"] | None = None,
    ) -> RowOutput:
        """Return each row's logit by its label id; prompts are ignored, and there are no masks."""
        logits = self.head(F.dropout(visual.relu(), self.dropout, self.training))
        return RowOutput(self.labels.pick(logits, row_volume, labels), None)
