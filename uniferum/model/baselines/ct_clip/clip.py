"""The two encoders of CT-CLIP and the similarity of their latents.

Shapes: V volumes, U texts, T tokens of a text, E latent channels.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from uniferum.errors import UniferumError
from uniferum.model.base import Model
from uniferum.model.baselines.ct_clip.ct_vit import CtVit
from uniferum.model.baselines.ct_clip.input import ClipInput, token_grid
from uniferum.model.baselines.label_heads import no_mask_grid
from uniferum.model.config import ModelConfig
from uniferum.model.text import Text
from uniferum.preprocessing.geometry import Geometry


class CtClip(Model):
    """Volume encoder, text encoder, one linear layer from each to a common space, and a learned temperature."""

    def __init__(self, config: ModelConfig, geometry: Geometry, text: Text) -> None:
        super().__init__()
        own = config.ct_clip
        self.tokens_shape, self.patch = no_mask_grid(geometry.model_shape), 1
        self.config, self.input = config, ClipInput(own.input, geometry)
        self.transformer, self.reader = text.transformer, text.reader
        self.visual = CtVit(own.vit)
        self.image_latent = nn.Linear(_features(config, self.input), own.latent, bias=False)
        self.text_latent = nn.Linear(text.transformer.shape.hidden, own.latent, bias=False)
        self.temperature = nn.Parameter(torch.tensor(1.0))
        self.transformer.requires_grad_(not config.text_frozen)
        self._embedded: dict[str, Tensor] = {}

    def encode(self, volume: Float[Tensor, "V 1 X Y Z"]) -> Float[Tensor, "V E"]:
        """Compute the unit vector of each volume."""
        return self.image_latents(self.input(volume))

    def image_latents(self, video: Float[Tensor, "V 1 S R C"]) -> Float[Tensor, "V E"]:
        """Compute the unit vectors of volumes in CT-ViT's own grid and window."""
        return F.normalize(self.image_latent(self.visual(video)), dim=-1)

    def text_latents(self, ids: Int[Tensor, "U T"], visible: Bool[Tensor, "U T"]) -> Float[Tensor, "U E"]:
        """Compute the unit vectors of tokenised texts, from the last state of their first token, [CLS]."""
        states = self.transformer.encode_text(ids, visible)
        return F.normalize(self.text_latent(states[:, 0]), dim=-1)

    def embed(self, texts: Sequence[str]) -> Float[Tensor, "U E"]:
        """Compute the unit vectors of texts; in inference mode those of known texts are kept until :meth:`train`."""
        if not torch.is_inference_mode_enabled() or self.training:
            return self._read(texts)
        new = [text for text in dict.fromkeys(texts) if text not in self._embedded]
        if new:
            self._embedded.update(zip(new, self._read(new), strict=True))
        return torch.stack([self._embedded[text] for text in texts])

    def similarity(self, image: Float[Tensor, "V E"], text: Float[Tensor, "U E"]) -> Float[Tensor, "V U"]:
        """Cosine similarity of every volume and every text, times exp(temperature)."""
        return image @ text.T * self.temperature.exp()

    def train(self, mode: bool = True) -> "CtClip":
        """Set the mode; the texts that were read before are forgotten, because the weights may change."""
        self._embedded = {}
        super().train(mode)
        return self

    def _read(self, texts: Sequence[str]) -> Tensor:
        read = self.reader.read(texts, self.temperature.device)
        return self.text_latents(read.ids, read.visible)[read.of_row]


def contrastive_loss(similarity: Float[Tensor, "V V"]) -> Float[Tensor, ""]:
    """Mean of both directions' cross-entropy, where row i and column i belong together (Radford et al. 2021)."""
    own = torch.arange(len(similarity), device=similarity.device)
    return (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.T, own)) / 2


def _features(config: ModelConfig, clip_input: ClipInput) -> int:
    """Number of values per volume after pooling.

    Raises:
        UniferumError: the patches do not fill the input.
    """
    vit = config.ct_clip.vit
    grid = token_grid(clip_input.shape, vit.patch, vit.patch_slices)
    if grid is None:
        shown = " x ".join(map(str, clip_input.shape))
        key = "model.ct_clip.input.shape" if config.ct_clip.input.spacing_mm else "geometry.model_shape"
        raise UniferumError(
            key,
            shown,
            must=f"have x and y as multiples of model.ct_clip.vit.patch ({vit.patch}) and z of patch_slices "
            f"({vit.patch_slices})",
            cure="change either of the two",
        )
    return grid[1] * grid[2] * vit.width
