"""A training of a few milliseconds per step with all parts: batch norm, dropout, both losses, validation.

As a program it trains in its own process, which a test can kill or use as one of several workers.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, distributed, nn

from uniferum.data.loading.batch import Batch
from uniferum.model.base import Model, RowOutput
from uniferum.training.checkpoint import Checkpoints, Identity
from uniferum.training.config import OptimConfig, TrainingConfig
from uniferum.training.loop import SELECTION, Training
from uniferum.training.parallel import Workers
from uniferum.training.precision import choose_compute
from uniferum.training.reporter import JsonlReporter, read_steps

VOLUMES, ROWS_A_VOLUME, PATCHES = 2, 2, 8


class TinyModel(Model):
    """Convolution with batch norm, dropout, and a head for each kind of row."""

    tokens_shape = (2, 2, 2)
    patch = 2

    def __init__(self) -> None:
        super().__init__()
        # No bias before batch norm: its gradient is only rounding error, which Adam would scale up to full steps.
        stem = nn.Conv3d(1, 6, 2, stride=2, bias=False)
        self.stem = nn.Sequential(stem, nn.BatchNorm3d(6), nn.ReLU(), nn.Dropout(0.3))
        self.words = nn.Embedding(4, 6)
        self.class_head = nn.Linear(6, 1)
        self.mask_head = nn.Linear(6, 8)

    def encode(self, volume: Tensor) -> Tensor:
        return self.stem(volume).flatten(2).transpose(1, 2)

    def read(
        self,
        visual: Tensor,
        row_volume: Tensor,
        prompts: Sequence[str],
        labels: Sequence[str],
        mask_rows: Tensor | None = None,
    ) -> RowOutput:
        word = self.words(torch.tensor([int(prompt) for prompt in prompts], device=visual.device))
        tokens = visual[row_volume] * word[:, None, :]
        rows = slice(None) if mask_rows is None else mask_rows
        return RowOutput(self.class_head(tokens.mean(1)).squeeze(-1), self.mask_head(tokens[rows]))


class TinyBatches:
    """Batches of random volumes whose mean gives the label; a step always has the same batch."""

    def __init__(
        self, micro_batches: int, workers: Workers, poison: int | None = None, value: float = torch.nan
    ) -> None:
        self.micro_batches, self.workers, self.poison, self.value = micro_batches, workers, poison, value

    def steps(self, start: int, stop: int) -> Iterator[list[Batch]]:
        for step in range(start, stop):
            yield [self.micro_batch(step, index) for index in self.workers.share(self.micro_batches)]

    def micro_batch(self, step: int, index: int) -> Batch:
        generator = torch.Generator().manual_seed(1000 * step + index)
        volume = torch.randn(VOLUMES, 1, 4, 4, 4, generator=generator)
        if step == self.poison:
            volume[0, 0, 0, 0, 0] = self.value
        label = (volume.flatten(1).mean(1) > 0).float()
        target = torch.stack([label, torch.full((VOLUMES,), torch.nan)], 1).flatten()
        # Every third micro-batch has no segmentation row, as happens in a mixed table.
        seg_rows = torch.tensor([1, 3]) if index % 3 else torch.zeros(0, dtype=torch.int64)
        seg_target = (volume.reshape(VOLUMES, PATCHES, 8)[: len(seg_rows)] > 0.5).float()
        rows = VOLUMES * ROWS_A_VOLUME
        return Batch(
            volume=volume,
            row_volume=torch.tensor([0, 0, 1, 1]),
            prompts=[str(row) for row in range(rows)],
            labels=["a"] * rows,
            label_target=target,
            seg_rows=seg_rows,
            seg_target=seg_target,
            task_ids=[f"{step}/{index}/{row}" for row in range(rows)],
            volume_ids=[f"TINY/{step}-{index}-{volume}" for volume in range(VOLUMES)],
        )


def validate(model: Model) -> dict[str, float]:
    model.eval()
    with torch.inference_mode():
        volume = torch.randn(3, 1, 4, 4, 4, generator=torch.Generator().manual_seed(5))
        output = model.read(model.encode(volume), torch.arange(3), ["0", "1", "2"], ["a"] * 3)
    return {SELECTION: torch.sigmoid(output.class_logit).mean().item()}


def tiny_training(
    folder: Path,
    *,
    steps: int = 12,
    fingerprint: str = "f" * 16,
    poison: int | None = None,
    value: float = torch.nan,
    stop: Callable[[], bool] | None = None,
    checkpoint_every: int = 2,
    optim: OptimConfig | None = None,
) -> Training:
    workers = Workers.current()
    config = TrainingConfig(
        steps=steps, validate_every=5, batch=24, micro_batch=4, checkpoint_every=checkpoint_every, precision="fp32"
    )
    torch.manual_seed(0)
    return Training(
        model=TinyModel(),
        batches=TinyBatches(config.micro_batches, workers, poison, value),
        validate=validate,
        config=config,
        optim=optim or OptimConfig(lr=0.02, warmup_steps=3, schedule="plateau", plateau_patience=0),
        seed=7,
        checkpoints=Checkpoints(folder / "checkpoints", Identity("tiny", fingerprint, {"lr": 0.02}, ("a",))),
        reporter=JsonlReporter(folder),
        compute=choose_compute("fp32", "cpu"),
        workers=workers,
        stop=stop,
    )


def losses(folder: Path) -> list[tuple[int, float]]:
    """Return the loss by step; of a step reported twice, the later line."""
    by_step = {line["step"]: line["loss"] for line in read_steps(folder / "steps.jsonl") if "loss" in line}
    return sorted(by_step.items())


def main(folder: str, steps: str, rank: str = "", size: str = "") -> None:
    torch.set_num_threads(1)
    if rank:
        meeting = Path(folder) / "meeting"
        distributed.init_process_group("gloo", f"file://{meeting}", rank=int(rank), world_size=int(size))
    training = tiny_training(Path(folder), steps=int(steps))
    if training.workers.first:
        training.reporter.metrics(0, {"started": 1.0})
    training.run()
    if rank:
        distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
