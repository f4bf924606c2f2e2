"""Read stored arrays for the loader, and cache them decoded if all of them fit in memory."""

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Int16, UInt8

from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.errors import UniferumError
from uniferum.preprocessing.geometry import Geometry


class Reader:
    """Volumes and masks of several cohorts at one level; can be used from threads."""

    def __init__(self, cohorts: Mapping[str, PreparedCohort], geometry: Geometry, level: str) -> None:
        """Check that all stores have the same grids.

        Raises:
            UniferumError: a store was prepared with another geometry.
        """
        for name, cohort in cohorts.items():
            if not cohort.geometry.serves(geometry, level):
                shown = f"{cohort.geometry.model_shape} from {cohort.geometry.box_mm} mm"
                cure = (
                    f"the run needs {geometry.model_shape} from {geometry.box_mm} mm: prepare {name} with its geometry"
                )
                raise UniferumError(f"store of {name}: geometry", shown, must="be the run's own", cure=cure)
        self._stores = {name: cohort.store for name, cohort in cohorts.items()}
        self._level = level
        self._shape = geometry.shape(level)
        self._kept: dict[tuple[str, str, str], np.ndarray] | None = None

    def keep(self, volumes: Iterable[object], masks: Iterable[object], gib: float) -> bool:
        """Cache what is read from now on if these distinct volumes and masks fit in ``gib``; return whether they do."""
        voxels = int(np.prod(self._shape))
        total = voxels * (2 * len(set(volumes)) + len(set(masks)))
        self._kept = {} if total <= gib * 2**30 else None
        return self._kept is not None

    def volume(self, cohort: str, scan_id: str) -> Int16[np.ndarray, "x y z"]:
        """HU of a scan."""
        return self._array(cohort, scan_id, "")

    def mask(self, cohort: str, scan_id: str, layer: str) -> UInt8[np.ndarray, "x y z"]:
        """Mask layer of a scan."""
        return self._array(cohort, scan_id, layer)

    def _array(self, cohort: str, scan_id: str, layer: str) -> np.ndarray:
        key = (cohort, scan_id, layer)
        array = None if self._kept is None else self._kept.get(key)
        if array is None:
            store = self._stores[cohort]
            level = "full" if self._level == "full" else "train"
            array = store.read_mask(scan_id, layer, level) if layer else store.read(scan_id, level)
            if self._kept is not None:
                self._kept[key] = array
        return array
