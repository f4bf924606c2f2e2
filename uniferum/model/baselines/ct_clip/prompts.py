"""A label as a pair of texts, "{label} is present." and "{label} is not present.", and the logit of the pair."""

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor

from uniferum.data.vocabulary import Vocabulary
from uniferum.model.base import RowOutput
from uniferum.model.baselines.ct_clip.clip import CtClip
from uniferum.model.ct_clip_config import CtClipConfig

PUBLISHED_COHORT = "CTRATE"


def published_labels() -> list[str]:
    """The 18 labels of CT-RATE in the column order of its label file, which is that of the published outputs."""
    return [label.id for label in Vocabulary.load().labels.values() if PUBLISHED_COHORT in label.columns]


def label_names(labels: Sequence[str], prompts: Sequence[str]) -> list[str]:
    """Name of each label: its column in CT-RATE's label file, else its name, else its prompt (unknown labels)."""
    known = Vocabulary.load().labels
    names = {name: label.columns.get(PUBLISHED_COHORT, label.name) for name, label in known.items()}
    return [names.get(label, prompt) for label, prompt in zip(labels, prompts, strict=True)]


def pair_texts(config: CtClipConfig, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The texts that say that each name is present, and those that say that it is absent."""
    return (
        [config.present.replace("{label}", name) for name in names],
        [config.absent.replace("{label}", name) for name in names],
    )


class PromptPairs(CtClip):
    """CT-CLIP that answers a label by its pair of texts."""

    def read(
        self,
        visual: Float[Tensor, "V E"],
        row_volume: Int[Tensor, " R"],
        prompts: Sequence[str],
        labels: Sequence[str],
        mask_rows: Int[Tensor, " S"] | None = None,
    ) -> RowOutput:
        """Return each row's similarity with the text of presence, minus that with the text of absence; no masks.

        The sigmoid of this logit is the first of the softmax over the two similarities, and its binary cross-entropy is
        the cross-entropy over the pair.
        """
        present, absent = pair_texts(self.config.ct_clip, label_names(labels, prompts))
        texts = self.embed([*present, *absent])
        difference = texts[: len(present)] - texts[len(present) :]
        return RowOutput((visual[row_volume] * difference).sum(-1) * self.temperature.exp(), None)
