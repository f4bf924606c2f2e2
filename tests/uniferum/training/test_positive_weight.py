"""Weights of positive labels: the ratio of negative to positive rows, as a factor of the positive rows' loss."""

import math

import pandas as pd
import pytest
import torch

from uniferum.data.row_counts import positive_weights
from uniferum.training.config import OptimConfig
from uniferum.training.loss import row_losses


def test_the_weight_of_a_label_is_its_negatives_over_its_positives() -> None:
    table = pd.DataFrame(
        {
            "label": ["a", "a", "a", "a", "b", "b", "only", "heart"],
            "target": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, math.nan],
        }
    )
    assert positive_weights(table) == {"a": 3.0, "b": 1.0}


def test_a_positive_row_counts_by_its_weight_and_a_negative_row_as_before() -> None:
    logit, target = torch.tensor([0.5, 0.5, -1.0, 2.0]), torch.tensor([1.0, 0.0, math.nan, 1.0])
    no_masks = torch.zeros(0, 1, 1)
    plain, weighted = (
        row_losses(logit, None, target, no_masks, OptimConfig(), weight)
        for weight in (None, torch.tensor([3.0, 3.0, 3.0, 1.0]))
    )
    assert (weighted.total - plain.total).item() == pytest.approx(2 * math.log1p(math.exp(-0.5)), abs=1e-6)
    ones = row_losses(logit, None, target, no_masks, OptimConfig(), torch.ones(4))
    assert torch.equal(ones.total, plain.total)
