"""The interface of a model: encode each volume once, then read it once per row.

A row is one (volume, prompt) pair. Rows of the same volume share its encoding; ``row_volume`` is the index of their
volume. Training and evaluation call :meth:`Model.encode` and :meth:`Model.read`; :meth:`Model.forward` and
:meth:`Model.predict` ask every prompt about every volume.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from uniferum.data.vocabulary import Vocabulary


@dataclass(frozen=True)
class RowOutput:
    """Logits of R rows."""

    class_logit: Float[Tensor, " R"]
    """One logit per row: is the answer yes. NaN if the model has no such output (a CNN asked for an unknown
    label)."""
    mask_logit: Float[Tensor, "S P U"] | None
    """P patches of U = patch**3 mask voxels for each requested row; tokens, and voxels in a patch, in x, y, z raster
    order (z fastest). None: the model predicts no masks."""


@dataclass(frozen=True)
class Prediction:
    """Probabilities of Q prompts about each of V volumes."""

    probability: Float[Tensor, "V Q"]
    """The probability that the answer is yes, not calibrated; NaN if the model has no such output."""
    mask: Float[Tensor, "V Q X Y Z"] | None
    """The probability of each mask voxel, on the model's mask grid (``tokens_shape`` times ``patch`` voxels). None: no
    masks were requested, or the model predicts none."""


@runtime_checkable
class ReportModel(Protocol):
    """A model that is trained on pairs of volume and report instead of labels."""

    def report_loss(self, visual: Tensor, row_volume: Int[Tensor, " R"], reports: Sequence[str]) -> Float[Tensor, ""]:
        """Return the mean loss of R pairs; ``visual`` is the result of ``encode``."""
        ...


class Model(nn.Module, ABC):
    """A compared system."""

    tokens_shape: tuple[int, int, int]
    """Visual tokens along x, y, z; P is their product."""
    patch: int
    """u: mask voxels per side of one visual token."""

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
        """Answer R prompts, each about the volume that ``row_volume`` names.

        Args:
            visual: the result of :meth:`encode`.
            row_volume: index of each row's volume in ``visual``.
            prompts: one task description per row.
            labels: the label or structure id of each row, for models with one output per label.
            mask_rows: the rows whose masks are requested: ``mask_logit`` has one entry for each, in that order. None:
                all rows. An empty tensor: none, and ``mask_logit`` has no rows.
        """

    def forward(
        self, volume: Float[Tensor, "V 1 X Y Z"], prompts: Sequence[str], labels: Sequence[str] | None = None
    ) -> Float[Tensor, "V Q"]:
        """Return the class logit of every prompt about every volume.

        Args:
            volume: intensities HU / 2000 + 0.5.
            prompts: task descriptions.
            labels: the label id of each prompt, for models with one output per label. None: the label of the vocabulary
                that has this prompt, if there is one.
        """
        return self._answer(volume, prompts, labels, masks=False).class_logit.unflatten(0, (len(volume), len(prompts)))

    @torch.inference_mode()
    def predict(
        self,
        volume: Float[Tensor, "V 1 X Y Z"],
        prompts: Sequence[str],
        labels: Sequence[str] | None = None,
        *,
        masks: bool = False,
    ) -> Prediction:
        """Return probabilities for every prompt about every volume, in evaluation mode and without gradients.

        Args:
            volume: intensities HU / 2000 + 0.5, on any device.
            prompts: task descriptions.
            labels: as in :meth:`forward`.
            masks: also return masks, from a model that predicts them.

        Examples:
            >>> import torch, uniferum
            >>> model = uniferum.from_pretrained(folder)
            >>> volume = torch.rand(2, 1, 24, 16, 8)  # intensities HU / 2000 + 0.5
            >>> prompts = ["Diagnose the presence of emphysema in the lungs", "Segment the heart in the image."]
            >>> found = model.predict(volume, prompts, masks=True)
            >>> found.probability.shape, found.mask.shape
            (torch.Size([2, 2]), torch.Size([2, 2, 6, 4, 2]))
        """
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            device = next(self.parameters()).device
            output = self._answer(volume.to(device), prompts, labels, masks=masks)
        finally:
            for module, mode in modes:
                module.training = mode
        count = (len(volume), len(prompts))
        mask = None if output.mask_logit is None or not masks else self._on_mask_grid(output.mask_logit, count)
        return Prediction(output.class_logit.unflatten(0, count).sigmoid(), mask)

    def _answer(
        self, volume: Tensor, prompts: Sequence[str], labels: Sequence[str] | None, *, masks: bool
    ) -> RowOutput:
        """Encode the volumes and read one row for each volume and prompt, volume by volume."""
        labels = labels_of(prompts) if labels is None else labels
        count = len(volume)
        row_volume = torch.arange(count, device=volume.device).repeat_interleave(len(prompts))
        wanted = None if masks else row_volume.new_zeros(0)
        return self.read(self.encode(volume), row_volume, [*prompts] * count, [*labels] * count, wanted)

    def _on_mask_grid(self, logit: Float[Tensor, "R P U"], count: tuple[int, int]) -> Float[Tensor, "V Q X Y Z"]:
        """Put the patches of each row together and return probabilities."""
        (x, y, z), u = self.tokens_shape, self.patch
        cut = logit.sigmoid().reshape(*count, x, y, z, u, u, u).permute(0, 1, 2, 5, 3, 6, 4, 7)
        return cut.reshape(*count, x * u, y * u, z * u)


def labels_of(prompts: Sequence[str]) -> list[str]:
    """The vocabulary's label id of each prompt; empty for a prompt that is not in the vocabulary."""
    known = {label.prompt: label.id for label in Vocabulary.load().labels.values()}
    return [known.get(prompt, "") for prompt in prompts]
