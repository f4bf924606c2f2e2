"""The loss of a row: binary cross-entropy of a label, or 10 x the mean focal loss of a mask (paper 3.2).

Sums over rows are returned with their counts, so that the mean over a step does not depend on its split into
micro-batches and workers. A row without a known target has no loss.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from uniferum.training.config import OptimConfig


@dataclass(frozen=True)
class LossSums:
    """Sums over the rows of one micro-batch; divide by the counts of the whole step for means."""

    total: Float[Tensor, ""]
    """Sum over rows of the weighted loss, with its autograd graph."""
    classification: Float[Tensor, ""]
    segmentation: Float[Tensor, ""]
    """Unweighted sums by kind, without autograd graph."""
    classification_rows: int
    segmentation_rows: int
    report_rows: int = 0
    """Pairs of volume and report, whose loss is in ``total`` only."""

    @property
    def rows(self) -> int:
        """Number of rows with a loss."""
        return self.classification_rows + self.segmentation_rows + self.report_rows


def focal_loss(
    logit: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, alpha: float, gamma: float
) -> Float[Tensor, "*shape"]:
    """Compute the focal loss of each element (Lin et al. 2017, equation 5); ``alpha`` is the weight of positives.

    MONAI's equals it for targets of 0 and 1 only within rounding (a quarter of the elements to the last digit, with a
    slower backward pass), and not for the fractions of ``augmentation.masks: linear``; a test compares the two.
    """
    cross_entropy = functional.binary_cross_entropy_with_logits(logit, target, reduction="none")
    probability = torch.sigmoid(logit)
    missed = probability + target - 2 * probability * target
    weight = (1 - alpha) + (2 * alpha - 1) * target
    return weight * missed**gamma * cross_entropy


def row_losses(
    class_logit: Float[Tensor, " R"],
    mask_logit: Float[Tensor, "S P U"] | None,
    label_target: Float[Tensor, " R"],
    mask_target: Float[Tensor, "S P U"],
    config: OptimConfig,
    positive_weight: Float[Tensor, " R"] | None = None,
) -> LossSums:
    """Sum the losses of one micro-batch.

    Args:
        class_logit: one logit per row; used only where ``label_target`` is known.
        mask_logit: logits of the S rows that have a mask, in the order of ``mask_target``; None for models without.
        label_target: 0 or 1, NaN if the row has no known label.
        mask_target: mask patches in [0, 1].
        config: focal parameters and the weight of segmentation.
        positive_weight: factor of each row's loss if its label is positive; None: 1 for all rows.
    """
    known = ~torch.isnan(label_target)
    classification = functional.binary_cross_entropy_with_logits(
        class_logit[known].float(),
        label_target[known],
        reduction="sum",
        pos_weight=None if positive_weight is None else positive_weight[known],
    )
    segmentation = classification.new_zeros(())
    masks = 0
    if mask_logit is not None and len(mask_target):
        focal = focal_loss(mask_logit.float(), mask_target.float(), alpha=config.focal_alpha, gamma=config.focal_gamma)
        segmentation, masks = focal.flatten(1).mean(1).sum(), len(mask_target)
    return LossSums(
        total=classification + config.segmentation_weight * segmentation,
        classification=classification.detach(),
        segmentation=segmentation.detach(),
        classification_rows=int(known.sum()),
        segmentation_rows=masks,
    )


def report_losses(loss: Float[Tensor, ""], rows: int) -> LossSums:
    """Sum the losses of one micro-batch of ``rows`` pairs of volume and report, from their mean."""
    none = loss.detach().new_zeros(())
    return LossSums(
        total=loss.float() * rows,
        classification=none,
        segmentation=none,
        classification_rows=0,
        segmentation_rows=0,
        report_rows=rows,
    )
