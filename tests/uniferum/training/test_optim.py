"""The schedules, against PyTorch's and transformers' own."""

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from transformers import get_linear_schedule_with_warmup

from uniferum.errors import UniferumError
from uniferum.training.config import OptimConfig
from uniferum.training.optim import build_optimizer, learning_rate


def test_linear_decay_is_transformers_schedule_but_for_the_wasted_first_step() -> None:
    config, steps = OptimConfig(lr=1.0), 100
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = get_linear_schedule_with_warmup(optimizer, 25, steps)
    theirs = []
    for _ in range(steps):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    ours = [learning_rate(config, step, steps) for step in range(steps)]
    assert theirs[0] == 0.0
    assert ours[:24] == pytest.approx(theirs[1:25])
    assert ours[25:] == pytest.approx(theirs[25:])
    assert min(ours) > 0


@pytest.mark.parametrize("patience", [0, 1, 2])
def test_plateau_lowers_the_rate_when_pytorchs_scheduler_does(patience: int) -> None:
    config = OptimConfig(lr=1.0, schedule="plateau", warmup_steps=0, plateau_patience=patience, plateau_factor=0.1)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = ReduceLROnPlateau(optimizer, mode="max", factor=0.1, patience=patience, threshold=0.0)
    history: list[float] = []
    for value in (0.5, 0.6, 0.55, 0.58, 0.59, 0.6, 0.7, 0.69, 0.68, 0.67, 0.66, 0.71):
        theirs.step(value)
        history.append(value)
        assert learning_rate(config, 10, 100, history) == pytest.approx(optimizer.param_groups[0]["lr"])


def test_a_constant_schedule_warms_up_and_stays() -> None:
    config = OptimConfig(lr=2.0, schedule="constant", warmup_steps=4)
    assert [learning_rate(config, step, 10) for step in range(6)] == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def test_biases_and_norms_are_not_decayed_and_frozen_weights_not_trained() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1))
    model[2].weight.requires_grad_(False)
    groups = build_optimizer(model, OptimConfig(weight_decay=0.3)).param_groups
    decayed = {id(p) for group in groups if group["weight_decay"] == 0.3 for p in group["params"]}
    kept = {id(p) for group in groups if group["weight_decay"] == 0.0 for p in group["params"]}
    assert decayed == {id(model[0].weight)}
    assert kept == {id(model[0].bias), id(model[1].weight), id(model[1].bias), id(model[2].bias)}


class _WithEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.rest = nn.Linear(2, 2), nn.Linear(2, 2)


def test_the_encoder_can_have_a_rate_of_its_own_with_the_same_schedule() -> None:
    model = _WithEncoder()
    groups = build_optimizer(model, OptimConfig(lr=1e-3, encoder_lr=1e-4)).param_groups
    rates = {id(p): group["rate"] for group in groups for p in group["params"]}
    assert [rates[id(p)] for p in model.encoder.parameters()] == pytest.approx([0.1, 0.1])
    assert [rates[id(p)] for p in model.rest.parameters()] == [1.0, 1.0]
    assert len(rates) == 4


def test_without_it_all_weights_have_one_rate_in_two_groups() -> None:
    groups = build_optimizer(_WithEncoder(), OptimConfig()).param_groups
    assert [group["rate"] for group in groups] == [1.0, 1.0]


def test_a_rate_for_an_encoder_that_is_not_there_is_refused() -> None:
    with pytest.raises(UniferumError, match=r"optim\.encoder_lr"):
        build_optimizer(nn.Linear(2, 2), OptimConfig(encoder_lr=1e-4))
