"""Build CT-CLIP in the way that ``model.ct_clip.way`` names: the entry of the registry."""

from collections.abc import Sequence
from pathlib import Path

from uniferum.model.baselines.ct_clip.checkpoint import load_checkpoint
from uniferum.model.baselines.ct_clip.classfine import ClassFine
from uniferum.model.baselines.ct_clip.clip import CtClip
from uniferum.model.baselines.ct_clip.contrastive import Contrastive
from uniferum.model.baselines.ct_clip.vocabfine import VocabFine
from uniferum.model.baselines.ct_clip.zero_shot import ZeroShot
from uniferum.model.config import ModelConfig
from uniferum.model.text import Text, build_text
from uniferum.preprocessing.geometry import Geometry


def build_ct_clip(
    config: ModelConfig,
    model_shape: tuple[int, int, int],
    labels: Sequence[str],
    weights_dir: Path | None,
    *,
    geometry: Geometry,
    pretrained: bool = True,
    text: Text | None = None,
) -> CtClip:
    """Build CT-CLIP with the text encoder of its config, or with ``text``, and load its checkpoint.

    Args:
        config: the model's section; ``ct_clip`` describes this system.
        model_shape: as in ``geometry``.
        labels: the outputs of ``classfine``.
        weights_dir: see :func:`uniferum.model.weights.find_pretrained`.
        geometry: the run's grid, from which volumes are resampled.
        pretrained: false where other weights will be loaded: neither the checkpoint nor the text encoder's are read.
        text: a text encoder that is already there.

    Raises:
        UniferumError: sizes that do not fit, missing weights, or a checkpoint of another model.
    """
    assert model_shape == geometry.model_shape
    own = config.ct_clip
    # A checkpoint has the weights of the text encoder too.
    read = pretrained and own.checkpoint is None
    model = _of_way(config, geometry, labels, text or build_text(config.text, weights_dir, pretrained=read))
    if pretrained and own.checkpoint is not None:
        load_checkpoint(model, Path(own.checkpoint), sha256=own.checkpoint_sha256, labels=labels)
    return model


def _of_way(config: ModelConfig, geometry: Geometry, labels: Sequence[str], text: Text) -> CtClip:
    way = config.ct_clip.way
    if way == "classfine":
        return ClassFine(config, geometry, text, labels)
    kinds = {"vocabfine": VocabFine, "zero_shot": ZeroShot, "contrastive": Contrastive}
    return kinds[way](config, geometry, text)
