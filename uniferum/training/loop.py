"""The training loop: steps, validations and checkpoints, independent of cohorts and tracking servers.

After a kill at any moment, a new call resumes from the last checkpoint. On a CPU, losses and weights are then identical
to those of an uninterrupted run.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch

from uniferum.data.loading.batch import Batch
from uniferum.model.base import Model
from uniferum.training.checkpoint import Checkpoints
from uniferum.training.config import OptimConfig, TrainingConfig
from uniferum.training.errors import Interrupted, NonFiniteLoss
from uniferum.training.optim import build_optimizer, learning_rate
from uniferum.training.parallel import Workers
from uniferum.training.precision import Compute
from uniferum.training.reporter import Reporter
from uniferum.training.state import TrainingProgress
from uniferum.training.step import Stepper, StepReport

SELECTION = "validation/auroc"


@runtime_checkable
class StepBatches(Protocol):
    """A source of micro-batches, which are a pure function of the step."""

    def steps(self, start: int, stop: int) -> Iterable[Sequence[Batch]]:
        """Yield this worker's micro-batches (``Workers.share``) of optimizer steps ``start`` to ``stop - 1``."""
        ...


# Validates the current model: metrics by name, including SELECTION (NaN if undefined).
Validate = Callable[[Model], dict[str, float]]


@dataclass
class Training:
    """All parts of one training run."""

    model: Model
    batches: StepBatches
    validate: Validate
    config: TrainingConfig
    optim: OptimConfig
    seed: int
    checkpoints: Checkpoints
    reporter: Reporter
    compute: Compute
    workers: Workers = field(default_factory=Workers.current)
    stop: Callable[[], bool] | None = None
    positive_weight: Mapping[str, float] = field(default_factory=dict)
    """See :attr:`uniferum.training.step.Stepper.positive_weight`."""

    def run(self, *, resume: bool = True) -> TrainingProgress:
        """Train to the last step.

        Args:
            resume: continue from the last checkpoint if there is one.

        Raises:
            Interrupted: ``stop`` returned true; the checkpoint is written.
            NonFiniteLoss: the loss or its gradient was NaN or infinite; the weights before that step are kept.
            UniferumError: the checkpoint belongs to another config.
        """
        self.model.to(self.compute.device)
        optimizer = build_optimizer(self.model, self.optim)
        progress = (self.checkpoints.load_last(self.model, optimizer) if resume else None) or TrainingProgress()
        self.workers.align(self.model)
        stepper = Stepper(
            self.model,
            optimizer,
            self.optim,
            self.compute,
            self.workers,
            self.seed,
            self.config.batch,
            self.config.micro_batches,
            self.positive_weight,
        )
        if len(progress.history) < self.config.validations(progress.step):
            progress = self._validated(optimizer, progress)
        free = time.perf_counter()
        for batches in self.batches.steps(progress.step, self.config.steps):
            progress = self._step(stepper, progress, batches, free)
            free = time.perf_counter()
        return progress

    def _step(
        self, stepper: Stepper, progress: TrainingProgress, batches: Sequence[Batch], free: float
    ) -> TrainingProgress:
        """Run one optimizer step; ``free`` is the end of the previous step, so that waiting for input is timed too."""
        started = time.perf_counter()
        step = progress.step
        lr = learning_rate(self.optim, step, self.config.steps, progress.history)
        share = self.workers.share(self.config.micro_batches)
        report = stepper.gradient(step, zip(share, batches, strict=True))
        if not report.finite:
            raise self._not_finite(step + 1, report, batches)
        stepper.update(report, lr)
        progress = replace(progress, step=step + 1, seconds=progress.seconds + time.perf_counter() - started)
        if self.workers.first and (progress.step % self.config.log_every == 0 or progress.step == self.config.steps):
            volumes = self.workers.size * sum(len(batch.volume_ids) for batch in batches)
            speed = {"volumes_per_second": volumes / (time.perf_counter() - free), "seconds": progress.seconds}
            self.reporter.metrics(progress.step, {**report.values(), "lr": lr, **speed})
        return self._between_steps(stepper.optimizer, progress)

    def _between_steps(self, optimizer: torch.optim.Optimizer, progress: TrainingProgress) -> TrainingProgress:
        """Validate and save if due; a stop takes effect before a validation, which the next call then does first."""
        at_end = progress.step == self.config.steps
        due = len(progress.history) < self.config.validations(progress.step)
        stopped = self.workers.any(self.stop is not None and self.stop(), self.compute.device)
        if due or stopped or progress.step % self.config.checkpoint_every == 0:
            self._save(optimizer, progress, best=False)
        if stopped and (due or not at_end):
            raise Interrupted(progress.step, self.checkpoints.last)
        return self._validated(optimizer, progress) if due else progress

    def _validated(self, optimizer: torch.optim.Optimizer, progress: TrainingProgress) -> TrainingProgress:
        started = time.perf_counter()
        metrics = self.validate(self.model)
        seconds = progress.seconds + time.perf_counter() - started
        progress = replace(progress, seconds=seconds).validated(metrics[SELECTION])
        if self.workers.first:
            known = {name: value for name, value in metrics.items() if not math.isnan(value)}
            self.reporter.metrics(progress.step, known)
        self._save(optimizer, progress, best=progress.best_step == progress.step)
        return progress

    def _save(self, optimizer: torch.optim.Optimizer, progress: TrainingProgress, *, best: bool) -> None:
        if self.workers.first:
            path = self.checkpoints.save(self.model, optimizer, progress, best=best)
            self.reporter.checkpoint(path, progress.step)
        self.workers.wait()

    def _not_finite(self, step: int, report: StepReport, batches: Sequence[Batch]) -> NonFiniteLoss:
        ours = [volume for batch in batches for volume in batch.volume_ids]
        volumes = sorted({volume for part in self.workers.gather(ours) for volume in part})
        last = self.checkpoints.last
        good = f"last good checkpoint: {last} ({last.resolve().name})" if last.exists() else "no checkpoint yet"
        subject, value = ("loss", report.loss) if not math.isfinite(report.loss) else ("gradient", report.gradient_norm)
        return NonFiniteLoss(
            f"{subject} of step {step}",
            value,
            must="be finite",
            cure=f"look at its volumes {', '.join(volumes)}, or lower optim.lr; {good}",
        )
