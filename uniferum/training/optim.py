"""AdamW with warm-up, then linear decay (paper 3.6) or a plateau schedule (CNN baseline, paper 4).

The learning rate is a pure function of the step and the validation history, so a resumed run needs no scheduler state.
"""

from collections.abc import Sequence

import torch
from torch import nn

from uniferum.errors import UniferumError
from uniferum.training.config import OptimConfig


def learning_rate(config: OptimConfig, step: int, steps: int, history: Sequence[float] = ()) -> float:
    """Return the learning rate of optimizer step ``step`` (from 0) of ``steps``; it is never zero.

    Args:
        config: the schedule.
        step: number of completed steps.
        steps: total number of steps.
        history: selection metrics of the validations so far, higher is better; used by ``plateau`` only.
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    if config.schedule == "linear":
        return config.lr * max(0.0, (steps - step) / max(1, steps - config.warmup_steps))
    if config.schedule == "plateau":
        return config.lr * config.plateau_factor ** plateaus(history, config.plateau_patience)
    return config.lr


def plateaus(history: Sequence[float], patience: int) -> int:
    """Count how often more than ``patience`` validations in a row had no new best, like ReduceLROnPlateau."""
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
    """Build AdamW over the trainable parameters, without weight decay for biases and norms (fewer than two dimensions).

    The Hugging Face Trainer of the released code also excludes biases and layer norms, but decays the scales of timm's
    batch norms, whose names do not contain "norm": by 0.006 % over the paper's whole training.

    The ``rate`` of a parameter group is the factor of its learning rate.
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
    # A frozen model has no group with parameters, and AdamW refuses to have no group at all.
    return torch.optim.AdamW([g for g in groups if g["params"]] or groups[:1], lr=config.lr, fused=fused)


def _of_encoder(model: nn.Module) -> set[int]:
    """Return the ids of the vision encoder's parameters.

    Raises:
        UniferumError: the model has no vision encoder.
    """
    encoder = getattr(model, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise UniferumError(
            "optim.encoder_lr",
            must="be null for a model without this project's vision encoder",
            cure="set optim.lr alone",
        )
    return {id(p) for p in encoder.parameters()}
