"""Every real volume beside the checkout: what scanners and their converters really write."""

import csv
from functools import cache
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats import read_volume
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.mask_files import read_mask
from uniferum.preprocessing.pipeline import PreparationConfig, PreparedScan, prepare
from uniferum.preprocessing.source import MaskSource, ScanSource

pytestmark = pytest.mark.integration
CONFIG = PreparationConfig(geometry=Geometry(spacing_mm=(2, 2, 2), model_shape=(128, 80, 64)))
KINDS = {
    "lungs": {"layer": "lungs", "threshold": 127.5},
    "gross tumour volume": {"layer": "gross_tumour_volume", "threshold": 0.5},
    "totalsegmentator total v2": {"layer": "totalsegmentator"},
    "heart": {"layer": "heart", "threshold": 0.5},
}
THORACES = ("thorax_1", "thorax_2", "thorax_3")


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "labels.csv").open() as file:
        return {row["scan_id"]: row for row in csv.DictReader(file)}


def source(folder: Path, scan_id: str, *, masks: bool = True) -> ScanSource:
    row = rows(folder)[scan_id]
    layers = (MaskSource(path=folder / row["mask_path"], **KINDS[row["mask_label"]]),) if row["mask_path"] else ()
    return ScanSource(scan_id, folder / row["path"], masks=layers if masks else (), root=folder)


@cache
def prepared(folder: Path, scan_id: str, *, masks: bool = True) -> PreparedScan:
    return prepare(source(folder, scan_id, masks=masks), CONFIG)


def test_every_volume_can_be_prepared_and_none_has_wrong_hu(realdata):
    for scan_id in rows(realdata):
        assert "wrong_hu" not in prepared(realdata, scan_id).flags, scan_id


def test_no_sound_volume_is_thought_to_lie_otherwise_than_its_header_says(realdata):
    for scan_id in rows(realdata):
        for masks in (True, False):
            assert "orientation_doubtful" not in prepared(realdata, scan_id, masks=masks).flags, scan_id
