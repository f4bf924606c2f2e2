"""One optimizer step: this worker's micro-batches forward and backward, then one update of the whole step's gradient.

The random state of a micro-batch (dropout, stochastic depth) is a function of (seed, step, micro-batch), so it depends
neither on the worker that computes it nor on what ran before.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from uniferum.data.loading.batch import Batch
from uniferum.model.base import Model
from uniferum.training.batchnorm import RunningStatistics
from uniferum.training.config import OptimConfig
from uniferum.training.loss import LossSums, row_losses
from uniferum.training.parallel import Workers
from uniferum.training.precision import Compute
from uniferum.training.state import random_seed


@dataclass(frozen=True)
class StepReport:
    """Means over all rows of a step, over all workers."""

    loss: float
    classification: float
    segmentation: float
    rows: int
    gradient_norm: float

    @property
    def finite(self) -> bool:
        """Whether the update may be applied; a step without any target has no loss, and nothing wrong with it."""
        return (not self.rows or math.isfinite(self.loss)) and math.isfinite(self.gradient_norm)

    def values(self) -> dict[str, float]:
        """For reporters; a kind without rows is left out."""
        named = {
            "loss": self.loss,
            "loss/classification": self.classification,
            "loss/segmentation": self.segmentation,
            "gradient_norm": self.gradient_norm,
            "rows": float(self.rows),
        }
        return {name: value for name, value in named.items() if not math.isnan(value)}


@dataclass
class Stepper:
    """What a step needs; holds no state of a training beyond model and optimizer."""

    model: Model
    optimizer: torch.optim.Optimizer
    config: OptimConfig
    compute: Compute
    workers: Workers
    seed: int
    batch: int
    """Rows of a full step; gradients are scaled by it while they are summed."""
    micro_batches: int
    trainable: list[nn.Parameter] = field(init=False)
    statistics: RunningStatistics = field(init=False)

    def __post_init__(self) -> None:
        self.trainable = [p for p in self.model.parameters() if p.requires_grad]
        self.statistics = RunningStatistics(self.model)

    def gradient(self, step: int, batches: Iterable[tuple[int, Batch]]) -> StepReport:
        """Leave the mean gradient of step ``step`` in the parameters; the weights stay as they are.

        Args:
            step: number of the step, from 0.
            batches: this worker's micro-batches with their place in the step.
        """
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        sums = torch.zeros(5, dtype=torch.float64, device=self.compute.device)
        with self.statistics.apart():
            for index, batch in batches:
                losses = self.backward(step, index, batch.to(self.compute.device))
                self.statistics.measure(index)
                sums += _as_tensor(losses, sums.device)
        self.workers.sum(sums)
        total, classification, segmentation, class_rows, mask_rows = sums.tolist()
        rows = round(class_rows + mask_rows)
        self.workers.sum_gradients(self.trainable, self.batch / max(1, rows))
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.trainable if p.grad is not None])
        return StepReport(
            loss=_mean(total, rows),
            classification=_mean(classification, class_rows),
            segmentation=_mean(segmentation, mask_rows),
            rows=rows,
            gradient_norm=float(norm),
        )

    def update(self, report: StepReport, lr: float) -> None:
        """Apply the gradient with learning rate ``lr``, clipped where the config says so."""
        if self.config.clip_norm is not None:
            norm = torch.tensor(report.gradient_norm, device=self.compute.device)
            torch.nn.utils.clip_grads_with_norm_(self.trainable, self.config.clip_norm, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("rate", 1.0)
        self.optimizer.step()
        self.statistics.settle(self.workers, self.micro_batches)

    def backward(self, step: int, index: int, batch: Batch) -> LossSums:
        """Forward and backward of one micro-batch; the gradient is added to what is there."""
        torch.manual_seed(random_seed(self.seed, "step", step, index))
        with self.compute.autocast():
            visual = self.model.encode(batch.volume)
            output = self.model.read(visual, batch.row_volume, batch.prompts, batch.labels, batch.seg_rows)
        losses = row_losses(output.class_logit, output.mask_logit, batch.label_target, batch.seg_target, self.config)
        if losses.total.requires_grad:
            (losses.total / self.batch).backward()
        return losses


def _as_tensor(losses: LossSums, device: torch.device) -> Tensor:
    counts = torch.tensor([losses.classification_rows, losses.segmentation_rows], device=device)
    return torch.cat(
        [torch.stack([losses.total.detach(), losses.classification, losses.segmentation]), counts]
    ).double()


def _mean(total: float, rows: float) -> float:
    return total / rows if rows else math.nan
