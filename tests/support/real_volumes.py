"""The real CT volumes beside the checkout: rows of their table, and scans with their masks."""

import csv
from pathlib import Path

from uniferum.preprocessing.formats.source import MaskSource, ScanSource

KINDS = {
    "lungs": {"layer": "lungs", "threshold": 127.5},
    "gross tumour volume": {"layer": "gross_tumour_volume", "threshold": 0.5},
    "totalsegmentator total v2": {"layer": "totalsegmentator"},
    "heart": {"layer": "heart", "threshold": 0.5},
}


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "labels.csv").open() as file:
        return {row["scan_id"]: row for row in csv.DictReader(file)}


def source(folder: Path, scan_id: str, *, masks: bool = True) -> ScanSource:
    row = rows(folder)[scan_id]
    layers = (MaskSource(path=folder / row["mask_path"], **KINDS[row["mask_label"]]),) if row["mask_path"] else ()
    return ScanSource(scan_id, folder / row["path"], masks=layers if masks else (), root=folder)
