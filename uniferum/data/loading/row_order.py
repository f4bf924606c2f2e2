"""Endless order of training rows: whole epochs, rows of one volume together, split into micro-batches.

Every epoch is a permutation of all rows that depends only on the seed and the epoch number. So the rows of a step are a
pure function of (seed, step), and training can resume anywhere. Rows of one volume form groups of at most
``tasks_per_volume``; copies of a repeated task are never in one group. Groups are put into micro-batches unsplit
wherever they fit, because a split group requires another encoding of its volume.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np

# Maximum number of groups that wait for a gap of their size before one is split.
_WAITING = 64

Group = np.ndarray  # row numbers of one volume

Epoch = TypeVar("Epoch")  # the groups of one epoch, in the form that the order needs


class TrainingOrder(ABC, Generic[Epoch]):
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
        """Set the rows and the sizes.

        Args:
            volumes: volume of each row.
            copies: repetition number of each row.
            batch: rows, or groups, per step.
            micro_batch: the same per micro-batch; divides ``batch``.
            tasks_per_volume: maximum size of a group.
            seed: seed of the permutations.
        """
        assert batch % micro_batch == 0, "micro-batches fill a batch"
        self._key = volume_keys(volumes, copies)
        self._batch, self._micro, self._longest, self._seed = batch, micro_batch, tasks_per_volume, seed
        self._epoch = lru_cache(maxsize=2)(self._arranged)

    def __len__(self) -> int:
        """Rows per epoch."""
        return len(self._key)

    @abstractmethod
    def step(self, step: int) -> list[list[Group]]:
        """Micro-batches of a step as lists of groups."""

    @abstractmethod
    def _arranged(self, epoch: int) -> Epoch:
        """The groups of an epoch in their order."""


class RowOrder(TrainingOrder[tuple[np.ndarray, np.ndarray]]):
    """Order of training rows whose ``batch`` and ``micro_batch`` count rows."""

    def step(self, step: int) -> list[list[Group]]:
        """Micro-batches of a step as lists of groups, whose sizes sum to ``micro_batch``."""
        first = step * self._batch
        return [self._rows(first + start) for start in range(0, self._batch, self._micro)]

    def _rows(self, position: int) -> list[Group]:
        """Groups at ``position`` to ``position + micro_batch`` of the endless order."""
        groups: list[Group] = []
        end = position + self._micro
        while position < end:
            epoch, inside = divmod(position, len(self))
            rows, starts = self._epoch(epoch)
            stop = min(inside + end - position, len(self))
            cuts = starts[np.searchsorted(starts, inside, "right") : np.searchsorted(starts, stop, "left")]
            groups += np.split(rows[inside:stop], cuts - inside)
            position += stop - inside
        return groups

    def _arranged(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of an epoch in order, and the start of each group."""
        micro, gap = self._micro, self._first_gap(epoch)
        waiting: dict[int, deque[Group]] = {}
        placed: list[Group] = []
        stream = deque(mixed_groups(self._key, self._longest, (self._seed, epoch)))
        while stream or waiting:
            group = _fitting(waiting, gap)
            if group is None:
                group = _next_fitting(stream, waiting, gap)
            if group is None:
                whole = _taken(waiting, max(waiting))
                group = whole[:gap]
                stream.appendleft(whole[gap:])
            placed.append(group)
            gap = gap - len(group) or micro
        rows = np.concatenate(placed)
        return rows, np.cumsum([0, *(len(group) for group in placed[:-1])])

    def _first_gap(self, epoch: int) -> int:
        """Number of rows that complete the micro-batch in which the epoch begins."""
        return self._micro - (epoch * len(self)) % self._micro


def volume_keys(volumes: Sequence[object], copies: Sequence[int]) -> np.ndarray:
    """Number each row so that rows of one volume and one repetition have the same number."""
    keys = {key: index for index, key in enumerate(dict.fromkeys(zip(volumes, copies, strict=True)))}
    return np.array([keys[key] for key in zip(volumes, copies, strict=True)], dtype=np.int64)


def mixed_groups(key: np.ndarray, longest: int, seed: tuple[int, int]) -> list[Group]:
    """Groups of an epoch in random order, each with random rows of one volume.

    Args:
        key: keys from :func:`volume_keys`.
        longest: maximum size of a group.
        seed: seed of the run, and number of the epoch.
    """
    random = np.random.default_rng(seed)
    mixed = random.permutation(len(key))
    mixed = mixed[np.argsort(key[mixed], kind="stable")]
    ends = np.flatnonzero(np.diff(key[mixed])) + 1
    groups = [
        volume[start : start + longest] for volume in np.split(mixed, ends) for start in range(0, len(volume), longest)
    ]
    return [groups[index] for index in random.permutation(len(groups))]


def _fitting(waiting: dict[int, deque[Group]], gap: int) -> Group | None:
    """Take out the largest waiting group that fits."""
    sizes = [size for size in waiting if size <= gap]
    return _taken(waiting, max(sizes)) if sizes else None


def _next_fitting(stream: deque[Group], waiting: dict[int, deque[Group]], gap: int) -> Group | None:
    """Take the next fitting group of the stream; others wait, unless too many do."""
    while stream and sum(map(len, waiting.values())) < _WAITING:
        group = stream.popleft()
        if len(group) <= gap:
            return group
        waiting.setdefault(len(group), deque()).append(group)
    return None


def _taken(waiting: dict[int, deque[Group]], size: int) -> Group:
    """Take out the group of a size that has waited longest."""
    group = waiting[size].popleft()
    if not waiting[size]:
        del waiting[size]
    return group
