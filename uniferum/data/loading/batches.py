"""Make batches from rows: the batch of a training step is a pure function of the seed and the step number.

Threads (``loader_workers``) only prepare in advance what the same call would return; they end with the process, and
with the iteration that started them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import pandas as pd

from uniferum.data.loading.assembly import Assembly, Filling
from uniferum.data.loading.augmentation import IDENTITY, AugmentationConfig, Draw, draw, draw_for
from uniferum.data.loading.batch import Batch
from uniferum.data.loading.row_order import Group, RowOrder
from uniferum.data.loading.targets import TargetGrid
from uniferum.data.loading.transforms import UserTransforms
from uniferum.data.loading.volume_order import VolumeOrder
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.settings import DataConfig
from uniferum.errors import UniferumError
from uniferum.preprocessing.geometry import Geometry

Begun = tuple[list[Batch], list[Filling]]
K = TypeVar("K")


class TrainingBatches:
    """Endless training batches of a table."""

    def __init__(
        self,
        table: pd.DataFrame,
        cohorts: Mapping[str, PreparedCohort],
        config: DataConfig,
        *,
        geometry: Geometry,
        augmentation: AugmentationConfig,
        tokens_shape: tuple[int, int, int],
        patch: int,
        batch: int,
        micro_batch: int,
        seed: int,
        by_volumes: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Configure the batches; nothing is read yet.

        Args:
            table: table from :func:`uniferum.data.sampling.training_table`.
            cohorts: opened stores by cohort key.
            config: the data section.
            geometry: geometry of the run, which every store must have.
            augmentation: the augmentation section.
            tokens_shape: visual tokens of the model along x, y, z.
            patch: u, mask voxels per side of a token.
            batch: rows per optimizer step.
            micro_batch: rows per micro-batch.
            seed: seed of order and augmentation.
            by_volumes: whether ``batch`` and ``micro_batch`` count volumes, each with its rows, instead of rows.
            rank: number of this worker; it gets every ``world``-th micro-batch of a step, starting at its own number.
            world: number of workers that share each step.

        Raises:
            UniferumError: there are no rows, more workers than micro-batches, a store with another geometry, or
                arguments of ``data.transforms`` that MONAI refuses.
        """
        if table.empty:
            raise UniferumError("the training table", must="have at least one row")
        if world > batch // micro_batch:
            shown = f"{world} workers for {batch // micro_batch} micro-batches"
            raise UniferumError("training.batch", shown, must="have a micro-batch per worker", cure="use fewer workers")
        self._config, self._augmentation, self._seed = config, augmentation, seed
        self._rank, self._world = rank, world
        self._order = (VolumeOrder if by_volumes else RowOrder)(
            table["volume_id"].tolist(),
            table["copy"].tolist(),
            batch=batch,
            micro_batch=micro_batch,
            tasks_per_volume=config.tasks_per_volume,
            seed=seed,
        )
        targets = TargetGrid.of(geometry.model_shape, tokens_shape, patch)
        own = UserTransforms(config.transforms)
        self._assembly = _assembly(table, cohorts, geometry, config, targets, augmentation, own)

    def counts(self, step: int) -> tuple[int, int]:
        """Classification and segmentation rows of a whole step, over all workers."""
        return self._assembly.counts([group for micro in self._order.step(step) for group in micro])

    def step(self, step: int) -> list[Batch]:
        """This worker's micro-batches of an optimizer step, counted from 0."""
        return _filled(self._begin(step))

    def steps(self, start: int, stop: int) -> Iterator[list[Batch]]:
        """Batches of ``step(start)`` to ``step(stop - 1)``, prepared in advance by threads if the config has any."""
        return _ahead(self._begin, range(start, stop), self._config)

    def _begin(self, step: int) -> Begun:
        batches: list[Batch] = []
        fillings: list[Filling] = []
        slot = 0
        for number, groups in enumerate(map(self._encoded, self._order.step(step))):
            if number % self._world == self._rank:
                slots = range(slot, slot + len(groups))
                draws = [draw(self._augmentation, seed=self._seed, step=step, slot=number) for number in slots]
                batch, more = self._assembly.begin(groups, draws)
                batches.append(batch)
                fillings += more
            slot += len(groups)
        return batches, fillings

    def _encoded(self, groups: list[Group]) -> list[Group]:
        """Rows that share one encoding of their volume: single rows if each draws its own augmentation."""
        return (
            groups
            if self._augmentation.unit == "volume"
            else [row for group in groups for row in np.split(group, len(group))]
        )


