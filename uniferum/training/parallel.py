"""Share the micro-batches of a step among workers; one worker needs no communication.

Worker r of n takes micro-batches r, r + n, ... of every step. Gradients are summed over workers and divided by the rows
of the whole step, so 1, 2 or 8 workers train the same run.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

T = TypeVar("T")


@dataclass(frozen=True)
class Workers:
    """Rank of this process and number of workers."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "Workers":
        """Return the initialised process group (of torchrun or Ray Train), or a single worker."""
        if distributed.is_available() and distributed.is_initialized():
            return cls(distributed.get_rank(), distributed.get_world_size())
        return cls()

    @property
    def first(self) -> bool:
        """Whether this worker writes files and reports."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """The indices of ``count`` parts that this worker takes."""
        return range(self.rank, count, self.size)

    def sum(self, values: Tensor) -> Tensor:
        """Sum a tensor over the workers, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set on any worker; all workers get the same result."""
        if self.size == 1:
            return flag
        return bool(self.sum(torch.tensor([float(flag)], device=device)).item())

    def gather(self, part: T) -> list[T]:
        """Collect the parts of all workers in rank order, on every worker."""
        if self.size == 1:
            return [part]
        parts: list[T | None] = [None] * self.size
        distributed.all_gather_object(parts, part)
        return [gathered for gathered in parts if gathered is not None]

    def wait(self) -> None:
        """Wait until all workers reach this call."""
        if self.size > 1:
            distributed.barrier()

    def align(self, model: nn.Module) -> None:
        """Copy weights and buffers of the first worker to all workers."""
        if self.size == 1:
            return
        for tensor in [*model.parameters(), *model.buffers()]:
            whole = tensor.data.contiguous()  # not every backend accepts channels-last tensors
            distributed.broadcast(whole, 0)
            tensor.data.copy_(whole)

    def sum_gradients(self, parameters: Sequence[nn.Parameter], scale: float) -> None:
        """Sum gradients over the workers and multiply them by ``scale``; a missing gradient becomes zeros.

        Otherwise weight decay of a parameter would depend on whether this worker had rows of its kind.
        """
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.size > 1:
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            distributed.all_reduce(flat)
            for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))
        for gradient in gradients:
            gradient.mul_(scale)


@contextmanager
def joined_workers() -> Iterator[Workers]:
    """Join the process group that torchrun describes in the environment (NCCL on GPUs, gloo on CPUs).

    No group is joined without ``WORLD_SIZE`` in the environment, or if a group is already initialised.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distributed.is_initialized():
        yield Workers.current()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Workers.current()
    finally:
        distributed.destroy_process_group()
