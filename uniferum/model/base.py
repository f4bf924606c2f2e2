"""What training and prediction know of a model: volumes are encoded once, then read once a row.

A row is one (volume, prompt) pair. Rows that share a volume share its encoding (``row_volume`` points into it).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor, nn


@dataclass(frozen=True)
class RowOutput:
    """Logits of R rows."""

    class_logit: Float[Tensor, " R"]
    """One logit a row: is the answer yes. NaN where the model has no such output (a CNN asked for an unknown label)."""
    mask_logit: Float[Tensor, "S P U"] | None
    """P patches of U = patch**3 mask voxels for each wanted row; tokens, and voxels in a patch, in x, y, z raster order
    (z fastest). None: the model predicts no masks."""


class Model(nn.Module, ABC):
    """A compared system; an interface, without behaviour of its own."""

    tokens_shape: tuple[int, int, int]
    """Visual tokens along x, y, z; P is their product."""
    patch: int
    """u: mask voxels a side of one visual token."""

    @abstractmethod
    def encode(self, volume: Float[Tensor, "V 1 X Y Z"]) -> Tensor:
        """Encode V volumes of intensities HU / 2000 + 0.5; the first axis of the result is V."""

    @abstractmethod
    def read(
        self,
        visual: Tensor,
        row_volume: Int[Tensor, " R"],
        prompts: Sequence[str],
        labels: Sequence[str],
        mask_rows: Int[Tensor, " S"] | None = None,
    ) -> RowOutput:
        """Answer R prompts, each of the volume that ``row_volume`` names.

        Args:
            visual: what :meth:`encode` gave.
            row_volume: index of each row's volume in ``visual``.
            prompts: one task description a row.
            labels: the label or structure id of each row, for models with one output a label.
            mask_rows: the rows whose mask is wanted: ``mask_logit`` has one entry for each, in that order. None: all
                rows. An empty tensor: none, and ``mask_logit`` has no rows.
        """
