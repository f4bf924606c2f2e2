"""Order of training rows if batches count volumes: every micro-batch has the same number of volumes.

Rows of one volume form groups of at most ``tasks_per_volume``, as in :mod:`uniferum.data.loading.row_order`. A
micro-batch takes the next groups unsplit, so batch norm always gets the same number of volumes; the number of rows per
step varies.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from uniferum.data.loading.row_order import Group, mixed_groups, volume_keys


class VolumeOrder:
    """Row numbers, in groups, of each micro-batch of each step; a pure function of (seed, step)."""

    def __init__(
        self,
        volumes: Sequence[object],
        copies: Sequence[int],
        *,
        batch: int,
        micro_batch: int,
        tasks_per_volume: int,
        seed: int,
    ) -> None:
        """Arguments of ``row_order.RowOrder``, except that ``batch`` and ``micro_batch`` count groups."""
        assert batch % micro_batch == 0, "micro-batches fill a batch"
        self._key = volume_keys(volumes, copies)
        self._batch, self._micro, self._longest, self._seed = batch, micro_batch, tasks_per_volume, seed
        self._groups = int((-(-np.bincount(self._key) // tasks_per_volume)).sum())
        self._epoch = lru_cache(maxsize=2)(self._mixed)

    def __len__(self) -> int:
        """Rows per epoch."""
        return len(self._key)

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

    def _mixed(self, epoch: int) -> list[Group]:
        return mixed_groups(self._key, self._longest, (self._seed, epoch))
