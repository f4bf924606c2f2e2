"""Three small stores with visible findings, and a run over them of a few seconds."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uniferum.config import merge
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.pipeline import PreparationConfig, PreparedScan, training_level
from uniferum.preprocessing.store.store import Store, manifest_row
from uniferum.run import RunConfig

GEOMETRY = Geometry(spacing_mm=(8.0, 8.0, 8.0), model_shape=(24, 20, 16))
LABELS = {"CTRATE": ("pleural_effusion", "cardiomegaly"), "RADCHEST": ("pleural_effusion", "pacemaker_or_defib")}
COUNTS = {"train": 12, "validation": 4, "test": 6}
CONFIG: dict[str, Any] = {
    "name": "small",
    "train_on": ["CTRATE"],
    "evaluate_on": ["CTRATE", "RADCHEST"],
    "geometry": GEOMETRY.model_dump(mode="json"),
    "model": {
        "encoder": {"name": "tf_efficientnet_lite0", "weights": "none", "stride": 4},
        "text": {"name": "tiny", "layers": 2, "hidden": 32, "heads": 2},
    },
    "training": {"steps": 6, "validate_every": 3, "batch": 16, "micro_batch": 8, "precision": "fp32"},
    "optim": {"lr": 3e-3, "warmup_steps": 2},
}


def write_store(
    path: Path,
    name: str,
    labels: tuple[str, ...],
    counts: Mapping[str, int],
    *,
    shift: int = 0,
    scale: int = 1,
    flags: Mapping[str, tuple[str, ...]] | None = None,
    without: Collection[str] = (),
    maskless: Collection[str] = (),
    full: bool = False,
) -> Path:
    """A store whose scans show label ``k`` as a brighter slab; ``shift`` changes the labels of the test split.

    ``flags`` are those of the scans that it names; the scans of ``without`` are not there, those of ``maskless`` have
    no mask. With ``full`` the store holds the full level too.
    """
    levels = ("train", "full") if full else ("train",)
    store = Store.create(path, {"name": name}, PreparationConfig(geometry=GEOMETRY, levels=levels))
    rows, known = [], []
    scans = [(split, number) for split, count in counts.items() for number in range(count)]
    for split, number in scans:
        scan_id = f"{split}_{number:02d}"
        if scan_id in without:
            continue
        random = np.random.default_rng([len(name), len(split), number, scale])
        hu = random.integers(-200, 200, GEOMETRY.box_shape).astype(np.int16)
        for index, label in enumerate(labels):
            value = (number + index + (shift if split == "test" else 0)) % 2
            hu[:, :, 12 * index : 12 * index + 12] += np.int16(500 * value)
            known.append({"scan_id": scan_id, "label": label, "value": value})
        ids = np.zeros(GEOMETRY.level_shape, np.uint8)
        ids[4:12, 4:12, 4:12] = 1 if name == "LUNA16" else 51
        scan = PreparedScan(
            scan_id=scan_id,
            levels={level: hu if level == "full" else training_level(hu, GEOMETRY) for level in levels},
            masks={} if scan_id in maskless else {"nodule" if name == "LUNA16" else "totalsegmentator": {"train": ids}},
            affine={level: GEOMETRY.affine(level, (0.0, 0.0, 0.0)) for level in levels},
            flags=(flags or {}).get(scan_id, ()),
            centre_mm=(0.0, 0.0, 0.0),
            lung_source="none",
            z_range_mm=(0.0, 1.0),
            spacing_raw_mm=(1.0, 1.0, 1.0),
            shape_raw=(1, 1, 1),
        )
        header = store.write(scan)
        rows.append(manifest_row(header, patient_id=scan_id, study_id=scan_id, split=split))
    split = {"kind": "own", "seed": 3, "found": counts.get("test", 0), "absent": len(without)}
    store.finish(rows, known, [], {}, {"test": split} if "test" in counts else {})
    return path


def make_config(**changes: Any) -> RunConfig:
    """The small run with some keys changed."""
    return RunConfig.model_validate(merge(CONFIG, changes))


def make_stores(root: Path) -> dict[str, Path]:
    """Three prepared cohorts."""
    stores = {name: write_store(root / name, name, labels, COUNTS) for name, labels in LABELS.items()}
    return {**stores, "LUNA16": write_store(root / "LUNA16", "LUNA16", (), {"train": 2})}
