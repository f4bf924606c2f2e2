"""VocabFine: prompt pairs, fine-tuned with cross-entropy on each pair; both encoders are trained."""

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor

from uniferum.model.base import RowOutput
from uniferum.model.baselines.ct_clip.clip import CtClip
from uniferum.model.baselines.ct_clip.prompts import pair_logits


class VocabFine(CtClip):
    """CT-CLIP, trained on pairs of prompts."""

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
