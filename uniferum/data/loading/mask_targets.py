"""Stored masks of a scan as targets for scoring; one pass over a mask gives all structures.

Invariant: targets equal those of an unmoved training row by nearest neighbour
(:func:`uniferum.data.loading.resample.resample_mask`), whatever ``augmentation.masks`` is, and are never augmented.
``benchmarks/mask_scoring.py`` measures the time that one pass saves.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from uniferum.data.loading import kernels
from uniferum.data.loading.resample import index_map, level_grid, output_grid, resample_mask
from uniferum.data.loading.targets import TargetGrid
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.vocabulary import Structure
from uniferum.preprocessing.geometry import Geometry


@dataclass(frozen=True)
class MaskTargets:
    """Targets of scans of several cohorts, all prepared with one geometry.

    Attributes:
        cohorts: opened stores by cohort key.
        geometry: geometry of the run, and of every store.
        level: stored level that the run reads.
        grid: division of masks into patches.
    """

    cohorts: Mapping[str, PreparedCohort]
    geometry: Geometry
    level: str
    grid: TargetGrid

    def structures(self, cohort: str, scan_id: str) -> list[Structure]:
        """Structures with a voxel in one of the scan's mask layers, in the vocabulary's order."""
        opened = self.cohorts[cohort]
        layers = opened.layers_of[scan_id]
        known = [one for one in opened.vocabulary.structures.values() if one.layer in layers]
        return [one for one in known if not opened.present(scan_id, one.layer).isdisjoint(one.ids)]

    def of(self, cohort: str, scan_id: str) -> tuple[list[Structure], Bool[np.ndarray, "S P U"]]:
        """Structures in the model's field of view, and the target of each in token order."""
        structures = self.structures(cohort, scan_id)
        targets = np.zeros((len(structures), self.grid.patches, self.grid.patch**3), np.bool_)
        for layer in dict.fromkeys(one.layer for one in structures):
            mask = self._mask(cohort, scan_id, layer)
            values = self._values(mask)
            for index, one in enumerate(structures):
                if one.layer == layer:
                    pooled = values[..., list(one.ids)].max(axis=-1)
                    if not pooled.any():
                        pooled = self._smallest(mask, one)
                    targets[index] = self.grid.to_patches(pooled) > 0
        visible = [index for index, target in enumerate(targets) if target.any()]
        return [structures[index] for index in visible], targets[visible]

    def _mask(self, cohort: str, scan_id: str, layer: str) -> UInt8[np.ndarray, "a b c"]:
        return self.cohorts[cohort].store.read_mask(scan_id, layer, "full" if self.level == "full" else "train")

    def _values(self, mask: UInt8[np.ndarray, "a b c"]) -> UInt8[np.ndarray, "X Y Z 256"]:
        """Values in each pooling window of the model's grid, by nearest neighbour."""
        grid, target = level_grid(self.geometry, self.level), output_grid(self.geometry)
        matrix, start = index_map(np.eye(3), grid, target)
        x, y, z = (_nearest(matrix[a, a], start[a], target.shape[a], grid.shape[a]) for a in range(3))
        values = np.zeros((*self.grid.pooled_shape, 256), np.uint8)
        kernels.values_pooled(mask, x, y, z, self.grid.pool, values)
        return values

    def _smallest(self, mask: UInt8[np.ndarray, "a b c"], structure: Structure) -> UInt8[np.ndarray, "X Y Z"]:
        """Target of a structure between the voxels of the model's grid, as in training."""
        members = np.zeros(256, np.uint8)
        members[list(structure.ids)] = 1
        return resample_mask(mask, members, None, self.geometry, level=self.level, pool=self.grid.pool)


def _nearest(step: float, start: float, count: int, size: int) -> Int64[np.ndarray, " n"]:
    """Source index nearest to each output voxel along one axis; the border is repeated, as for the image."""
    indices = np.floor(start + step * np.arange(count) + 0.5).astype(np.int64)
    return np.clip(indices, 0, size - 1)
