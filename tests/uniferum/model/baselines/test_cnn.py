"""The CNN baseline of paper section 4."""

from typing import cast

import torch
from torch import nn

from tests.support.small_models import LABELS, PROMPTS, small_model, volumes
from uniferum.data.loading.targets import TargetGrid
from uniferum.model.baselines.cnn import Cnn


def test_each_row_gets_the_logit_of_its_label_and_unknown_ones_nan_without_gradient() -> None:
    model = cast(Cnn, small_model(kind="cnn")).eval()
    visual = model.encode(volumes())
    rows = torch.tensor([1, 0, 1])
    output = model.read(visual, rows, list(PROMPTS), ["atelectasis", "heart", "emphysema"])
    logits = model.head(visual)
    torch.testing.assert_close(output.class_logit[[0, 2]], torch.stack([logits[1, 2], logits[1, 0]]))
    assert torch.isnan(output.class_logit[1])
    assert output.mask_logit is None
    output.class_logit[[0, 2]].sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_rows_without_any_known_label_are_all_nan() -> None:
    model = small_model(kind="cnn").eval()
    output = model.read(model.encode(volumes()), torch.tensor([0]), ["Segment the heart"], ["heart"])
    assert torch.isnan(output.class_logit).all()


def test_the_head_is_two_dropouts_with_a_relu_between_and_one_output_a_label() -> None:
    head = cast(Cnn, small_model(kind="cnn", head={"dropout": 0.3, "hidden": 8})).head
    kinds = [type(part) for part in head]
    assert kinds == [nn.Dropout, nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    assert head[0].p == head[3].p == 0.3
    assert head[4].out_features == len(LABELS)


def test_a_cnn_fits_the_batches_of_any_geometry() -> None:
    model = small_model(kind="cnn", encoder={"stride": 16})
    grid = TargetGrid.of((24, 16, 8), model.tokens_shape, model.patch)
    assert grid.patches == 6
