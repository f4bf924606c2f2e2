"""Where a cell runs: its cores, GPUs, workers and memory, and how many run at once."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from uniferum.config import Section


class Resources(Section):
    """Where a cell runs and how many at once; never part of a fingerprint."""

    cpus: float = Field(
        default=1, gt=0, description="CPU cores a cell: its threads, and all but one of them its data.loader_workers"
    )
    gpus: float = Field(default=0, ge=0, description="GPUs a cell: one a worker, or a fraction where cells share one")
    workers: int = Field(default=1, ge=1, description="processes that share a cell, with equal parts of cpus and gpus")
    memory_gib: float | None = Field(default=None, gt=0, description="memory that a cell reserves")
    parallel: int | None = Field(default=None, ge=1, description="cells at once; none: as many as fit")
    warm: bool = Field(default=True, description="a worker trains cell after cell; false: one Ray Train run a cell")
    stage: Path | None = Field(default=None, description="folder on each node's own disk to copy prepared stores to")
    steps_per_hour: float | None = Field(
        default=None, gt=0, description="declared speed, for estimates before any cell ended"
    )
    checkpoint_gib: float = Field(default=1.5, ge=0, description="size of one checkpoint, for the free-space check")

    @model_validator(mode="after")
    def _one_gpu_a_worker(self) -> Self:
        """A worker trains on one GPU: a part of another, or a second one, would stand idle."""
        shared = self.workers == 1 and self.gpus < 1
        if self.gpus and not shared and self.gpus != self.workers:
            raise ValueError(
                f"have as many gpus as workers, or with one worker a fraction below 1; "
                f"gpus is {self.gpus:g}, workers is {self.workers}"
            )
        return self

    @property
    def loader_workers(self) -> int:
        """Threads that prepare a worker's input: its cores but one, which launches the training's own work.

        One core alone prepares in line, unless there is a GPU to be kept busy meanwhile.
        """
        return max(int(self.gpus > 0), int(self.cpus / self.workers) - 1)

    @property
    def worker(self) -> "Resources":
        """One worker's part."""
        memory = self.memory_gib / self.workers if self.memory_gib else None
        parts = {"cpus": self.cpus / self.workers, "gpus": self.gpus / self.workers, "memory_gib": memory}
        return self.replace(workers=1, **parts)
