"""Uniferum: [CLS], the volume's tokens, [SEP] and the prompt through one transformer (paper 3.2).

    Z = concat([v_cls, E_v, v_sep, E_t]) + E_pos,    E = TransformerLayers(Z)

The class logit comes from position 0, u x u x u mask voxels from each visual position. E_pos is the text encoder's own
position table over the whole sequence, with its type embedding and norm as in BERT. Preset ``released`` passes the
text through that embedding layer once more before (positions 0.. of the text alone), as the released code does.

Rows of one volume share what does not depend on the prompt: encoding, projection, embedding, and the first layer's
queries, keys and values. The last layer is computed only where a head reads it. Both change no result.

Shapes: V volumes, N visual tokens, R rows, U distinct prompts, T text tokens, H hidden, L = N + 2 + T.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from uniferum.errors import UniferumError
from uniferum.model.base import Model, RowOutput
from uniferum.model.config import ModelConfig, tokens_shape
from uniferum.model.encoder import Encoder, build_encoder
from uniferum.model.text import Text, build_text
from uniferum.model.transformer import Layer

Part = tuple[Tensor, Tensor | None]
"""Vectors (B, n, H) and, for each row, which of the B it has; None: the same for all rows."""


class Uniferum(Model):
    """The paper's model."""

    def __init__(self, config: ModelConfig, model_shape: tuple[int, int, int], encoder: Encoder, text: Text) -> None:
        """Compose the parts; see :func:`build_uniferum`.

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
        self.visual_norm = _visual_norm(config, tokens, encoder.channels)
        self.start = nn.Parameter(torch.empty(1, 1, hidden))
        self.separator = nn.Parameter(torch.empty(1, 1, hidden))
        if config.fusion.visual_positions:
            self.axes = nn.ParameterList(nn.Parameter(torch.empty(side, hidden)) for side in self.tokens_shape)
        if config.fusion.prompt_start:
            self.summary = nn.Linear(tokens * encoder.channels, hidden)
            self.gate = nn.Linear(hidden, hidden)
        self.class_head = nn.Linear(hidden, 1)
        self.mask_head = nn.Linear(hidden, config.patch**3)
        self._draw()
        self._freeze()

    @property
    def tokens(self) -> int:
        """N."""
        x, y, z = self.tokens_shape
        return x * y * z

    def encode(self, volume: Float[Tensor, "V 1 X Y Z"]) -> Float[Tensor, "V M H"]:
        """Visual tokens of each volume in x, y, z raster order (z fastest), in the transformer's width.

        With ``fusion.prompt_start`` M is N + 1, a summary of the volume being the last; else M is N.
        """
        features = self.encoder(volume)
        found = tuple(features.shape[2:])
        assert found == self.tokens_shape, f"the encoder gave {found} tokens, the config says {self.tokens_shape}"
        features = self.visual_norm(features.flatten(2).transpose(1, 2))
        visual = self.project(features)
        if self.config.fusion.visual_positions:
            x, y, z = self.axes
            visual = visual + (x[:, None, None] + y[None, :, None] + z[None, None, :]).flatten(0, 2)
        if self.config.fusion.prompt_start:
            visual = torch.cat([visual, self.summary(features.flatten(1))[:, None]], dim=1)
        return visual

    def read(
        self,
        visual: Float[Tensor, "V N H"],
        row_volume: Int[Tensor, " R"],
        prompts: Sequence[str],
        labels: Sequence[str],
        mask_rows: Int[Tensor, " S"] | None = None,
    ) -> RowOutput:
        """Class logit of every row, mask patches of the wanted ones (see :meth:`Model.read`)."""
        parts, visible = self._sequence(visual, row_volume, prompts)
        x, projected = self._joined(parts, len(prompts))
        layers = list(self.transformer.layers)
        for index, layer in enumerate(layers[:-1]):
            x = self._run(layer, x, visible, None, projected if index == 0 else None)
        first = projected if len(layers) == 1 else None
        class_state = self.transformer.norm(self._run(layers[-1], x, visible, slice(0, 1), first))
        class_logit = self.class_head(class_state).flatten()
        if mask_rows is not None:
            x, visible = x[mask_rows], visible[mask_rows]
            first = None if first is None else first[mask_rows]
        masks = self.transformer.norm(self._run(layers[-1], x, visible, slice(1, 1 + self.tokens), first))
        return RowOutput(class_logit, self.mask_head(masks))

    def _sequence(
        self, visual: Tensor, row_volume: Tensor, prompts: Sequence[str]
    ) -> tuple[list[Part], Bool[Tensor, "R L"]]:
        """The embedded parts of every row's sequence, and which positions are no padding."""
        embeddings, tokens = self.transformer.embeddings, self.tokens
        read = self.reader.read(prompts, visual.device)
        words = embeddings.word(read.ids)
        if self.config.positions == "twice":
            words = self._dropout(embeddings(words, 0))
        start: Part = (embeddings(self.start, 0), None)
        if self.config.fusion.prompt_start:
            start = (
                embeddings(self._prompted(visual, row_volume, words, read.visible, read.of_row), 0),
                _all(row_volume),
            )
        parts: list[Part] = [
            start,
            (embeddings(visual[:, :tokens], 1), row_volume),
            (embeddings(self.separator, 1 + tokens), None),
            (embeddings(words, 2 + tokens), read.of_row),
        ]
        before = read.visible.new_ones(len(prompts), 2 + tokens)
        return parts, torch.cat([before, read.visible[read.of_row]], dim=1)

    def _prompted(
        self, visual: Tensor, row_volume: Tensor, words: Tensor, visible: Tensor, of_row: Tensor
    ) -> Float[Tensor, "R 1 H"]:
        """[CLS] that starts with the volume's summary, gated by the prompt's words."""
        weight = visible.to(words.dtype)
        sentence = (words * weight[..., None]).sum(1) / weight.sum(1, keepdim=True).sqrt()
        return self.start + (self.gate(sentence)[of_row] * visual[:, -1][row_volume])[:, None]

    def _joined(self, parts: list[Part], rows: int) -> tuple[Float[Tensor, "R L H"], Tensor | None]:
        """The rows' sequences and, where no dropout makes rows of a volume differ, the first layer's projections."""
        x = self._dropout(_join(parts, rows))
        if self.training and self.transformer.shape.dropout:
            return x, None
        first = self.transformer.layers[0]
        assert isinstance(first, Layer)
        return x, _join([(first.project(vectors), index) for vectors, index in parts], rows)

    def _run(self, layer: nn.Module, x: Tensor, visible: Tensor, at: slice | None, projected: Tensor | None) -> Tensor:
        if self.config.gradient_checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(layer, x, visible, at, projected, use_reentrant=False)  # pyright: ignore[reportReturnType]
        return layer(x, visible, at, projected)

    def _dropout(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, self.transformer.shape.dropout, self.training)

    def _draw(self) -> None:
        """Draw what no pretrained model gives; [CLS] and [SEP] at the word embeddings' own spread."""
        spread = float(self.transformer.embeddings.word.weight.detach().std())
        for vector in (self.start, self.separator, *getattr(self, "axes", ())):
            nn.init.normal_(vector, std=spread)
        for head in (self.class_head, self.mask_head):
            nn.init.normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)

    def _freeze(self) -> None:
        if self.config.text_frozen:
            self.transformer.requires_grad_(False)
        if self.config.text.freeze_words:
            self.transformer.embeddings.word.requires_grad_(False)


