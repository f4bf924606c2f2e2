"""Zero-shot use of CT-CLIP: prompt pairs and a softmax over the two similarities, without any training."""

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor

from uniferum.model.base import RowOutput
from uniferum.model.baselines.ct_clip.clip import CtClip
from uniferum.model.baselines.ct_clip.prompts import pair_logits
from uniferum.model.config import ModelConfig
from uniferum.model.text import Text
from uniferum.preprocessing.geometry import Geometry


class ZeroShot(CtClip):
    """CT-CLIP with every weight frozen."""

    def __init__(self, config: ModelConfig, geometry: Geometry, text: Text) -> None:
        super().__init__(config, geometry, text)
        self.requires_grad_(False)
        self.visual.quantizer.moves = False

    def read(
        self,
        visual: Float[Tensor, "V E"],
        row_volume: Int[Tensor, " R"],
        prompts: Sequence[str],
        labels: Sequence[str],
        mask_rows: Int[Tensor, " S"] | None = None,
    ) -> RowOutput:
        """Return the logit of each label's presence against its absence; there are no masks."""
        return pair_logits(self, visual, row_volume, prompts, labels)
