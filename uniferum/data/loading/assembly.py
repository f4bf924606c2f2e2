"""Assemble a batch from groups of rows: empty tensors first, then one filling function per volume.

Fillings of one batch write to separate slots and use separate seeds, so their order, or running on threads, is
harmless.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd
import torch

from uniferum.data.loading import kernels
from uniferum.data.loading.augmentation import AugmentationConfig, Draw
from uniferum.data.loading.batch import Batch
from uniferum.data.loading.device import DeviceResampling
from uniferum.data.loading.reader import Reader
from uniferum.data.loading.resample import moved_source, resample_fractions, resample_image, resample_mask
from uniferum.data.loading.targets import TargetGrid
from uniferum.data.loading.transforms import UserTransforms
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.tasks import SEGMENTATION
from uniferum.preprocessing.geometry import Geometry

Filling = Callable[[], None]


@dataclass(frozen=True)
class _VolumeSlot:
    """One encoding of a volume in a batch: its index, its draw, and its segmentation rows from ``first`` on."""

    index: int
    drawn: Draw
    masks: Sequence[int]
    first: int


class Assembly:
    """Makes batches from the rows of one task table."""

    def __init__(
        self,
        table: pd.DataFrame,
        cohorts: Mapping[str, PreparedCohort],
        geometry: Geometry,
        *,
        level: str,
        on_device: bool,
        cache_gib: float,
        targets: TargetGrid,
        augmentation: AugmentationConfig | None = None,
        transforms: UserTransforms | None = None,
    ) -> None:
        """Extract the table's columns once.

        Raises:
            UniferumError: see :class:`uniferum.data.loading.reader.Reader`.
        """
        used = set(table["cohort"])
        self._reader = Reader({n: c for n, c in cohorts.items() if n in used}, geometry, level)
        self._geometry, self._level, self._on_device = geometry, level, on_device
        self._targets, self._how = targets, augmentation or AugmentationConfig()
        self._transforms = transforms or UserTransforms()
        self._cohort: list[str] = table["cohort"].tolist()
        self._scan: list[str] = table["scan_id"].tolist()
        self._volume_id: list[str] = table["volume_id"].tolist()
        self._prompt: list[str] = table["prompt"].tolist()
        self._label: list[str] = table["label"].tolist()
        self._task_id: list[str] = table["task_id"].tolist()
        self._layer: list[str] = table["layer"].tolist()
        self._ids: list[Sequence[int]] = table["ids"].tolist()
        self._target = table["target"].to_numpy(np.float32)
        self._segments = table["kind"].to_numpy() == SEGMENTATION
        masks = zip(table["volume_id"][self._segments], table["layer"][self._segments], strict=True)
        self._reader.keep(self._volume_id, masks, cache_gib)

    def counts(self, groups: Sequence[np.ndarray]) -> tuple[int, int]:
        """Numbers of classification and segmentation rows in groups."""
        total = sum(len(rows) for rows in groups)
        segments = sum(int(self._segments[rows].sum()) for rows in groups)
        return total - segments, segments

    def begin(self, groups: Sequence[np.ndarray], draws: Sequence[Draw]) -> tuple[Batch, list[Filling]]:
        """Make a batch with empty arrays, and the functions that fill them.

        Args:
            groups: row numbers, of one volume per group.
            draws: augmentation of each group's volume.
        """
        rows = np.concatenate(groups)
        row_volume = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        seg_rows = np.flatnonzero(self._segments[rows])
        seg_of = [seg_rows[row_volume[seg_rows] == slot] for slot in range(len(groups))]
        seg_target = _empty((len(seg_rows), self._targets.patches, self._targets.patch**3), torch.float32)
        pending = self._pending(len(groups), row_volume[seg_rows], tuple(draws)) if self._on_device else None
        shape = (0, 1, *self._geometry.model_shape) if pending else (len(groups), 1, *self._geometry.model_shape)
        batch = Batch(
            volume=_empty(shape, torch.float32),
            row_volume=torch.from_numpy(row_volume),
            prompts=[self._prompt[row] for row in rows],
            labels=[self._label[row] for row in rows],
            label_target=torch.from_numpy(self._target[rows]),
            seg_rows=torch.from_numpy(seg_rows),
            seg_target=seg_target,
            task_ids=[self._task_id[row] for row in rows],
            volume_ids=[self._volume_id[group[0]] for group in groups],
            pending=pending,
        )
        first = np.searchsorted(seg_rows, [s[0] if len(s) else 0 for s in seg_of])
        fillings: list[Filling] = []
        for slots in _runs(batch.volume_ids):
            fill = [
                _VolumeSlot(slot, draws[slot], [int(rows[s]) for s in seg_of[slot]], int(first[slot])) for slot in slots
            ]
            fillings.append(self._filling(batch, int(groups[slots[0]][0]), fill))
        return batch, fillings

    def _filling(self, batch: Batch, row: int, slots: Sequence["_VolumeSlot"]) -> Filling:
        """Function that fills the slots of one volume, which is read once for all of them."""

        def on_host() -> None:
            source = self._reader.volume(self._cohort[row], self._scan[row])
            for slot in slots:
                self._image(source, slot.drawn, batch.volume[slot.index, 0].numpy())
                for step, mask_row in enumerate(slot.masks):
                    batch.seg_target[slot.first + step] = torch.from_numpy(self._patches(mask_row, slot.drawn))

        def for_device() -> None:
            assert isinstance(batch.pending, DeviceResampling)
            source = self._reader.volume(self._cohort[row], self._scan[row])
            for slot in slots:
                batch.pending.sources[slot.index].numpy()[...] = source
                for step, mask_row in enumerate(slot.masks):
                    members = self._members(mask_row)[self._mask(mask_row)]
                    batch.pending.masks[slot.first + step].numpy()[...] = members

        return for_device if self._on_device else on_host

    def _image(self, source: np.ndarray, drawn: Draw, out: np.ndarray) -> None:
        level, outside = self._level, self._how.outside
        source, movement = moved_source(
            source, drawn, self._geometry, level=level, outside=outside, stepwise=self._stepwise
        )
        resample_image(source, movement, self._geometry, level=level, offset=drawn.offset, outside=outside, out=out)
        if drawn.noise_std:
            generator = torch.Generator().manual_seed(drawn.noise_seed)
            noise = torch.randn(out.size, generator=generator).numpy()
            kernels.add(noise, np.float32(drawn.noise_std), out.reshape(-1))
        if self._transforms:
            out[...] = self._transforms(torch.from_numpy(out), drawn.transform_seed).numpy()

    def _patches(self, row: int, drawn: Draw) -> np.ndarray:
        mask, members, pool = self._mask(row), self._members(row), self._targets.pool
        grid = {"level": self._level, "outside": self._how.outside}
        if self._how.masks == "linear":
            pooled = resample_fractions(
                mask, members, drawn, self._geometry, **grid, stepwise=self._stepwise, pool=pool
            )
        else:
            movement = drawn.source_from_output() if drawn.moves else None
            pooled = resample_mask(mask, members, movement, self._geometry, **grid, pool=pool)
        return self._targets.to_patches(pooled).astype(np.float32)

    @property
    def _stepwise(self) -> bool:
        return self._how.resampling == "stepwise"

    def _mask(self, row: int) -> np.ndarray:
        return self._reader.mask(self._cohort[row], self._scan[row], self._layer[row])

    def _members(self, row: int) -> np.ndarray:
        members = np.zeros(256, np.uint8)
        members[list(self._ids[row])] = 1
        return members

    def _pending(self, volumes: int, mask_volume: np.ndarray, draws: tuple[Draw, ...]) -> DeviceResampling:
        shape = self._geometry.shape(self._level)
        return DeviceResampling(
            sources=_empty((volumes, *shape), torch.int16),
            masks=_empty((len(mask_volume), *shape), torch.uint8),
            mask_volume=torch.from_numpy(mask_volume),
            draws=draws,
            geometry=self._geometry,
            level=self._level,
            outside=self._how.outside,
            targets=self._targets,
            linear_masks=self._how.masks == "linear",
            stepwise=self._stepwise,
            transforms=self._transforms,
        )


def _runs(volume_ids: Sequence[str]) -> list[list[int]]:
    """Group neighbouring slots of one volume."""
    return [list(run) for _, run in groupby(range(len(volume_ids)), key=volume_ids.__getitem__)]


def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Allocate an array, page-locked if there is a GPU to copy it to."""
    return torch.empty(shape, dtype=dtype, pin_memory=torch.cuda.is_available())