def build_uniferum(
    config: ModelConfig, model_shape: tuple[int, int, int], labels: Sequence[str], weights_dir: Path | None
) -> Uniferum:
    """The paper's model with pretrained parts; ``labels`` play no role (prompts do)."""
    text = build_text(config.text, weights_dir)
    encoder = build_encoder(config.encoder, weights_dir, gradient_checkpointing=config.gradient_checkpointing)
    return Uniferum(config, model_shape, encoder, text)


class TokenBatchNorm(nn.BatchNorm1d):
    """Batch norm of each token's each channel, over volumes."""

    def forward(self, input: Float[Tensor, "V N C"]) -> Float[Tensor, "V N C"]:
        """Normalise; a training batch needs at least two volumes."""
        assert not self.training or len(input) > 1, "fusion.visual_norm: batch needs two volumes a micro-batch"
        return super().forward(input.flatten(1)).view_as(input)


def _visual_norm(config: ModelConfig, tokens: int, channels: int) -> nn.Module:
    kind = config.fusion.visual_norm
    if kind == "batch":
        return TokenBatchNorm(tokens * channels)
    return nn.LayerNorm(channels) if kind == "layer" else nn.Identity()


def _join(parts: list[Part], rows: int) -> Tensor:
    return torch.cat([v.expand(rows, -1, -1) if i is None else v.index_select(0, i) for v, i in parts], dim=1)


def _all(row_volume: Tensor) -> Tensor:
    return torch.arange(len(row_volume), device=row_volume.device)


def _refuse_long(length: int, positions: int, config: ModelConfig) -> None:
    if length > positions:
        raise UniferumError(
            "model: the sequence of visual tokens and a prompt of text.max_tokens",
            f"{length} positions",
            must=f"fit into the {positions} of {config.text.name}",
            cure="raise model.encoder.stride, or lower text.max_tokens",
        )
