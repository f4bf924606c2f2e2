"""LUNA16: annotations become spheres in RAS millimetres; the 601 are the scans that have one."""

from pathlib import Path

import pytest

from tests.support.cohort_layouts import table, touch
from uniferum.data.cohorts.luna16 import Luna16, Luna16Config
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.source import Sphere

COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm")


def open_at(root: Path, **settings: object) -> Luna16:
    return Luna16(Luna16Config.model_validate({"kind": "luna16", "root": root, **settings}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rows = [["1.2.3", -100.5, 67.25, -231.0, 6.5], ["1.2.9", 1, 2, 3, 4], ["1.2.3", 10, 20, 30, 5]]
    table(tmp_path / "annotations.csv", COLUMNS, rows)
    touch(tmp_path / "subset0/1.2.3.mhd")
    touch(tmp_path / "subset0/1.2.3.raw")
    touch(tmp_path / "subset9/1.2.4.mhd")
    return tmp_path


def test_annotations_in_lps_become_spheres_in_ras(root: Path) -> None:
    (scan,) = open_at(root).scans()
    assert scan.source.masks[0].layer == "nodule"
    assert scan.source.masks[0].spheres == (Sphere((100.5, -67.25, -231.0), 6.5), Sphere((-10.0, -20.0, 30.0), 5.0))
    assert (scan.split, dict(scan.labels)) == ("train", {})


def test_scans_without_a_nodule_are_left_out_and_counted(root: Path) -> None:
    card = open_at(root).card()
    assert card.dropped == {"no annotated nodule": (1, ("1.2.4",)), "volume file missing": (1, ("1.2.9",))}
    assert card.expected == {"train": 601}
    kept = {scan.scan_id: scan.source.masks for scan in open_at(root, only_with_nodules=False).scans()}
    assert kept["1.2.4"] == ()


@pytest.mark.parametrize(
    "row", [["1.2.3", "a", 1, 1, 4], ["1.2.3", 1, 1, 1, 0], ["1.2.3", "nan", 1, 1, 4], ["1.2.3", 1, 1, 1, 900]]
)
def test_impossible_annotations_are_refused(root: Path, row: list[object]) -> None:
    table(root / "annotations.csv", COLUMNS, [row])
    with pytest.raises(UniferumError, match=r"1\.2\.3 must have"):
        list(open_at(root).entries())


def test_a_volume_without_its_voxels_and_endings_in_capitals_are_reported(root: Path) -> None:
    header = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementSpacing = 1 1 1\nElementType = MET_SHORT\n"
    (root / "subset0/1.2.3.mhd").write_text(header + "ElementDataFile = 1.2.3.zraw\n", encoding="utf-8")
    touch(root / "subset1/1.2.9.MHD")
    card = open_at(root).card()
    assert card.scans == {"train": 1}
    assert card.dropped["voxel file of the volume missing"] == (1, ("1.2.3",))
    assert "1 of 2 volumes in the tables are on disk: the dataset is incomplete" in card.notes


def test_a_decimal_comma_is_named(root: Path) -> None:
    text = "seriesuid;coordX;coordY;coordZ;diameter_mm\n1.2.3;-100,5;67,2;1;6\n"
    (root / "annotations.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UniferumError, match=r"line 2, scan 1\.2\.3 must have numbers .* use a decimal point"):
        list(open_at(root).entries())


def test_the_candidates_are_no_annotations(root: Path) -> None:
    table(root / "annotations.csv", ("seriesuid", "coordX", "coordY", "coordZ", "class"), [])
    with pytest.raises(UniferumError, match=r"column diameter_mm must exist; .* it looks like LUNA16's candidates"):
        list(open_at(root).entries())