class EvaluationBatches:
    """Every volume of a table once, with all its rows; sorted by volume id, and augmented only if asked for."""

    def __init__(
        self,
        table: pd.DataFrame,
        cohorts: Mapping[str, PreparedCohort],
        config: DataConfig,
        *,
        geometry: Geometry,
        tokens_shape: tuple[int, int, int],
        patch: int,
        augmentation: AugmentationConfig | None = None,
        seed: int = 0,
        copy: int = 0,
        volumes_per_batch: int = 4,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Configure the batches; arguments as for :class:`TrainingBatches`.

        ``augmentation`` augments every volume; without it none is. The draw depends on ``seed``, the volume's id and
        ``copy``, not on the batch that holds the volume.

        Raises:
            UniferumError: a store has another geometry.
        """
        self._config = config
        targets = TargetGrid.of(geometry.model_shape, tokens_shape, patch)
        self._augmentation, self._seed, self._copy = augmentation, seed, copy
        self._assembly = _assembly(table, cohorts, geometry, config, targets, augmentation or AugmentationConfig())
        self._volume_id: list[str] = table["volume_id"].tolist()
        rows: dict[str, list[int]] = {}
        for row, volume_id in enumerate(self._volume_id):
            rows.setdefault(volume_id, []).append(row)
        volumes = [np.array(rows[volume_id]) for volume_id in sorted(rows)][rank::world]
        self._batches = [volumes[at : at + volumes_per_batch] for at in range(0, len(volumes), volumes_per_batch)]

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over the batches in order."""
        return (batches[0] for batches in _ahead(self._begin, self._batches, self._config))

    def _begin(self, groups: list[np.ndarray]) -> Begun:
        batch, fillings = self._assembly.begin(groups, [self._draw(self._volume_id[rows[0]]) for rows in groups])
        return [batch], fillings

    def _draw(self, volume_id: str) -> Draw:
        if self._augmentation is None:
            return IDENTITY
        return draw_for(self._augmentation, seed=self._seed, volume_id=volume_id, copy=self._copy)


def _assembly(
    table: pd.DataFrame,
    cohorts: Mapping[str, PreparedCohort],
    geometry: Geometry,
    config: DataConfig,
    targets: TargetGrid,
    augmentation: AugmentationConfig,
    transforms: UserTransforms | None = None,
) -> Assembly:
    return Assembly(
        table,
        cohorts,
        geometry,
        level=config.level,
        on_device=config.resample == "device",
        cache_gib=config.cache_gib,
        targets=targets,
        augmentation=augmentation,
        transforms=transforms,
    )


def _filled(begun: Begun) -> list[Batch]:
    batches, fillings = begun
    for fill in fillings:
        fill()
    return batches


def _ahead(begin: Callable[[K], Begun], keys: Iterable[K], config: DataConfig) -> Iterator[list[Batch]]:
    """Filled batches of each key in order, with ``prefetch`` keys prepared in advance on threads if there are any."""
    if not config.loader_workers:
        for key in keys:
            yield _filled(begin(key))
        return
    pool = ThreadPoolExecutor(config.loader_workers, thread_name_prefix="loader")
    waiting: deque[tuple[list[Batch], list[Future[None]]]] = deque()
    try:
        for key in keys:
            batches, fillings = begin(key)
            waiting.append((batches, [pool.submit(fill) for fill in fillings]))
            if len(waiting) > config.prefetch:
                yield _done(*waiting.popleft())
        while waiting:
            yield _done(*waiting.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _done(batches: list[Batch], futures: list[Future[None]]) -> list[Batch]:
    for future in futures:
        future.result()
    return batches
