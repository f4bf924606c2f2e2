"""CT-CLIP (Hamamci et al. 2024): separate encoders for volume and text, compared by cosine similarity.

A 3D patch transformer (spatial layers within each slab, then temporal layers across slabs) and a BERT whose [CLS] is
projected to the same width. The logit of a label compares "{label} is present." with "{label} is not present." (softmax
of the pair, as trained by VocabFine). Left out: the vector quantiser, the continuous position bias (here: learned
positions) and the contrastive pretraining on reports. The input is the same prepared volume as of all systems.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from uniferum.data.vocabulary import Vocabulary
from uniferum.model.base import Model, RowOutput
from uniferum.model.baselines.label_heads import no_mask_grid
from uniferum.model.config import ModelConfig, tokens_shape
from uniferum.model.text import Text, build_text
from uniferum.model.transformer import Layer, TransformerShape

WIDTH, LATENT = 512, 512
LAYERS, HEADS = 4, 8
TEMPERATURE = 0.07
"""Initial value of the learned temperature (from CLIP)."""


class CtClip(Model):
    """A volume encoder, a text encoder, and their scaled cosine similarity."""

    def __init__(self, config: ModelConfig, model_shape: tuple[int, int, int], text: Text) -> None:
        super().__init__()
        self.config, self.grid = config, tokens_shape(config, model_shape)
        self.tokens_shape, self.patch = no_mask_grid(model_shape), 1
        self.transformer, self.reader = text.transformer, text.reader
        stride = config.encoder.stride
        self.cut = nn.Conv3d(1, WIDTH, stride, stride)
        x, y, z = self.grid
        self.positions = nn.Parameter(torch.randn(1, z, x * y, WIDTH) * 0.02)
        shape = TransformerShape(WIDTH, HEADS, 4 * WIDTH, words=1, norm_eps=1e-5, pre_norm=True)
        self.spatial = nn.ModuleList(Layer(shape) for _ in range(LAYERS))
        self.temporal = nn.ModuleList(Layer(shape) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.volume_latent = nn.Linear(x * y * z * WIDTH, LATENT, bias=False)
        self.text_latent = nn.Linear(text.transformer.shape.hidden, LATENT, bias=False)
        self.scale = nn.Parameter(torch.tensor(1 / TEMPERATURE).log())
        words = Vocabulary.load()
        self.names = {label.id: label.name for label in words.labels.values()}
        self.transformer.requires_grad_(not config.text_frozen)

    def encode(self, volume: Float[Tensor, "V 1 X Y Z"]) -> Float[Tensor, "V E"]:
        """Compute the unit vector of each volume."""
        count, (x, y, z) = len(volume), self.grid
        patches = self.cut(volume).permute(0, 4, 2, 3, 1).flatten(2, 3) + self.positions
        slabs = patches.flatten(0, 1)
        for layer in self.spatial:
            slabs = layer(slabs, None)
        columns = slabs.unflatten(0, (count, z)).transpose(1, 2).flatten(0, 1)
        for layer in self.temporal:
            columns = layer(columns, None)
        tokens = self.norm(columns).reshape(count, x * y * z * WIDTH)
        return F.normalize(self.volume_latent(tokens), dim=-1)

    def read(
        self,
        visual: Float[Tensor, "V E"],
        row_volume: Int[Tensor, " R"],
        prompts: Sequence[str],
        labels: Sequence[str],
        mask_rows: Int[Tensor, " S"] | None = None,
    ) -> RowOutput:
        """Return the logit of each label's presence against its absence; there are no masks."""
        names = [self.names.get(label, prompt) for label, prompt in zip(labels, prompts, strict=True)]
        present = self._embed([f"{name} is present." for name in names])
        absent = self._embed([f"{name} is not present." for name in names])
        angle = (visual[row_volume] * (present - absent)).sum(-1)
        return RowOutput(angle * self.scale.exp(), None)

    def _embed(self, texts: list[str]) -> Float[Tensor, "R E"]:
        read = self.reader.read(texts, self.scale.device)
        states = self.transformer.encode_text(read.ids, read.visible)
        return F.normalize(self.text_latent(states[:, 0]), dim=-1)[read.of_row]


def build_ct_clip(
    config: ModelConfig,
    model_shape: tuple[int, int, int],
    labels: Sequence[str],
    weights_dir: Path | None,
    *,
    pretrained: bool = True,
    text: Text | None = None,
) -> CtClip:
    """Build CT-CLIP with the text encoder of its config (published: CXR-BERT), or with ``text``.

    ``encoder.stride`` is the side of its patches.
    """
    return CtClip(config, model_shape, text or build_text(config.text, weights_dir, pretrained=pretrained))
