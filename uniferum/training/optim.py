"""AdamW with warm-up, then a linear decay (paper 3.6) or a plateau schedule (the CNN baseline, paper 4).

The learning rate of a step is a pure function of the step and of the validation history, so a resumed run has it
without any hidden state.
"""

from collections.abc import Sequence

import torch
from torch import nn

from uniferum.training.config import OptimConfig


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

    The Hugging Face Trainer of the released code exempts biases and layer norms, but decays the scales of timm's batch
    norms, whose names hold no "norm": by 0.006 % over the paper's whole training.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = all(p.dtype == torch.float32 for p in trainable)
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=config.lr, fused=fused)
