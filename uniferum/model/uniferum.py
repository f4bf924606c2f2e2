"""Uniferum: one transformer over [CLS], the volume's tokens, [SEP] and the prompt (paper 3.2).

    Z = concat([v_cls, E_v, v_sep, E_t]) + E_pos,    E = TransformerLayers(Z)

The class logit is read at position 0, u x u x u mask voxels at each visual position. E_pos is the text encoder's own
position table over the whole sequence, with its type embedding and norm as in BERT. With preset ``released`` the text
passes that embedding layer once more before (with positions counted from 0), as in the released code.

Rows of one volume share what does not depend on the prompt: encoding, projection, embedding, and the queries, keys and
values of the first layer. The last layer is computed only at the positions that a head reads. Neither changes a result.

Shapes: V volumes, N visual tokens, M tokens with the summary, R rows, U distinct prompts, T text tokens, H hidden,
L = N + 2 + T.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from uniferum.errors import UniferumError
from uniferum.model.base import Model, RowOutput
from uniferum.model.config import ModelConfig, tokens_shape
from uniferum.model.encoder import Encoder, build_encoder
from uniferum.model.sequence import GatedSummary, Part, join, visual_norm
from uniferum.model.speed.compile import compile_parts
from uniferum.model.text import Text, build_text
from uniferum.model.transformer import Layer


class Uniferum(Model):
    """The paper's model."""

    def __init__(self, config: ModelConfig, model_shape: tuple[int, int, int], encoder: Encoder, text: Text) -> None:
        """Compose the parts; :func:`build_uniferum` builds them.

        Raises:
            UniferumError: the sequence is longer than the text encoder has positions.
        """
        super().__init__()
        self.config = config
        self.tokens_shape, self.patch = tokens_shape(config, model_shape), config.patch
        self.encoder, self.transformer, self.reader = encoder, text.transformer, text.reader
        hidden, tokens = self.transformer.shape.hidden, self.tokens
        _refuse_long(tokens + 2 + config.text.max_tokens, self.transformer.shape.positions, config)
        self.project = nn.Linear(encoder.channels, hidden)
        self.visual_norm = visual_norm(config, tokens, encoder.channels)
        self.start = nn.Parameter(torch.empty(1, 1, hidden))
        self.separator = nn.Parameter(torch.empty(1, 1, hidden))
        if config.fusion.visual_positions:
            self.axes = nn.ParameterList(nn.Parameter(torch.empty(side, hidden)) for side in self.tokens_shape)
        if config.fusion.summary:
            self.summary = GatedSummary(tokens, encoder.channels, hidden)
        self.class_head = nn.Linear(hidden, 1)
        self.mask_head = nn.Linear(hidden, config.patch**3)
        self._draw()
        self._freeze()

    @property
    def tokens(self) -> int:
        """Number of visual tokens."""
        x, y, z = self.tokens_shape
        return x * y * z

    def encode(self, volume: Float[Tensor, "V 1 X Y Z"]) -> Float[Tensor, "V M H"]:
        """Compute each volume's visual tokens in x, y, z raster order (z fastest), in the transformer's hidden size.

        With ``fusion.summary`` M is N + 1 and the last token is a summary of the volume; else M is N.
        """
        features = self.encoder(volume)
        grid = tuple(features.shape[2:])
        assert grid == self.tokens_shape, f"the encoder gave {grid} tokens, the config says {self.tokens_shape}"
        features = self.visual_norm(features.flatten(2).transpose(1, 2))
        visual = self.project(features)
        if self.config.fusion.visual_positions:
            x, y, z = self.axes
            visual = visual + (x[:, None, None] + y[None, :, None] + z[None, None, :]).flatten(0, 2)
        if self.config.fusion.summary:
            visual = torch.cat([visual, self.summary(features)], dim=1)
        return visual

    def read(
        self,
        visual: Float[Tensor, "V M H"],
        row_volume: Int[Tensor, " R"],
        prompts: Sequence[str],
        labels: Sequence[str],
        mask_rows: Int[Tensor, " S"] | None = None,
    ) -> RowOutput:
        """Return the class logit of every row and the mask patches of the requested rows (see :meth:`Model.read`)."""
        read = self.reader.read(prompts, visual.device)
        words = self.transformer.embeddings.word(read.ids)
        gated = None
        if self.config.fusion.summary:
            gated = self.summary.gated(visual[:, -1], row_volume, words, read.visible, read.of_row)
        x, projected = self._joined(self._parts(visual, row_volume, words, read.of_row, gated), len(prompts))
        before = read.visible.new_ones(len(prompts), 2 + self.tokens)
        visible = torch.cat([before, read.visible[read.of_row]], dim=1)
        class_state, masks = self._layers(x, projected, visible, mask_rows)
        class_logit = self.class_head(class_state).flatten()
        if gated is not None:
            class_logit = class_logit + self.summary.logit(gated)
        return RowOutput(class_logit, self.mask_head(masks))

    def _parts(
        self, visual: Tensor, row_volume: Tensor, words: Tensor, of_row: Tensor, gated: Tensor | None
    ) -> list[Part]:
        """The embedded parts of the sequence: [CLS], visual tokens, [SEP], prompt."""
        embeddings, tokens = self.transformer.embeddings, self.tokens
        start: Part = (embeddings(self.start, 0), None)
        if gated is not None:
            start = (embeddings(self.start + gated[:, None], 0), torch.arange(len(gated), device=gated.device))
        if self.config.positions == "twice":
            words = self._dropout(embeddings(words, 0))
        return [
            start,
            (embeddings(visual[:, :tokens], 1), row_volume),
            (embeddings(self.separator, 1 + tokens), None),
            (embeddings(words, 2 + tokens), of_row),
        ]

    def _layers(
        self, x: Tensor, projected: Tensor | None, visible: Tensor, mask_rows: Tensor | None
    ) -> tuple[Float[Tensor, "R 1 H"], Float[Tensor, "S N H"]]:
        """Apply the layers; return the states of [CLS] in all rows and of the visual tokens in ``mask_rows``."""
        *inner, last = self.transformer.layers
        for layer in inner:
            x, projected = self._run(layer, x, visible, None, projected), None
        class_state = self._run(last, x, visible, slice(0, 1), projected)
        if mask_rows is not None:
            x, visible = x[mask_rows], visible[mask_rows]
            projected = None if projected is None else projected[mask_rows]
        masks = self._run(last, x, visible, slice(1, 1 + self.tokens), projected)
        return self.transformer.norm(class_state), self.transformer.norm(masks)

    def _joined(self, parts: list[Part], rows: int) -> tuple[Float[Tensor, "R L H"], Tensor | None]:
        """Join the rows' sequences; without dropout also project them for the first layer, once per part."""
        x = self._dropout(join(parts, rows))
        if self.training and self.transformer.shape.dropout:
            return x, None
        first = self.transformer.layers[0]
        assert isinstance(first, Layer)
        return x, join([(first.project(vectors), index) for vectors, index in parts], rows)

    def _run(self, layer: nn.Module, x: Tensor, visible: Tensor, at: slice | None, projected: Tensor | None) -> Tensor:
        if self.config.gradient_checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(layer, x, visible, at, projected, use_reentrant=False)  # pyright: ignore[reportReturnType]
        return layer(x, visible, at, projected)

    def _dropout(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, self.transformer.shape.dropout, self.training)

    def _draw(self) -> None:
        """Initialise the new parameters; [CLS] and [SEP] with the standard deviation of the word embeddings."""
        spread = float(self.transformer.embeddings.word.weight.detach().std())
        for vector in (self.start, self.separator, *getattr(self, "axes", ())):
            nn.init.normal_(vector, std=spread)
        for head in (self.class_head, self.mask_head):
            nn.init.normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)
        if self.config.mask_prior is not None:
            nn.init.constant_(self.mask_head.bias, math.log(self.config.mask_prior / (1 - self.config.mask_prior)))

    def _freeze(self) -> None:
        if self.config.text_frozen:
            self.transformer.requires_grad_(False)
        if self.config.text.freeze_words:
            self.transformer.embeddings.word.requires_grad_(False)


def build_uniferum(
    config: ModelConfig,
    model_shape: tuple[int, int, int],
    labels: Sequence[str],
    weights_dir: Path | None,
    *,
    pretrained: bool = True,
    text: Text | None = None,
) -> Uniferum:
    """Build the paper's model with pretrained parts; ``labels`` is not used, ``text`` replaces the text encoder."""
    text = text or build_text(config.text, weights_dir, pretrained=pretrained)
    encoder = build_encoder(
        config.encoder, weights_dir, gradient_checkpointing=config.gradient_checkpointing, pretrained=pretrained
    )
    model = Uniferum(config, model_shape, encoder, text)
    if config.compile:
        compile_parts((model.encoder, *model.transformer.layers))
    return model


def _refuse_long(length: int, positions: int, config: ModelConfig) -> None:
    if length > positions:
        raise UniferumError(
            "model: the sequence of visual tokens and a prompt of text.max_tokens",
            f"{length} positions",
            must=f"fit into the {positions} of {config.text.name}",
            cure="raise model.encoder.stride, or lower text.max_tokens",
        )
