"""VocabFine: prompt pairs, fine-tuned with cross-entropy on each pair; both encoders are trained."""

from uniferum.model.baselines.ct_clip.prompts import PromptPairs


class VocabFine(PromptPairs):
    """CT-CLIP, trained on pairs of prompts."""
