"""One optimizer step: forward and backward of this worker's micro-batches, then one update with the summed gradient.

The random state of a micro-batch (dropout, stochastic depth) is a function of (seed, step, micro-batch). It does not
depend on the worker or on earlier computations.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from uniferum.data.loading.batch import Batch
from uniferum.model.base import Model, ReportModel
from uniferum.training.batchnorm import RunningStatistics
from uniferum.training.codebooks import CodebookUpdates
from uniferum.training.config import OptimConfig
from uniferum.training.loss import LossSums, report_losses, row_losses
from uniferum.training.parallel import Workers
from uniferum.training.precision import Compute
from uniferum.training.state import random_seed


@dataclass(frozen=True)
class StepReport:
    """Mean losses over all rows of a step, of all workers."""

    loss: float
    classification: float
    segmentation: float
    rows: int
    gradient_norm: float

    @property
    def finite(self) -> bool:
        """Whether the update can be applied; a step without any target has no loss, which is not an error."""
        return (not self.rows or math.isfinite(self.loss)) and math.isfinite(self.gradient_norm)

    def values(self) -> dict[str, float]:
        """The values for reporters, without losses of kinds that have no rows."""
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
    """Computes optimizer steps; it holds no state of the training except model, optimizer and batch-norm statistics."""

    model: Model
    optimizer: torch.optim.Optimizer
    config: OptimConfig
    compute: Compute
    workers: Workers
    seed: int
    batch: int
    """Rows of a full step; losses are divided by it before the backward pass."""
    micro_batches: int
    positive_weight: Mapping[str, float] = field(default_factory=dict)
    """Factor of the loss of positive rows by label; labels without an entry have 1."""
    trainable: list[nn.Parameter] = field(init=False)
    statistics: RunningStatistics = field(init=False)
    codebooks: CodebookUpdates = field(init=False)

    def __post_init__(self) -> None:
        self.trainable = [p for p in self.model.parameters() if p.requires_grad]
        self.statistics = RunningStatistics(self.model)
        self.codebooks = CodebookUpdates(self.model)

    def gradient(self, step: int, batches: Iterable[tuple[int, Batch]]) -> StepReport:
        """Compute the mean gradient of a step and store it in the parameters; weights do not change.

        Args:
            step: index of the step, from 0.
            batches: this worker's micro-batches with their index in the step.
        """
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        sums = torch.zeros(6, dtype=torch.float64, device=self.compute.device)
        with self.statistics.apart():
            for index, batch in batches:
                losses = self.backward(step, index, batch.to(self.compute.device))
                self.statistics.measure(index)
                self.codebooks.measure()
                sums += _as_tensor(losses, sums.device)
        self.workers.sum(sums)
        total, classification, segmentation, class_rows, mask_rows, report_rows = sums.tolist()
        rows = round(class_rows + mask_rows + report_rows)
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
        """Update the weights with learning rate ``lr``, after gradient clipping if configured."""
        if self.config.clip_norm is not None:
            norm = torch.tensor(report.gradient_norm, device=self.compute.device)
            torch.nn.utils.clip_grads_with_norm_(self.trainable, self.config.clip_norm, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("rate", 1.0)
        self.optimizer.step()
        self.statistics.settle(self.workers, self.micro_batches)
        self.codebooks.settle(self.workers)

    def backward(self, step: int, index: int, batch: Batch) -> LossSums:
        """Run forward and backward of one micro-batch; gradients accumulate."""
        torch.manual_seed(random_seed(self.seed, "step", step, index))
        with self.compute.autocast():
            losses = self._losses(batch)
        if losses.total.requires_grad:
            (losses.total / self.batch).backward()
        return losses

    def _losses(self, batch: Batch) -> LossSums:
        visual = self.model.encode(batch.volume)
        if isinstance(self.model, ReportModel):
            loss = self.model.report_loss(visual, batch.row_volume, batch.prompts)
            return report_losses(loss, batch.rows)
        output = self.model.read(visual, batch.row_volume, batch.prompts, batch.labels, batch.seg_rows)
        weight = self._weight(batch) if self.positive_weight else None
        return row_losses(
            output.class_logit, output.mask_logit, batch.label_target, batch.seg_target, self.config, weight
        )

    def _weight(self, batch: Batch) -> Tensor:
        weights = [self.positive_weight.get(label, 1.0) for label in batch.labels]
        return torch.tensor(weights, dtype=torch.float32, device=batch.label_target.device)


def _as_tensor(losses: LossSums, device: torch.device) -> Tensor:
    rows = (losses.classification_rows, losses.segmentation_rows, losses.report_rows)
    counts = torch.tensor(rows, device=device)
    return torch.cat(
        [torch.stack([losses.total.detach(), losses.classification, losses.segmentation]), counts]
    ).double()


def _mean(total: float, rows: float) -> float:
    return total / rows if rows else math.nan
