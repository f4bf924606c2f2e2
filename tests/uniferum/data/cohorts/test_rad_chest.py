"""RAD-ChestCT: labels collapse by exactly their abnormality, axes come from an affine."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.support.cohort_layouts import touch, write_rad_chest
from uniferum.data.cohorts.rad_chest import RadChest, RadChestConfig, affine_of
from uniferum.errors import UniferumError


def open_at(root: Path, **settings: object) -> RadChest:
    return RadChest(RadChestConfig.model_validate({"kind": "rad_chest", "root": root, **settings}))


def test_a_label_is_the_maximum_over_its_own_locations(tmp_path: Path) -> None:
    rows = {
        "trn00001": {"septal_thickening*heart": 1},
        "trn00002": {"pleural_thickening*left_lung": 1, "nodulegr1cm*heart": 1},
        "trn00003": {"cabg*left_lung": "", "cabg*heart": ""},
    }
    scans = {s.scan_id: s.labels for s in open_at(write_rad_chest(tmp_path, rows)).scans()}
    assert [k for k, v in scans["trn00001"].items() if v] == ["septal_thickening"]
    assert [k for k, v in scans["trn00002"].items() if v] == ["pleural_thickening"]
    assert len(scans["trn00001"]) == 39
    assert "cabg" not in scans["trn00003"]


def test_axes_are_inferior_posterior_left(tmp_path: Path) -> None:
    source = next(open_at(write_rad_chest(tmp_path, {"trn00001": {}})).scans()).source
    assert source.affine == affine_of(0.8)
    assert nibabel.aff2axcodes(np.array(source.affine)) == ("I", "P", "L")
    np.testing.assert_allclose(np.linalg.norm(np.array(source.affine)[:3, :3], axis=0), 0.8)
    assert source.known_hu_clip == (-1000, 1000)


def test_official_split_comes_from_the_table_and_patients_from_the_metadata(tmp_path: Path) -> None:
    write_rad_chest(tmp_path, {"trn00002": {}, "trn00003": {}, "val00004": {}, "tst00006": {}})
    cohort = open_at(tmp_path)
    assert {s.scan_id: (s.split, s.patient_id) for s in cohort.scans()} == {
        "trn00002": ("train", "M1"),
        "trn00003": ("train", "M1"),
        "val00004": ("validation", "M2"),
        "tst00006": ("test", "M3"),
    }
    assert cohort.card().patients == {"train": 1, "validation": 1, "test": 1}


def test_without_metadata_each_scan_is_a_patient_and_the_card_says_so(tmp_path: Path) -> None:
    cohort = open_at(write_rad_chest(tmp_path, {"trn00002": {}, "trn00003": {}}, metadata=False))
    assert len({scan.patient_id for scan in cohort.scans()}) == 2
    assert any("separate patient" in note for note in cohort.notes())


def test_paper_sized_keeps_imgtrain_and_redraws_the_rest_by_patient(tmp_path: Path) -> None:
    rows = {f"{'trn' if i < 20 else 'val' if i < 40 else 'tst'}{i:05d}": {} for i in range(60)}
    scans = list(open_at(write_rad_chest(tmp_path, rows), split="paper_sized").scans())
    assert {s.scan_id for s in scans if s.split == "train"} == {f"trn{i:05d}" for i in range(20)}
    validation = {s.patient_id for s in scans if s.split == "validation"}
    test = {s.patient_id for s in scans if s.split == "test"}
    assert not validation & test
    assert len(validation) > len(test) > 0, "984 to 360, scaled down to 40 scans"
    assert any(s.scan_id.startswith("tst") for s in scans if s.split == "validation")


def test_files_and_rows_without_each_other_are_counted(tmp_path: Path) -> None:
    write_rad_chest(tmp_path, {"trn00001": {}, "trn00002": {}})
    (tmp_path / "trn00002.npz").unlink()
    touch(tmp_path / "val00009.npz")
    assert open_at(tmp_path).card().dropped == {
        "volume file missing": (1, ("trn00002",)),
        "scan without a label row": (1, ("val00009",)),
    }


def test_a_missing_abnormality_is_named(tmp_path: Path) -> None:
    path = write_rad_chest(tmp_path, {"trn00001": {}}) / "imgtrain_Abnormality_and_Location_Labels.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("cabg*", "cabbage*"), encoding="utf-8")
    with pytest.raises(UniferumError, match=r"cabg\*<location> must exist; did you mean 'cabbage'"):
        list(open_at(tmp_path).entries())


def test_a_patient_of_two_tables_is_tested_on_and_not_trained_on(tmp_path: Path) -> None:
    card = open_at(write_rad_chest(tmp_path, {"trn00002": {}, "trn00004": {}, "val00005": {}, "tst00003": {}})).card()
    assert card.scans == {"validation": 1, "test": 1}
    assert card.dropped == {
        "patient is in test too": (1, ("trn00002",)),
        "patient is in validation too": (1, ("trn00004",)),
    }


def test_a_scan_of_two_tables_stays_in_the_later_split(tmp_path: Path) -> None:
    write_rad_chest(tmp_path, {"trn00001": {}, "tst00003": {}}, metadata=False)
    for table in ("imgtrain", "imgtest"):
        path = tmp_path / f"{table}_Abnormality_and_Location_Labels.csv"
        path.write_text(path.read_text(encoding="utf-8").replace("tst00003", "trn00001"), encoding="utf-8")
    (tmp_path / "tst00003.npz").unlink()
    assert [(s.scan_id, s.split) for s in open_at(tmp_path).scans()] == [("trn00001", "test")]


def test_a_bad_cell_names_line_column_and_scan(tmp_path: Path) -> None:
    write_rad_chest(tmp_path, {"trn00001": {}, "trn00002": {"cabg*heart": "yes"}})
    with pytest.raises(UniferumError, match=r"line 3, column cabg\*heart, scan trn00002 \(yes\) must be 0, 1"):
        list(open_at(tmp_path).entries())


def test_labels_beyond_the_papers_are_kept_apart(tmp_path: Path) -> None:
    write_rad_chest(tmp_path, {"trn1": {"nodulegr1cm*heart": 1, "cabg*heart": 1}})
    (scan,) = RadChest(RadChestConfig(kind="rad_chest", root=tmp_path)).scans()
    assert scan.further_labels == {"radchest_nodule": 0, "radchest_nodulegr1cm": 1, "radchest_hernia": 0}
    assert scan.labels["cabg"] == 1
    assert not scan.labels.keys() & scan.further_labels.keys()
