"""Order of training rows if batches count volumes: every micro-batch has the same number of volumes.

Rows of one volume form groups of at most ``tasks_per_volume``, as in :mod:`uniferum.data.loading.row_order`. A
micro-batch takes the next groups unsplit, so batch norm always gets the same number of volumes; the number of rows per
step varies.
"""

from functools import cached_property

import numpy as np

from uniferum.data.loading.row_order import Group, TrainingOrder, mixed_groups


class VolumeOrder(TrainingOrder[list[Group]]):
    """Order of training rows whose ``batch`` and ``micro_batch`` count groups."""

    def step(self, step: int) -> list[list[Group]]:
        """Micro-batches of a step, each a list of ``micro_batch`` groups."""
        first = step * self._batch
        return [
            [self._group(position) for position in range(start, start + self._micro)]
            for start in range(first, first + self._batch, self._micro)
        ]

    def _group(self, position: int) -> Group:
        epoch, inside = divmod(position, self._groups)
        return self._epoch(epoch)[inside]

    @cached_property
    def _groups(self) -> int:
        """Groups per epoch."""
        return int((-(-np.bincount(self._key) // self._longest)).sum())

    def _arranged(self, epoch: int) -> list[Group]:
        return mixed_groups(self._key, self._longest, (self._seed, epoch))
