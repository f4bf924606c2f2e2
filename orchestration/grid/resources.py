"""Resources of a cell: cores, GPUs, workers, memory, and the number of cells at once."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from uniferum.config import Section


class Resources(Section):
    """Resources of a cell, and the number of cells at once; in no fingerprint."""

    cpus: float = Field(
        default=1,
        gt=0,
        description="CPU cores per cell: its threads; all but one are its data.loader_workers",
    )
    gpus: float = Field(default=0, ge=0, description="GPUs per cell: one per worker, or a fraction to share a GPU")
    workers: int = Field(default=1, ge=1, description="processes per cell; they share cpus and gpus equally")
    memory_gib: float | None = Field(default=None, gt=0, description="memory that a cell reserves")
    parallel: int | None = Field(default=None, ge=1, description="cells at once; none: as many as fit")
    warm: bool = Field(default=True, description="a worker group trains cell after cell; false: one cell each")
    stage: Path | None = Field(default=None, description="folder on each node's local disk to copy prepared stores to")
    steps_per_hour: float | None = Field(
        default=None, gt=0, description="declared speed, for estimates before a cell has finished"
    )
    checkpoint_gib: float = Field(default=1.5, ge=0, description="size of one checkpoint, for the free-space check")

    @model_validator(mode="after")
    def _one_gpu_a_worker(self) -> Self:
        """Require one GPU per worker; a single worker may have a fraction of one."""
        shared = self.workers == 1 and self.gpus < 1
        if self.gpus and not shared and self.gpus != self.workers:
            raise ValueError(
                f"have as many gpus as workers, or with one worker a fraction below 1; "
                f"gpus is {self.gpus:g}, workers is {self.workers}"
            )
        return self

    @property
    def loader_workers(self) -> int:
        """Threads that prepare a worker's input: all its cores but one, which runs the training loop.

        With one core the training loop prepares the input itself, unless there is a GPU to keep busy.
        """
        return max(int(self.gpus > 0), int(self.cpus / self.workers) - 1)

    @property
    def worker(self) -> "Resources":
        """Resources of one worker."""
        memory = self.memory_gib / self.workers if self.memory_gib else None
        parts = {"cpus": self.cpus / self.workers, "gpus": self.gpus / self.workers, "memory_gib": memory}
        return self.replace(workers=1, **parts)
