"""What the systems with one output per label share: they read no prompt and predict no mask."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from uniferum.model.base import Model, RowOutput


class LabelReader:
    """Select each row's logit from the logits of all labels."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.columns = {label: index for index, label in enumerate(labels)}

    def pick(self, logits: Float[Tensor, "V K"], row_volume: Tensor, labels: Sequence[str]) -> Float[Tensor, " R"]:
        """Return the rows' logits; NaN without gradient for a label that the model does not have."""
        known = [index for index, label in enumerate(labels) if label in self.columns]
        picked = logits.new_full((len(labels),), float("nan"))
        if not known:
            return picked
        rows = torch.tensor(known, device=logits.device)
        columns = torch.tensor([self.columns[labels[index]] for index in known], device=logits.device)
        return picked.index_put((rows,), logits[row_volume[rows], columns])


def no_mask_grid(model_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return a token grid for models without masks: the largest cubes that fill the input."""
    x, y, z = (side // math.gcd(*model_shape) for side in model_shape)
    return x, y, z


class LabelHeads(Model):
    """A model whose head gives one logit per label; ``encode`` gives a vector of F features per volume."""

    labels: LabelReader
    head: nn.Module

    def read(
        self,
        visual: Float[Tensor, "V F"],
        row_volume: Int[Tensor, " R"],
        prompts: Sequence[str],
        labels: Sequence[str],
        mask_rows: Int[Tensor, " S"] | None = None,
    ) -> RowOutput:
        """Return each row's logit by its label id; prompts are ignored, and there are no masks."""
        return RowOutput(self.labels.pick(self.head(visual), row_volume, labels), None)
