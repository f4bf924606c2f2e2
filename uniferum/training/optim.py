"""AdamW with warm-up, then a linear decay (paper 3.6) or a plateau schedule (the CNN baseline, paper 4).

The learning rate of a step is a pure function of the step and of the validation history, so a resumed run has it
without any hidden state.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from uniferum.config import Section


class OptimConfig(Section):
    """Optimizer, schedule and the weights of the two losses.

    Sources: warm-up of 25 steps, AdamW, linear decay, focal loss times 10: paper 3.2 and 3.6. Learning rate 5e-5,
    weight decay 1e-4, focal alpha 0.25 and gamma 2: the paper's released code. Plateau factor and patience: PyTorch's
    and this project's choice (the paper states none).
    """

    lr: float = Field(5e-5, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    warmup_steps: int = Field(25, ge=0)
    schedule: Literal["linear", "plateau", "constant"] = "linear"
    plateau_factor: float = Field(0.1, gt=0, lt=1)
    plateau_patience: int = Field(2, ge=0)
    clip_norm: float | None = Field(None, gt=0)
    segmentation_weight: float = Field(10.0, ge=0)
    focal_alpha: float = Field(0.25, ge=0, le=1)
    focal_gamma: float = Field(2.0, ge=0)


def learning_rate(config: OptimConfig, step: int, steps: int, history: Sequence[float] = ()) -> float:
    """The learning rate of optimizer step ``step`` (from 0) of ``steps``; never zero, so that no step is wasted.

    Args:
        config: the schedule.
        step: steps done so far.
        steps: steps in all.
        history: selection metrics of the validations so far, higher is better; read by ``plateau`` only.
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    if config.schedule == "linear":
        return config.lr * max(0.0, (steps - step) / max(1, steps - config.warmup_steps))
    if config.schedule == "plateau":
        return config.lr * config.plateau_factor ** plateaus(history, config.plateau_patience)
    return config.lr


def plateaus(history: Sequence[float], patience: int) -> int:
    """How often more than ``patience`` validations in a row brought no new best, as ReduceLROnPlateau counts."""
    best, waiting, count = float("-inf"), 0, 0
    for value in history:
        if value > best:
            best, waiting = value, 0
        else:
            waiting += 1
        if waiting > patience:
            count, waiting = count + 1, 0
    return count


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW over the trainable parameters; biases and norms (one dimension or fewer) are not decayed.

    The exemption is what the trainer of the paper's released code does by default.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = all(p.dtype == torch.float32 for p in trainable)
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=config.lr, fused=fused)
