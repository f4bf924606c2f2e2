"""Zero-shot use of CT-CLIP: prompt pairs and a softmax over the two similarities, without any training."""

from uniferum.model.baselines.ct_clip.prompts import PromptPairs
from uniferum.model.config import ModelConfig
from uniferum.model.text import Text
from uniferum.preprocessing.geometry import Geometry


class ZeroShot(PromptPairs):
    """CT-CLIP with every weight frozen."""

    def __init__(self, config: ModelConfig, geometry: Geometry, text: Text) -> None:
        super().__init__(config, geometry, text)
        self.requires_grad_(False)
        self.visual.quantizer.moves = False
