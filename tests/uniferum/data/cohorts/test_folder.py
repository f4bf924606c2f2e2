"""A folder of the user's own data is read as its YAML says; what the YAML does not say is refused, not guessed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cohort_layouts import table, touch
from uniferum.data.cohorts.base import Cohort, open_cohort
from uniferum.errors import UniferumError

COLUMNS = ("scan_id", "path", "who", "split", "pleural_effusion", "fluid", "mask")
CONFIG: dict[str, Any] = {
    "kind": "folder",
    "name": "CLINIC",
    "columns": {"patient": "who", "split": "split"},
    "labels": {"pleural_effusion": {}, "fluid": {"name": "fluid", "organ": "around the heart"}},
    "masks": [{"path": "mask", "kinds": {"all": {"structure": "lungs", "value": 3}}}],
}


def write(root: Path, rows: list[list[object]], /, **changes: Any) -> Cohort:
    table(root / "labels.csv", COLUMNS, rows)
    config = root.parent / "cohort.yaml"
    config.write_text(yaml.safe_dump({**CONFIG, "root": str(root), **changes}, sort_keys=False), encoding="utf-8")
    return open_cohort(config)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.nii.gz", "b.mhd", "c.npz", "masks/a.nii"):
        touch(tmp_path / "clinic" / name)
    (tmp_path / "clinic" / "series").mkdir()
    return tmp_path / "clinic"


def test_volumes_of_every_format_with_known_labels_only(root: Path) -> None:
    rows = [
        ["a", "a.nii.gz", "p1", "train", 1, "", "masks/a.nii"],
        ["b", "b.mhd", "p2", "val", 0, 1, ""],
        ["c", "c.npz", "", "Test", "", "", ""],
        ["d", "series", "p4", "validation", "False", "true", ""],
    ]
    scans = list(write(root, rows).scans())
    assert [(s.scan_id, s.patient_id, s.split, dict(s.labels)) for s in scans] == [
        ("a", "p1", "train", {"pleural_effusion": 1}),
        ("b", "p2", "validation", {"pleural_effusion": 0, "fluid": 1}),
        ("c", "c", "test", {}),
        ("d", "p4", "validation", {"pleural_effusion": 0, "fluid": 1}),
    ]
    (mask,) = scans[0].source.masks
    assert (mask.layer, mask.value, mask.path) == ("lungs", 3, root / "masks/a.nii")


def test_words_of_the_yaml_extend_the_vocabulary(root: Path) -> None:
    vocabulary = write(root, []).vocabulary()
    assert vocabulary.groups["CLINIC", "all"] == ("pleural_effusion", "fluid")
    assert vocabulary.labels["fluid"].prompt == "Diagnose the presence of fluid around the heart"
    own = vocabulary.structures["lungs_mask"]
    assert (own.layer, own.ids, own.prompt) == ("lungs", (1,), vocabulary.structures["lungs"].prompt)
    assert vocabulary.structures["lungs"].layer == "totalsegmentator", "the organ task itself stays"


def test_splits_are_drawn_by_patient_where_the_table_has_none(root: Path) -> None:
    rows = [[f"s{i}", touch(root / f"s{i}.nii").name, f"p{i // 2}", "", 1, 1, ""] for i in range(40)]
    settings: dict[str, Any] = {"columns": {"patient": "who"}, "ignore": ["split"]}
    scans = list(write(root, rows, **settings).scans())
    by_patient = {(s.patient_id, s.split) for s in scans}
    assert len(by_patient) == 20, "both scans of a patient are in one split"
    sizes = [sum(s.split == split for s in scans) for split in ("train", "validation", "test")]
    assert sizes == [28, 4, 8]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([["a", "gone.nii.gz", "p", "train", 1, 1, ""]], "volume file missing"),
        ([["a", "../a.nii.gz", "p", "train", 1, 1, ""]], "path leaves the cohort's folder"),
        ([["a", "/etc/hostname", "p", "train", 1, 1, ""]], "path leaves the cohort's folder"),
        ([["a", "", "p", "train", 1, 1, ""]], "volume file missing"),
        ([["", "a.nii.gz", "p", "train", 1, 1, ""]], "row without an id"),
        ([["a", "a.nii.gz", "p", "train", 1, 1, "masks/gone.nii"]], "mask: volume file missing"),
        ([["a", "a.nii.gz", "p", "train", 1, 1, "masks/../../x.nii"]], "mask: path leaves the cohort's folder"),
    ],
)
def test_rows_that_lead_nowhere_are_counted(root: Path, rows: list[list[object]], reason: str) -> None:
    cohort = write(root, rows)
    assert cohort.card().dropped[reason][0] == 1
    with pytest.raises(UniferumError, match="cohort CLINIC must hold at least one scan"):
        list(cohort.scans())


def test_a_link_out_of_the_folder_is_refused(root: Path, tmp_path: Path) -> None:
    (root / "out.nii.gz").symlink_to(touch(tmp_path / "secret.nii.gz"))
    (root / "loop").symlink_to(root)
    rows: list[list[object]] = [
        ["x", "out.nii.gz", "p", "train", 1, 1, ""],
        ["y", "loop/a.nii.gz", "p", "train", 1, 1, ""],
    ]
    cohort = write(root, rows)
    assert cohort.card().dropped["path leaves the cohort's folder"] == (1, ("x",))
    assert [scan.scan_id for scan in cohort.scans()] == ["y"]


def test_duplicates_and_volumes_without_a_row_are_counted(root: Path) -> None:
    row: list[object] = ["a", "a.nii.gz", "p", "train", 1, 1, "masks/a.nii"]
    dropped = write(root, [row, row]).card().dropped
    assert dropped == {"duplicate id": (1, ("a",)), "scan without a label row": (2, ("b.mhd", "c.npz"))}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {"pleural_effusion": {}}}, "column fluid must be known"),
        ({"labels": {**CONFIG["labels"], "oedema": {"prompt": "?"}}}, "column oedema must exist"),
        ({"labels": {**CONFIG["labels"], "split": {}}}, "label split must be in the vocabulary or have a prompt"),
        ({"labels": {"fluid": {"promt": "?"}}}, "labels.fluid.promt must be a known key; did you mean 'prompt'"),
        ({"masks": [{"path": "mask", "kinds": {"x": {"structure": "lungz"}}}]}, "did you mean 'lungs'"),
        ({"masks": [{"path": "mask", "kinds": {}}]}, "masks.0.kinds"),
        ({"name": "CTRATE"}, "choose another name"),
        ({"name": "clinic one"}, "name"),
        ({"kind": "foldr"}, "did you mean 'folder'"),
        ({"root": "/nowhere/at/all"}, "root .* must be a folder"),
    ],
)
def test_a_wrong_yaml_is_one_line_that_names_the_key(root: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UniferumError, match=message) as caught:
        list(write(root, [], **changes).entries())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("absolute", [False, True])
def test_organ_masks_beside_the_volumes_are_no_volumes_without_a_row(root: Path, absolute: bool) -> None:
    touch(root / "ts/a.nii.gz")
    masks_root = str(root / "ts") if absolute else "ts"
    cohort = write(root, [["a", "a.nii.gz", "p", "train", 1, 1, "masks/a.nii"]], masks_root=masks_root)
    assert cohort.card().dropped["scan without a label row"] == (2, ("b.mhd", "c.npz"))
    assert [mask.layer for mask in next(cohort.scans()).source.masks] == ["lungs", "totalsegmentator"]


def test_a_kind_of_mask_that_the_yaml_does_not_name_is_refused(root: Path) -> None:
    masks = [{"path": "mask", "label": "fluid", "kinds": {"lungs": {"structure": "lungs"}}}]
    row: list[object] = ["a", "a.nii.gz", "p", "train", 1, "lung", "masks/a.nii"]
    labels = {"pleural_effusion": {}}
    with pytest.raises(
        UniferumError,
        match=r"line 2, column fluid, scan a \(lung\) must be a kind of mask in the YAML; did you mean 'lungs'",
    ):
        list(write(root, [row], masks=masks, labels=labels).entries())


def test_a_patient_of_two_splits_is_refused(root: Path) -> None:
    rows: list[list[object]] = [
        ["a", "a.nii.gz", "p1", "train", 1, 1, ""],
        ["b", "b.mhd", "p1", "test", 1, 1, ""],
    ]
    with pytest.raises(UniferumError, match=r"patient p1 \(train and test\) must be in one split"):
        list(write(root, rows).entries())


def test_a_name_too_long_for_the_disk_is_counted(root: Path) -> None:
    cohort = write(root, [["a", "x" * 5000, "p", "train", 1, 1, ""]])
    assert cohort.card().dropped["path cannot be read"] == (1, ("a",))


def test_an_unknown_split_is_refused(root: Path) -> None:
    with pytest.raises(
        UniferumError, match=r"line 2, column split, scan a \(holdout\) must be train, validation or test"
    ):
        list(write(root, [["a", "a.nii.gz", "p", "holdout", 1, 1, ""]]).entries())


def test_the_table_of_the_real_volumes_is_read_whole(realdata: Path) -> None:
    cohort = open_cohort(Path(__file__).parents[3] / "integration" / "realdata.yaml", root=realdata)
    card = cohort.card()
    assert card.scans == {"train": 9, "validation": 3, "test": 3}
    assert card.dropped == {}
    assert card.masks == {"lungs": 3, "gross_tumour_volume": 6, "totalsegmentator": 2, "heart": 1}
    scans = {scan.scan_id: scan for scan in cohort.scans()}
    assert scans["abdomen"].labels == {"lung_in_view": 0}
    assert scans["thorax_1"].source.masks[0].threshold == 127.5
    assert scans["lung_pat_2"].source.path.is_dir()


def test_a_file_or_a_scan_of_two_splits_is_refused(root: Path) -> None:
    (root / "link").symlink_to(root)
    one: list[object] = ["a", "a.nii.gz", "p", "train", 1, 1, ""]
    for path in ("./a.nii.gz", "link/a.nii.gz", ".\\a.nii.gz"):
        with pytest.raises(
            UniferumError, match=r"line 3, column path, scan b \(train with scan a, test here\) must name a"
        ):
            list(write(root, [one, ["b", path, "q", "test", 1, 1, ""]]).entries())
    with pytest.raises(UniferumError, match=r"line 3, column split, scan a \(train and test\) must be in one split"):
        list(write(root, [one, ["a", "b.mhd", "p", "test", 1, 1, ""]]).entries())


def test_one_file_under_two_ids_and_blank_patients_are_counted(root: Path) -> None:
    rows: list[list[object]] = [
        ["a", "a.nii.gz", "", "train", 1, 1, ""],
        ["b", "./a.nii.gz", "NA", "train", 1, 1, ""],
        ["c", "c.npz", "unknown", "test", 1, 1, ""],
    ]
    card = write(root, rows).card()
    assert card.patients == {"train": 2, "test": 1}
    assert card.notes[0] == "1 scans have the same file as another scan id (first: b and a)"
    assert card.notes[1].startswith("3 scans have no patient id: each counts as a separate patient")


def test_a_second_row_that_says_something_else_is_left_out_in_so_many_words(root: Path) -> None:
    rows: list[list[object]] = [
        ["a", "a.nii.gz", "p", "train", 1, 1, ""],
        ["a", "a.nii.gz", "p", "train", 1, 0, ""],
        ["a", "c.npz", "p", "train", "", 1, ""],
    ]
    dropped = write(root, rows).card().dropped
    assert dropped["duplicate id with other labels; the first row is used"] == (1, ("a",))
    assert dropped["duplicate id with other labels and path; the first row is used"] == (1, ("a",))


@pytest.mark.parametrize("path", ["a.nii", "a", "A.NII.GZ", "a.mha"])
def test_a_missing_volume_of_another_ending_or_case_is_reported(root: Path, path: str) -> None:
    dropped = write(root, [["a", path, "p", "train", 1, 1, ""]]).card().dropped
    assert "volume file missing; one whose name differs in ending or case alone is there" in dropped


@pytest.mark.parametrize(
    ("one", "other"), [("P1", "p1"), ("007", "7"), ("7.0", "7"), ("A  b", "A b"), ("\u00e9", "e\u0301")]
)
def test_patients_and_scans_whose_ids_are_spelt_in_two_ways_are_counted(root: Path, one: str, other: str) -> None:
    rows: list[list[object]] = [
        [one, "a.nii.gz", one, "train", 1, 1, ""],
        [other, "c.npz", other, "test", 1, 1, ""],
    ]
    notes = write(root, rows).card().notes
    assert any(note.startswith("1 scan ids differ from another only in case, spaces") for note in notes)
    assert any(note.startswith("1 patients of several splits have ids that differ in case, spaces") for note in notes)


def test_ids_that_a_spreadsheet_rounded_are_counted(root: Path) -> None:
    rows: list[list[object]] = [
        ["1.23E+11", "a.nii.gz", "4.5E+08", "train", 1, 1, ""],
        ["c", "c.npz", "1E5", "test", 1, 1, ""],
    ]
    notes = write(root, rows).card().notes
    assert [note.split(" are rounded")[0] for note in notes] == ["1 scan ids", "1 patient ids"]


def test_volumes_of_every_kind_that_no_row_names_are_counted(root: Path) -> None:
    touch(root / "UPPER.NII.GZ")
    touch(root / "study/series/IM0001.dcm")
    touch(root / "series/IM0001.dcm")
    (root / "linked").symlink_to(root / "masks", target_is_directory=True)
    rows: list[list[object]] = [["d", "series", "p", "train", 1, 1, "linked/a.nii"]]
    dropped = write(root, rows).card().dropped
    assert dropped == {"scan without a label row": (5, ("UPPER.NII.GZ", "a.nii.gz", "b.mhd"))}


def test_an_empty_cohort_says_what_was_looked_for_and_why_all_was_left_out(root: Path) -> None:
    rows: list[list[object]] = [[f"s{k}", f"gone{k}.nii", "p", "train", 1, 1, ""] for k in range(5)]
    with pytest.raises(UniferumError) as caught:
        list(write(root, rows).scans())
    message = str(caught.value)
    assert "searched for the files in column path of labels.csv below" in message
    assert "excluded: 5 volume file missing (first: s0), 4 scan without a label row" in message
    assert "that the download is complete" in message


def test_names_with_pattern_characters_are_names(root: Path) -> None:
    names = ["scan[1].nii", "a**b.nii", "what?.nii", "ü ö.nii", "é.nii", "a,b;c'd.nii", "-rf.nii", "~x.nii"]
    rows: list[list[object]] = [
        [f"s{k}", f'"{touch(root / name).name}"', f"p{k}", "train", 1, 1, ""] for k, name in enumerate(names)
    ]
    cohort = write(root, rows)
    assert [scan.source.path.name for scan in cohort.scans()] == names
    assert cohort.card().dropped["scan without a label row"][0] == 4


def masks(**keys: Any) -> list[dict[str, Any]]:
    return [{"path": "mask", "kinds": {"all": {"structure": "lungs", **keys}}}]


@pytest.mark.parametrize(("value", "known"), [(3, 3), ([3, 4], (3, 4))])
def test_one_value_or_several_may_make_a_layer(root: Path, value: Any, known: Any) -> None:
    rows: list[list[object]] = [["a", "a.nii.gz", "p1", "train", 1, "", "masks/a.nii"]]
    (scan,) = write(root, rows, masks=masks(value=value)).scans()
    assert scan.source.masks[0].value == known


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"value": 1, "threshold": 0.5}, "value or threshold, not both"),
        ({"structure": "totalsegmentator", "threshold": 0.5}, "remove threshold"),
        ({"structure": "totalsegmentator", "value": 5}, "remove value"),
        ({"threshold": float("nan")}, "finite"),
        ({"value": []}, "at least one value"),
    ],
)
def test_what_cannot_be_meant_is_refused(root: Path, keys: dict[str, Any], reason: str) -> None:
    with pytest.raises(UniferumError, match=reason):
        write(root, [], masks=masks(**keys))
