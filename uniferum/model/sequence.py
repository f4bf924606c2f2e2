"""Build the transformer's input sequences, with options that help small models.

The paper's model (3.2) needs only :func:`join`. ``TokenBatchNorm`` and ``GatedSummary`` are options (``fusion.*``) with
which a small model with random text weights learns in tens of steps; the paper's configs do not use them.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from uniferum.errors import UniferumError
from uniferum.model.config import ModelConfig

Part = tuple[Tensor, Tensor | None]
"""Vectors (B, n, H) and the index of each row's vectors in B; None: B is 1 and all rows share it."""


def join(parts: list[Part], rows: int) -> Float[Tensor, "R L H"]:
    """Concatenate the parts to one sequence per row."""
    return torch.cat(
        [vectors.expand(rows, -1, -1) if index is None else vectors.index_select(0, index) for vectors, index in parts],
        dim=1,
    )


class TokenBatchNorm(nn.BatchNorm1d):
    """Batch norm over volumes, separately for each token and channel."""

    def forward(self, input: Float[Tensor, "V N C"]) -> Float[Tensor, "V N C"]:
        """Normalise the features.

        Raises:
            UniferumError: a training micro-batch has one volume, so no variance.
        """
        if self.training and len(input) < 2:
            raise UniferumError(
                "model.fusion.visual_norm",
                "batch",
                must="get at least 2 volumes per micro-batch",
                cure="raise training.micro_batch above data.tasks_per_volume, or micro_batch_volumes, or use 'layer'",
            )
        return super().forward(input.flatten(1)).view_as(input)


def visual_norm(config: ModelConfig, tokens: int, channels: int) -> nn.Module:
    """Build the normalisation layer that ``fusion.visual_norm`` names."""
    kind = config.fusion.visual_norm
    if kind == "batch":
        return TokenBatchNorm(tokens * channels)
    return nn.LayerNorm(channels) if kind == "layer" else nn.Identity()


class GatedSummary(nn.Module):
    """A linear summary of all tokens of a volume; the words of the prompt give a gate for each component."""

    def __init__(self, tokens: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.summary = nn.Linear(tokens * channels, hidden)
        self.gate = nn.Linear(hidden, hidden)
        nn.init.normal_(self.summary.weight, std=(tokens * channels) ** -0.5)
        nn.init.normal_(self.gate.weight, std=hidden**-0.5)

    def forward(self, features: Float[Tensor, "V N C"]) -> Float[Tensor, "V 1 H"]:
        """Summarise each volume, independent of the prompt."""
        return self.summary(features.flatten(1))[:, None]

    def gated(
        self,
        summary: Float[Tensor, "V H"],
        row_volume: Int[Tensor, " R"],
        words: Float[Tensor, "U T H"],
        visible: Bool[Tensor, "U T"],
        of_row: Int[Tensor, " R"],
    ) -> Float[Tensor, "R H"]:
        """Multiply each row's summary by the gate of its prompt, computed from the normalised sum of its words."""
        sentence = (words * visible[..., None].to(words.dtype)).sum(1)
        gate = self.gate(F.layer_norm(sentence, sentence.shape[-1:]))
        return gate[of_row] * summary[row_volume]

    @staticmethod
    def logit(gated: Float[Tensor, "R H"]) -> Float[Tensor, " R"]:
        """Sum the gated summary to a logit; the scale keeps initial logits near 0.5."""
        return gated.sum(1) / (2 * gated.shape[1] ** 0.5)
