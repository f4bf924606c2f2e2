"""The loss of a row, against torchvision, MONAI and by hand."""

import math

import pytest
import torch
from monai.losses.focal_loss import sigmoid_focal_loss as monai_focal_loss
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import sigmoid_focal_loss

from uniferum.training.config import OptimConfig
from uniferum.training.loss import focal_loss, row_losses

NAN = math.nan


def test_focal_loss_is_torchvisions_and_monais() -> None:
    torch.manual_seed(0)
    logit = torch.randn(5, 7, 64) * 4
    target = (torch.rand(5, 7, 64) < 0.2).float()
    ours = focal_loss(logit, target, alpha=0.25, gamma=2.0)
    theirs = sigmoid_focal_loss(logit, target, alpha=0.25, gamma=2.0, reduction="none")
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert torch.allclose(ours, monai_focal_loss(logit, target, alpha=0.25, gamma=2.0), atol=1e-6)


def test_focal_loss_of_one_voxel_by_hand() -> None:
    logit, p = torch.tensor([math.log(0.8 / 0.2)]), 0.8
    positive = focal_loss(logit, torch.tensor([1.0]), alpha=0.25, gamma=2.0).item()
    negative = focal_loss(logit, torch.tensor([0.0]), alpha=0.25, gamma=2.0).item()
    assert positive == pytest.approx(0.25 * (1 - p) ** 2 * -math.log(p), rel=1e-5)
    assert negative == pytest.approx(0.75 * p**2 * -math.log(1 - p), rel=1e-5)


def mixed_rows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    class_logit = torch.randn(4, requires_grad=True)
    mask_logit = torch.randn(2, 3, 8, requires_grad=True)
    label_target = torch.tensor([1.0, NAN, 0.0, NAN])
    mask_target = (torch.rand(2, 3, 8) < 0.5).float()
    return class_logit, mask_logit, label_target, mask_target


def test_a_steps_loss_is_the_sum_over_rows_with_masks_weighted_tenfold() -> None:
    class_logit, mask_logit, label_target, mask_target = mixed_rows()
    losses = row_losses(class_logit, mask_logit, label_target, mask_target, OptimConfig())
    bce = binary_cross_entropy_with_logits(class_logit[[0, 2]], torch.tensor([1.0, 0.0]), reduction="sum")
    focal = sum(sigmoid_focal_loss(mask_logit[i], mask_target[i], 0.25, 2.0, reduction="mean") for i in range(2))
    assert torch.allclose(losses.total, bce + 10 * focal)
    assert (losses.classification_rows, losses.segmentation_rows, losses.rows) == (2, 2, 4)


def test_segmentation_rows_give_the_class_head_no_gradient_and_the_other_way_round() -> None:
    class_logit, mask_logit, label_target, mask_target = mixed_rows()
    row_losses(class_logit, mask_logit, label_target, mask_target, OptimConfig()).total.backward()
    assert class_logit.grad is not None
    assert mask_logit.grad is not None
    assert class_logit.grad[[1, 3]].tolist() == [0.0, 0.0]
    assert (class_logit.grad[[0, 2]] != 0).all()
    only_labels = torch.randn(2, 3, 8, requires_grad=True)
    row_losses(class_logit, only_labels[:0], label_target, mask_target[:0], OptimConfig()).total.backward()
    assert only_labels.grad is None or not only_labels.grad.any()


def test_unknown_targets_give_no_loss_even_where_the_logit_is_undefined() -> None:
    class_logit = torch.tensor([0.3, NAN], requires_grad=True)
    losses = row_losses(class_logit, None, torch.tensor([1.0, NAN]), torch.zeros(0, 3, 8), OptimConfig())
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert losses.rows == 1
    assert class_logit.grad is not None
    assert class_logit.grad[1].item() == 0.0


def test_rows_without_any_target_give_a_zero_loss() -> None:
    losses = row_losses(torch.randn(2), None, torch.tensor([NAN, NAN]), torch.zeros(0, 3, 8), OptimConfig())
    assert losses.total.item() == 0.0
    assert losses.rows == 0
