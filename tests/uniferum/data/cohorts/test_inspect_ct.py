"""INSPECT: censored is unknown, damaged scans are dropped and counted, report labels reach the test split only."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.support.cohort_layouts import nifti, table, touch, write_inspect
from uniferum.data.cohorts.inspect_ct import OTHER_SPLIT, Inspect, InspectConfig
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError


def open_at(root: Path, **settings: object) -> Inspect:
    return Inspect(InspectConfig.model_validate({"kind": "inspect", "root": root, **settings}))


def test_outcomes_are_true_false_or_unknown(tmp_path: Path) -> None:
    scan = next(open_at(write_inspect(tmp_path)).scans())
    assert (scan.scan_id, scan.study_id, scan.patient_id, scan.split) == ("PE0000", "0", "100", "train")
    cells = ["True", "False", "Censored", "False", "True", "Censor", "", "False"]
    columns = Vocabulary.load().columns("INSPECT")
    expected = {label: cell for label, cell in zip(columns, cells, strict=True) if cell in ("True", "False")}
    assert scan.labels == {label: int(cell == "True") for label, cell in expected.items()}
    assert len(scan.labels) == 5, "two censored and one empty cell are unknown"


def test_split_names_are_those_of_the_dataset(tmp_path: Path) -> None:
    card = open_at(write_inspect(tmp_path)).card()
    assert card.scans == {"train": 2, "validation": 2, "test": 2}
    assert not any(card.papers_split.values())


def test_broken_affine_and_second_channel_are_dropped_and_counted(tmp_path: Path) -> None:
    write_inspect(tmp_path)
    nifti(tmp_path / "CTPA/PE0000.nii.gz", (4, 5, 6, 2))
    nifti(tmp_path / "CTPA/PE0001.nii.gz", (4, 5, 6, 1))
    flat = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), None)
    flat.header["srow_x"], flat.header["srow_y"], flat.header["srow_z"] = [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]
    flat.header["sform_code"] = 1
    nibabel.save(nibabel.Nifti1Image(flat.dataobj, None, flat.header), tmp_path / "CTPA/PE0002.nii.gz")
    (tmp_path / "CTPA/PE0003.nii.gz").write_bytes(b"\x1f\x8b\x08\x00 not gzip")
    card = open_at(tmp_path).card()
    assert card.dropped == {
        "more than one channel": (1, ("PE0000",)),
        "corrupt affine": (1, ("PE0002",)),
        "header cannot be read": (1, ("PE0003",)),
    }


def test_labels_from_reports_are_given_to_the_test_split_only(tmp_path: Path) -> None:
    write_inspect(tmp_path)
    rows = [[i, "pleural_effusion", i % 2] for i in range(6)] + [[2, "emphysema", ""]]
    table(tmp_path / "report_labels.csv", ("impression_id", "label", "value"), rows)
    for scan in open_at(tmp_path, report_labels="report_labels.csv").scans():
        assert ("pleural_effusion" in scan.labels) == (scan.split == "test")
        assert "emphysema" not in scan.labels, "a report that was not judged is unknown"


def test_a_report_label_outside_the_12_is_refused(tmp_path: Path) -> None:
    write_inspect(tmp_path)
    table(tmp_path / "r.csv", ("impression_id", "label", "value"), [[1, "pulmonary_embolism", 1]])
    with pytest.raises(UniferumError, match="must be one of the 12 shared labels"):
        list(open_at(tmp_path, report_labels="r.csv").entries())


def test_paper_sized_split_is_by_patient_and_seeded(tmp_path: Path) -> None:
    write_inspect(tmp_path, 40, patients=20)
    sizes = {"train": 20, "validation": 6, "test": 10}

    def drawn(seed: int) -> dict[str, str]:
        scans = open_at(tmp_path, split="paper_sized", sizes=sizes, seed=seed).scans()
        return {scan.scan_id: f"{scan.split} {scan.patient_id}" for scan in scans}

    first = drawn(0)
    counts = {split: sum(v.startswith(split) for v in first.values()) for split in sizes}
    assert counts == sizes
    assert len({v.split()[1] for v in first.values()}) == len(set(first.values())), "no patient is in two splits"
    assert first == drawn(0) != drawn(1)
    dropped = open_at(tmp_path, split="paper_sized", sizes=sizes).card().dropped
    assert dropped["beyond the paper's sizes"][0] == 4


def test_rows_without_scans_and_scans_without_rows_are_counted(tmp_path: Path) -> None:
    write_inspect(tmp_path)
    nifti(tmp_path / "CTPA/PEffff.nii.gz")
    (tmp_path / "CTPA/PE0001.nii.gz").unlink()
    with (tmp_path / "labels_20250611.tsv").open("a", encoding="utf-8") as file:
        file.write("\t".join(["77", *["True"] * 8]) + "\n" + "\t".join(["0", *["True"] * 8]) + "\n")
    with (tmp_path / "splits_20250611.tsv").open("a", encoding="utf-8") as file:
        file.write("3\ttest\n")
    dropped = open_at(tmp_path).card().dropped
    assert {why: n for why, (n, _) in dropped.items()} == {
        "volume file missing": 1,
        "label row without a scan": 1,
        "duplicate row in the labels table with other labels: the first row is used": 1,
        f"duplicate row in the splits table{OTHER_SPLIT}": 1,
        "patient is in test too": 1,
        "scan without a label row": 1,
    }


def test_equal_rows_given_twice_are_only_counted_and_an_older_table_is_named(tmp_path: Path) -> None:
    write_inspect(tmp_path)
    for name in ("labels_20250611.tsv", "splits_20250611.tsv"):
        lines = (tmp_path / name).read_text(encoding="utf-8").splitlines(keepends=True)
        (tmp_path / name).write_text("".join([*lines, lines[1]]), encoding="utf-8")
    (tmp_path / "labels_20240101.tsv").write_text("old\n", encoding="utf-8")
    card = open_at(tmp_path).card()
    assert {why: n for why, (n, _) in card.dropped.items()} == {
        "duplicate row in the labels table": 1,
        "duplicate row in the splits table": 1,
    }
    assert "labels_20250611.tsv is read instead of labels_20240101.tsv" in card.notes


def test_the_newest_table_is_read_and_a_missing_one_named(tmp_path: Path) -> None:
    write_inspect(tmp_path)
    (tmp_path / "labels_20250611.tsv").unlink()
    with pytest.raises(UniferumError, match=r"labels_\*\.tsv must match a file"):
        list(open_at(tmp_path).entries())


def test_masks_beside_the_dataset_are_found_as_file_or_folder(tmp_path: Path) -> None:
    write_inspect(tmp_path)
    touch(tmp_path / "ts_total/PE0000.nii.gz")
    touch(tmp_path / "ts_total/PE0001/heart.nii.gz")
    scans = {scan.scan_id: scan for scan in open_at(tmp_path, masks_root="ts_total").scans()}
    whole, classes = scans["PE0000"].source.masks[0], scans["PE0001"].source.masks[0]
    assert whole.class_names is None
    assert classes.class_names is not None
    assert classes.class_names[51] == "heart"
    assert scans["PE0002"].source.masks == ()


def test_any_odd_header_is_counted(tmp_path: Path) -> None:
    write_inspect(tmp_path)
    for name, at, raw in (("PE0000", 70, b"\x4d\0"), ("PE0001", 40, b"\xff\x7f"), ("PE0002", 344, b"abcd")):
        path = tmp_path / f"CTPA/{name}.nii.gz"
        content = bytearray(gzip.decompress(path.read_bytes()))
        content[at : at + len(raw)] = raw
        path.write_bytes(gzip.compress(bytes(content)))
    quaternion = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4))
    quaternion.header["sform_code"], quaternion.header["qform_code"] = 0, 1
    quaternion.header["quatern_b"] = quaternion.header["quatern_c"] = 1
    path = tmp_path / "CTPA/PE0003.nii.gz"
    path.write_bytes(gzip.compress(quaternion.header.binaryblock + b"\0" * 500))
    assert open_at(tmp_path).card().dropped == {"header cannot be read": (4, ("PE0000", "PE0001", "PE0002"))}


def test_a_patient_of_two_official_splits_is_tested_on_and_not_trained_on(tmp_path: Path) -> None:
    write_inspect(tmp_path, studies=6, patients=2)
    card = open_at(tmp_path).card()
    assert card.scans == {"test": 2}
    assert card.dropped == {"patient is in test too": (4, ("PE0000", "PE0001", "PE0003"))}


def test_blank_patients_are_each_their_own_and_counted(tmp_path: Path) -> None:
    write_inspect(tmp_path)
    mapping = tmp_path / "study_mapping_20250611.tsv"
    mapping.write_text(mapping.read_text(encoding="utf-8").replace("\t100\t", "\t\t"), encoding="utf-8")
    card = open_at(tmp_path).card()
    assert card.patients["train"] == 2
    assert any(note.startswith("2 scans have no patient id") for note in card.notes)


def test_a_bad_label_names_line_column_and_study(tmp_path: Path) -> None:
    labels = write_inspect(tmp_path) / "labels_20250611.tsv"
    text = labels.read_text(encoding="utf-8").replace("3\tTrue", "3\tmaybe")
    labels.write_text(text, encoding="utf-8")
    with pytest.raises(UniferumError, match=r"line 5, column \w+, study 3 \(maybe\) must be 0, 1"):
        list(open_at(tmp_path).entries())


def test_masks_that_are_none_leave_their_scan_out(tmp_path: Path) -> None:
    write_inspect(tmp_path)
    (tmp_path / "ts/PE0000").mkdir(parents=True)
    touch(tmp_path / "ts/PE0001.nii.gz").write_bytes(b"no mask at all")
    card = open_at(tmp_path, masks_root="ts").card()
    assert card.dropped == {"mask: must hold files named after TotalSegmentator classes": (1, ("PE0000",))}
    assert card.masks == {"totalsegmentator": 1}
