"""Prepared stores of a few tiny scans with known content, written by the store itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.pipeline import PreparationConfig, PreparedScan, training_level
from uniferum.preprocessing.store.store import Store, manifest_row

# The demo's grid: 4 mm, a level of 52 x 42 x 32, an input of 48 x 40 x 32 voxels of 8 mm; stride 8: 6 x 5 x 4 tokens.
SMALL = Geometry(spacing_mm=(4.0, 4.0, 4.0), model_shape=(48, 40, 32))
TOKENS = (6, 5, 4)
PATCH = 4


def volume(number: int, geometry: Geometry = SMALL) -> np.ndarray:
    """Full-level HU that differ from scan to scan."""
    random = np.random.default_rng(number)
    return random.integers(-1000, 1001, geometry.box_shape).astype(np.int16)


def organs(number: int, geometry: Geometry = SMALL) -> np.ndarray:
    """A mask layer whose ids depend on the scan: the heart (51) always, one rib (92 + number % 12), no lung."""
    ids = np.zeros(geometry.level_shape, np.uint8)
    ids[20:30, 20:30, 10:20] = 51
    ids[5:9, 5:9, 5:9] = 92 + number % 12
    return ids


def write_store(
    path: Path,
    name: str,
    splits: Sequence[str],
    labels: Mapping[str, Sequence[int | None]],
    *,
    masks: Mapping[str, Mapping[int, np.ndarray]] | None = None,
    prompts: Mapping[str, object] | None = None,
    geometry: Geometry = SMALL,
) -> PreparedCohort:
    """A finished store, opened.

    Args:
        path: the new folder.
        name: the cohort.
        splits: the split of each scan; scan ``i`` is ``s<i>`` of patient ``p<i>``.
        labels: label id to the value of each scan, None for unknown.
        masks: layer to scan number to its ids at the training level.
        prompts: a folder cohort's own words.
        geometry: the grids.
    """
    store = Store.create(path, {"name": name}, PreparationConfig(geometry=geometry))
    rows = []
    for number, split in enumerate(splits):
        full = volume(number, geometry)
        layers = {layer: {"train": held[number]} for layer, held in (masks or {}).items() if number in held}
        scan = PreparedScan(
            scan_id=f"s{number:03d}",
            levels={"train": training_level(full, geometry), "full": full},
            masks=layers,
            affine={level: geometry.affine(level, (0.0, 0.0, 0.0)) for level in ("train", "full")},
            flags=(),
            centre_mm=(0.0, 0.0, 0.0),
            lung_source="none",
            z_range_mm=(0.0, 1.0),
            spacing_raw_mm=(1.0, 1.0, 1.0),
            shape_raw=(1, 1, 1),
        )
        header = store.write(scan)
        rows.append(manifest_row(header, patient_id=f"p{number:03d}", study_id=f"e{number:03d}", split=split))
    known = [
        {"scan_id": f"s{number:03d}", "label": label, "value": value}
        for label, values in labels.items()
        for number, value in enumerate(values)
        if value is not None
    ]
    store.finish(rows, known, [], prompts or {})
    return PreparedCohort.open(path)
