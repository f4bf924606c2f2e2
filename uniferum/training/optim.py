"""AdamW with warm-up, then a linear decay (paper 3.6) or a plateau schedule (the CNN baseline, paper 4).

The learning rate of a step is a pure function of the step and of the validation history, so a resumed run has it
without any hidden state.
"""

from collections.abc import Sequence

import torch
from torch import nn

from uniferum.errors import UniferumError
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

    A group's ``rate`` is its multiple of ``optim.lr``.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    parts = [(trainable, 1.0)]
    if config.encoder_lr is not None:
        of_encoder = _of_encoder(model)
        rest = [p for p in trainable if id(p) not in of_encoder]
        encoder = [p for p in trainable if id(p) in of_encoder]
        parts = [(rest, 1.0), (encoder, config.encoder_lr / config.lr)]
    groups = [
        {"params": [p for p in part if (p.ndim > 1) == matrices], "weight_decay": decay, "rate": rate}
        for part, rate in parts
        for matrices, decay in ((True, config.weight_decay), (False, 0.0))
    ]
    fused = all(p.dtype == torch.float32 for p in trainable)
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=config.lr, fused=fused)


def _of_encoder(model: nn.Module) -> set[int]:
    """Identities of the vision encoder's parameters.

    Raises:
        UniferumError: the model has no part of that name.
    """
    encoder = getattr(model, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise UniferumError(
            "optim.encoder_lr", must="be null for a model without a vision encoder of ours", cure="set optim.lr alone"
        )
    return {id(p) for p in encoder.parameters()}
