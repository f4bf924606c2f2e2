"""Update batch-norm running statistics from all micro-batches of a step, on any number of workers.

PyTorch updates the running statistics in every forward pass: each of several workers would see only its own
micro-batches, and gradient checkpointing would update twice. Here the statistics of each micro-batch are stored, and
the moving average is updated at the end of the step, in the order of the micro-batches. The result is the same on 1
worker and on 8.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from uniferum.training.parallel import Workers


class RunningStatistics:
    """The running means and variances of a model's batch norms."""

    def __init__(self, model: nn.Module) -> None:
        self.norms = [
            module
            for module in model.modules()
            if isinstance(module, _BatchNorm) and module.track_running_stats and module.momentum is not None
        ]
        self.measured: dict[int, Tensor] = {}

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Store only the last micro-batch's statistics in the buffers within the context.

        At the end the buffers get their earlier values back; :meth:`settle` updates them.
        """
        momenta = [norm.momentum for norm in self.norms]
        held = [*self._buffers(), *self._counts()]
        before = [buffer.clone() for buffer in held]
        for norm in self.norms:
            norm.momentum = 1.0
        try:
            yield
        finally:
            for norm, momentum in zip(self.norms, momenta, strict=True):
                norm.momentum = momentum
            for buffer, value in zip(held, before, strict=True):
                buffer.copy_(value)

    def measure(self, micro_batch: int) -> None:
        """Keep the statistics that the forward pass of this micro-batch measured."""
        if self._moving():
            self.measured[micro_batch] = torch.cat([buffer.flatten() for buffer in self._buffers()])

    def settle(self, workers: Workers, micro_batches: int) -> None:
        """Update the running statistics with all micro-batches of the step, in order."""
        if not self._moving():
            return
        ours = next(iter(self.measured.values()), None)
        table = self._zeros(micro_batches) if ours is None else ours.new_zeros(micro_batches, len(ours))
        for index, values in self.measured.items():
            table[index] = values
        workers.sum(table)
        momentum = self._momenta(table)
        moved = torch.cat([buffer.flatten() for buffer in self._buffers()])
        for row in table:
            moved = (1 - momentum) * moved + momentum * row
        sizes = [buffer.numel() for buffer in self._buffers()]
        for buffer, value in zip(self._buffers(), moved.split(sizes), strict=True):
            buffer.copy_(value)
        for count in self._counts():
            count += micro_batches
        self.measured.clear()

    def _moving(self) -> list[_BatchNorm]:
        return [norm for norm in self.norms if norm.training]

    def _buffers(self) -> list[Tensor]:
        pairs = [(norm.running_mean, norm.running_var) for norm in self._moving()]
        return [buffer for pair in pairs for buffer in pair if buffer is not None]

    def _counts(self) -> list[Tensor]:
        return [norm.num_batches_tracked for norm in self._moving() if norm.num_batches_tracked is not None]

    def _zeros(self, micro_batches: int) -> Tensor:
        buffers = self._buffers()
        return buffers[0].new_zeros(micro_batches, sum(buffer.numel() for buffer in buffers))

    def _momenta(self, like: Tensor) -> Tensor:
        parts = [like.new_full((2 * norm.num_features,), float(norm.momentum or 0.0)) for norm in self._moving()]
        return torch.cat(parts)
