"""A folder cohort of raw scans, and small grids to prepare it on."""

import csv
from pathlib import Path

from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.pipeline import PreparationConfig

CONFIG = PreparationConfig(geometry=Geometry(spacing_mm=(8, 8, 8), model_shape=(24, 20, 16)))


def write_cohort(root: Path, scans: dict[str, Path], labels: dict[str, str] | None = None) -> Path:
    """A folder cohort's table and YAML."""
    with (root / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["scan_id", "path", "patient", "effusion", "mask"])
        for scan_id, path in scans.items():
            mask = "mask.nii.gz" if (root / "mask.nii.gz").exists() else ""
            table.writerow([scan_id, path, f"p_{scan_id}", (labels or {}).get(scan_id, ""), mask])
    (root / "cohort.yaml").write_text(
        f"kind: folder\nname: OWN\nroot: {root}\n"
        "columns: {scan: scan_id, path: path, patient: patient}\n"
        "labels: {effusion: {name: effusion, organ: around the lungs}}\n"
        "masks: [{path: mask, kinds: {organs: {structure: totalsegmentator}}}]\n"
    )
    return root / "cohort.yaml"
