"""Contrastive pretraining of CT-CLIP: each volume of a micro-batch is matched with its own report.

The other reports of the micro-batch are the negatives. Without reports the model answers labels by prompt pairs, as
in zero-shot use, which also selects the best checkpoint.
"""

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor

from uniferum.model.baselines.ct_clip.clip import contrastive_loss
from uniferum.model.baselines.ct_clip.prompts import PromptPairs
from uniferum.model.config import ModelConfig
from uniferum.model.text import Text
from uniferum.preprocessing.geometry import Geometry


class Contrastive(PromptPairs):
    """CT-CLIP, trained on pairs of volume and report."""

    def __init__(self, config: ModelConfig, geometry: Geometry, text: Text) -> None:
        super().__init__(config, geometry, text)
        self.reader.truncates = True

    def report_loss(
        self, visual: Float[Tensor, "V E"], row_volume: Int[Tensor, " R"], reports: Sequence[str]
    ) -> Float[Tensor, ""]:
        """Return the contrastive loss of R pairs of volume and report, as a mean over pairs."""
        return contrastive_loss(self.similarity(visual[row_volume], self.embed(reports)))
