"""Number of CT-CLIP's parameters, beside the published number."""

from dataclasses import dataclass

from torch import nn

from uniferum.model.baselines.ct_clip.clip import CtClip
from uniferum.model.parameters import PUBLISHED as PUBLISHED_NUMBERS
from uniferum.model.parameters import count_parameters as _count

PUBLISHED = PUBLISHED_NUMBERS["ct_clip"].parameters
"""Parameters of the published CT-CLIP, rounded."""


@dataclass(frozen=True)
class ParameterCounts:
    """Numbers of parameters by part."""

    volume_encoder: int
    codebook: int
    """Values of the codebook, which are buffers: a moving average sets them, not the optimizer."""
    text_encoder: int
    projections: int
    """Of both encoders' outputs to the common space, with the temperature."""
    head: int
    """Of ClassFine; 0 for all other ways."""

    @property
    def total(self) -> int:
        """All parameters, without the codebook."""
        return self.volume_encoder + self.text_encoder + self.projections + self.head


def count_parameters(model: CtClip) -> ParameterCounts:
    """Count the parameters of a model."""
    head = getattr(model, "head", None)
    return ParameterCounts(
        volume_encoder=_count(model.visual),
        codebook=model.visual.quantizer.codes.numel(),
        text_encoder=_count(model.transformer),
        projections=_count(model.image_latent) + _count(model.text_latent) + model.temperature.numel(),
        head=_count(head) if isinstance(head, nn.Module) else 0,
    )
