"""CT-RATE is read as its owners publish it, and what is left out is counted."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests.support.cohort_layouts import CT_RATE_COLUMNS, CtRateWriter, table, touch
from uniferum.data.cohorts.base import Scan
from uniferum.data.cohorts.ct_rate import METADATA, CtRate, CtRateConfig
from uniferum.errors import UniferumError


def open_at(root: Path, **settings: object) -> CtRate:
    return CtRate(CtRateConfig.model_validate({"kind": "ct_rate", "root": root, "validation_patients": 1, **settings}))


def by_id(cohort: CtRate) -> dict[str, Scan]:
    return {scan.scan_id: scan for scan in cohort.scans()}


def test_rows_become_scans_with_patient_study_and_all_18_labels(ct_rate_writer: CtRateWriter) -> None:
    ct_rate_writer.volume("train_7_b_2", {"Cardiomegaly": 1})
    ct_rate_writer.volume("valid_1_a_1", {"Lung nodule": "", "Pleural effusion": "1.0"})
    scans = by_id(open_at(ct_rate_writer.save(), validation_patients=0))
    train, test = scans["train_7_b_2"], scans["valid_1_a_1"]
    assert (train.patient_id, train.study_id, train.split, train.volume_id) == (
        "train_7",
        "train_7_b",
        "train",
        "CTRATE/train_7_b_2",
    )
    assert len(train.labels) == 18
    assert [label for label, value in train.labels.items() if value] == ["cardiomegaly"]
    assert test.split == "test"
    assert test.labels["pleural_effusion"] == 1
    assert "lung_nodule" not in test.labels, "an empty cell is unknown, not negative"


def test_v2_volumes_are_never_rescaled(ct_rate_writer: CtRateWriter) -> None:
    ct_rate_writer.volume("train_1_a_1")
    ct_rate_writer.volume("valid_1_a_1")
    metadata = ct_rate_writer.root / "dataset" / "metadata" / "train_metadata.csv"
    table(metadata, ("VolumeName", "RescaleSlope", "RescaleIntercept"), [["train_1_a_1.nii.gz", 1, -8192]])
    source = by_id(open_at(ct_rate_writer.save(), validation_patients=0))["train_1_a_1"].source
    assert source.intensity is None
    assert source.affine is None


def test_v1_geometry_and_intensity_come_from_the_metadata(ct_rate_writer: CtRateWriter) -> None:
    ct_rate_writer.volume("train_1_a_1", file=False)
    ct_rate_writer.volume("train_2_a_1", file=False)
    touch(ct_rate_writer.path("train_1_a_1", "train"))
    touch(ct_rate_writer.path("train_2_a_1", "train"))
    ct_rate_writer.volume("valid_1_a_1", file=False)
    rows = [
        ["train_1_a_1.nii.gz", 2.0, -1024, '"[0.7, 0.8]"', 1.5, '"[-150.0, -140.0, 30.0]"', '"[1, 0, 0, 0, 1, 0]"'],
        ["train_2_a_1.nii.gz", 1.0, -1024, '"[0.7, 0.7]"', "", '"[0, 0, 0]"', '"[1, 0, 0, 0, 1, 0]"'],
    ]
    folder = ct_rate_writer.root / "dataset" / "metadata"
    table(folder / "train_metadata.csv", METADATA, rows)
    table(folder / "validation_metadata.csv", METADATA, [])
    cohort = open_at(ct_rate_writer.save(), version="v1")
    source = by_id(cohort)["train_1_a_1"].source
    assert source.intensity is not None
    assert (source.intensity.slope, source.intensity.intercept) == (2.0, -1024.0)
    lps = np.array([[0.7, 0, 0, -150], [0, 0.8, 0, -140], [0, 0, 1.5, 30], [0, 0, 0, 1]])
    np.testing.assert_allclose(np.array(source.affine), np.diag([-1, -1, 1, 1]) @ lps)
    assert cohort.card().dropped["metadata row is incomplete"] == (1, ("train_2_a_1",))


@pytest.mark.parametrize(
    ("slope", "cosines", "reason"),
    [
        (-1.0, "[1, 0, 0, 0, 1, 0]", "a spacing or slope that is not positive"),
        (1.0, "[2, 0, 0, 0, 1, 0]", "directions that are not of length 1 or not at right angles"),
        (1.0, "[0, 0, 0, 0, 0, 0]", "directions that are not of length 1 or not at right angles"),
        (1.0, "[1, 0, 0, 0.7071, 0.7071, 0]", "directions that are not of length 1 or not at right angles"),
    ],
)
def test_impossible_metadata_of_a_v1_volume_leave_it_out(
    ct_rate_writer: CtRateWriter, slope: float, cosines: str, reason: str
) -> None:
    ct_rate_writer.volume("train_1_a_1", file=False)
    ct_rate_writer.volume("valid_1_a_1", file=False)
    touch(ct_rate_writer.path("train_1_a_1", "train"))
    row = ["train_1_a_1.nii.gz", slope, -1024, '"[0.7, 0.8]"', 1.5, '"[0, 0, 0]"', f'"{cosines}"']
    folder = ct_rate_writer.root / "dataset" / "metadata"
    table(folder / "train_metadata.csv", METADATA, [row])
    table(folder / "validation_metadata.csv", METADATA, [])
    dropped = open_at(ct_rate_writer.save(), version="v1").card().dropped
    assert dropped[f"metadata row has {reason}"] == (1, ("train_1_a_1",))


@pytest.mark.parametrize(
    "line",
    ["train\\train_2\\train_2_a\\train_2_a_1.nii.gz", '"train_2_a_1.nii.gz",', "train_2_a_1.NII.GZ", "train_2_a_1"],
)
def test_brain_scans_are_found_however_their_list_is_written(ct_rate_writer: CtRateWriter, line: str) -> None:
    for name in ("train_1_a_1", "train_2_a_1", "valid_1_a_1"):
        ct_rate_writer.volume(name)
    listed = ct_rate_writer.root / "dataset" / "metadata" / "no_chest_train.txt"
    touch(listed).write_text(f"{line}\r\ntrain_77_a_1.nii.gz\r\n", encoding="utf-8")
    card = open_at(ct_rate_writer.save(), exclude=["train_1_a_1.nii.gz", "train_88"]).card()
    assert card.dropped["brain or other non-chest scan"] == (1, ("train_2_a_1",))
    assert card.dropped["excluded by the config"] == (1, ("train_1_a_1",))
    assert (
        "2 names in exclude or no_chest_*.txt match no row of the label tables (first: train_77_a_1.nii.gz)"
        in card.notes
    )


def test_brain_scans_are_found_by_file_name_whatever_the_path(ct_rate_writer: CtRateWriter) -> None:
    for name in ("train_1_a_1", "train_2_a_1", "valid_1_a_1"):
        ct_rate_writer.volume(name)
    listed = ct_rate_writer.root / "dataset" / "metadata" / "no_chest_train.txt"
    touch(listed).write_text("train/train_2/train_2_a/train_2_a_1.nii.gz\n\n", encoding="utf-8")
    card = open_at(ct_rate_writer.save()).card()
    assert card.dropped["brain or other non-chest scan"] == (1, ("train_2_a_1",))
    assert any("no_chest_valid.txt is missing" in note for note in card.notes)


def test_held_out_patients_are_whole_seeded_and_independent_of_row_order(ct_rate_writer: CtRateWriter) -> None:
    names = [f"train_{patient}_a_{recon}" for patient in range(30) for recon in (1, 2)]
    for name in (*names, "valid_1_a_1"):
        ct_rate_writer.volume(name)
    root = ct_rate_writer.save()
    first = {s.scan_id: s.split for s in open_at(root, validation_patients=10).scans()}
    ct_rate_writer.rows["train"].reverse()
    again = {s.scan_id: s.split for s in open_at(ct_rate_writer.save(), validation_patients=10).scans()}
    other = {s.scan_id: s.split for s in open_at(root, validation_patients=10, validation_seed=1).scans()}
    assert first == again != other
    assert list(first.values()).count("validation") == 20
    assert all(first[f"train_{p}_a_1"] == first[f"train_{p}_a_2"] for p in range(30))


def test_further_reconstructions_can_be_left_out(ct_rate_writer: CtRateWriter) -> None:
    for name in ("train_1_a_1", "train_1_a_2", "valid_1_a_1", "valid_1_a_2"):
        ct_rate_writer.volume(name)
    card = open_at(ct_rate_writer.save(), reconstructions="first").card()
    assert sum(card.scans.values()) == 2
    assert card.papers_split["test"] is False


def test_masks_lie_in_the_same_subfolders_as_the_fixed_volumes(ct_rate_writer: CtRateWriter) -> None:
    ct_rate_writer.volume("train_1_a_1")
    ct_rate_writer.volume("train_2_a_1")
    ct_rate_writer.volume("valid_1_a_1")
    mask = touch(ct_rate_writer.path("train_1_a_1", "ts_seg/ts_total/train_fixed"))
    scans = by_id(open_at(ct_rate_writer.save()))
    assert [m.path for m in scans["train_1_a_1"].source.masks] == [mask]
    assert scans["train_1_a_1"].source.masks[0].layer == "totalsegmentator"
    assert scans["train_2_a_1"].source.masks == ()


def test_everything_left_out_is_counted_with_its_reason(ct_rate_writer: CtRateWriter) -> None:
    ct_rate_writer.volume("train_1_a_1")
    ct_rate_writer.volume("train_1_a_1")
    ct_rate_writer.volume("train_2_a_1", file=False)
    ct_rate_writer.volume("valid_1_a_1")
    ct_rate_writer.rows["valid"].append(["../../x.nii.gz", *[0] * 18])
    touch(ct_rate_writer.path("train_9_a_1"))
    card = open_at(ct_rate_writer.save(), exclude=["valid_1"], validation_patients=0).card()
    assert {why: n for why, (n, _) in card.dropped.items()} == {
        "duplicate id": 1,
        "volume file missing": 1,
        "name is not <patient>_<scan>_<reconstruction>.nii.gz": 1,
        "scan without a label row": 1,
        "excluded by the config": 1,
    }
    assert card.expected == {"train": 46168, "validation": 221, "test": 3002}
    assert card.missing["test"] == 3002


def test_a_volume_linked_from_outside_is_refused_unless_links_are_followed(
    ct_rate_writer: CtRateWriter, tmp_path: Path
) -> None:
    ct_rate_writer.volume("train_1_a_1", file=False)
    ct_rate_writer.volume("valid_1_a_1")
    link = ct_rate_writer.path("train_1_a_1")
    link.parent.mkdir(parents=True)
    link.symlink_to(touch(tmp_path / "elsewhere.nii.gz"))
    root = ct_rate_writer.save()
    assert open_at(root).card().dropped["path leaves the cohort's folder"] == (1, ("train_1_a_1",))
    followed = by_id(open_at(root, follow_symlinks=True, validation_patients=0))["train_1_a_1"]
    assert followed.source.root is None


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (CT_RATE_COLUMNS[:-1], "column Pulmonary fibrotic sequela must exist"),
        ((*CT_RATE_COLUMNS, "Cardiomegally"), "column Cardiomegally must be known"),
    ],
)
def test_missing_and_unknown_label_columns_are_refused(
    ct_rate_writer: CtRateWriter, columns: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UniferumError, match=message):
        list(open_at(ct_rate_writer.save(columns)).entries())


def test_a_probability_is_no_label(ct_rate_writer: CtRateWriter) -> None:
    ct_rate_writer.volume("train_1_a_1", {"Emphysema": 0.4})
    with pytest.raises(
        UniferumError, match=r"line 2, column Emphysema, scan train_1_a_1\.nii\.gz \(0\.4\) must be 0, 1"
    ):
        list(open_at(ct_rate_writer.save()).entries())


@pytest.mark.slow
def test_rows_are_streamed(tmp_path: Path) -> None:
    folder = tmp_path / "dataset" / "multi_abnormality_labels"
    columns = ("VolumeName", *CT_RATE_COLUMNS)
    table(folder / "train_predicted_labels.csv", columns, [])
    table(folder / "valid_predicted_labels.csv", columns, [])
    with (folder / "train_predicted_labels.csv").open("a", encoding="utf-8") as file:
        for i in range(3_000):
            file.write(f"train_{i // 2}_a_{i % 2 + 1}.nii.gz" + f",{i % 3 // 2}" * 18 + "\n")
    tracemalloc.start()
    assert sum(1 for _ in open_at(tmp_path, validation_patients=100).entries()) == 3_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 2**20, "all rows at once would be more than 6 MiB"


def test_holding_out_every_training_patient_is_refused_with_a_number_that_fits(ct_rate_writer: CtRateWriter) -> None:
    for patient in range(34):
        ct_rate_writer.volume(f"train_{patient}_a_1")
    ct_rate_writer.volume("valid_1_a_1")
    cohort = open_at(ct_rate_writer.save(), validation_patients=100)
    message = (
        r"\(all 34 belong to patients held out for selection\) must leave some .* 34 training .* 100: set it to about 3"
    )
    with pytest.raises(UniferumError, match=message):
        list(cohort.scans())
    notes = cohort.card().notes
    assert any(note.startswith("cannot be prepared: ") for note in notes)
    assert "no train scan was found" in notes


def test_a_partial_download_holds_out_the_same_patients_and_says_how_much_is_there(
    ct_rate_writer: CtRateWriter,
) -> None:
    for patient in range(30):
        ct_rate_writer.volume(f"train_{patient}_a_1")
    root = ct_rate_writer.save()
    whole = {s.scan_id: s.split for s in open_at(root, validation_patients=10).scans()}
    for patient in range(12):
        ct_rate_writer.path(f"train_{patient}_a_1").unlink()
    ct_rate_writer.path("train_12_a_1").write_bytes(b"")
    part = open_at(root, validation_patients=10)
    assert {s.scan_id: s.split for s in part.scans()}.items() <= whole.items()
    assert "17 of 30 volumes in the tables are on disk: the dataset is incomplete" in part.card().notes
    assert part.card().dropped["volume file is empty"] == (1, ("train_12_a_1",))


def test_a_wrong_version_says_which_one_fits(ct_rate_writer: CtRateWriter) -> None:
    ct_rate_writer.volume("train_1_a_1")
    root = ct_rate_writer.save()
    with pytest.raises(UniferumError, match="only train_fixed exists: set version: v2"):
        list(open_at(root, version="v1").entries())
    touch(ct_rate_writer.path("valid_1_a_1", "valid"))
    assert any("valid exists instead of valid_fixed" in note for note in open_at(root).notes())


def test_a_root_that_is_a_folder_too_deep_is_named(ct_rate_writer: CtRateWriter) -> None:
    ct_rate_writer.volume("train_1_a_1")
    with pytest.raises(UniferumError, match="must contain dataset/; use the folder above it"):
        list(open_at(ct_rate_writer.save() / "dataset").entries())


def test_the_labels_of_another_dataset_are_named(ct_rate_writer: CtRateWriter) -> None:
    ct_rate_writer.volume("train_1_a_1")
    labels = ct_rate_writer.save() / "dataset/multi_abnormality_labels/train_predicted_labels.csv"
    table(labels, ("NoteAcc_DEID", "cabg*heart"), [["trn1", 0]])
    with pytest.raises(UniferumError, match=r"column VolumeName must exist; .* it looks like a table of RAD-ChestCT"):
        list(open_at(ct_rate_writer.root).entries())


def test_volumes_that_lie_elsewhere_and_rows_of_the_other_part_are_counted(ct_rate_writer: CtRateWriter) -> None:
    ct_rate_writer.volume("train_1_a_1")
    ct_rate_writer.volume("train_2_a_1", file=False)
    touch(ct_rate_writer.root / "dataset/train_fixed/train_2_a_1.nii.gz")
    touch(ct_rate_writer.root / "dataset/train_fixed/train_9/TRAIN.NII.GZ")
    ct_rate_writer.rows["train"].append(["valid_1_a_1.nii.gz", *[0] * 18])
    card = open_at(ct_rate_writer.save(), validation_patients=0).card()
    assert card.dropped == {
        "volume file missing": (1, ("train_2_a_1",)),
        "row of the other part in the train table": (1, ("valid_1_a_1",)),
        "volume lies where its row does not say": (1, ("train_2_a_1",)),
        "scan without a label row": (1, ("TRAIN",)),
    }


def test_fewer_training_scans_than_held_out_ones_are_noted(ct_rate_writer: CtRateWriter) -> None:
    for patient in range(5):
        ct_rate_writer.volume(f"train_{patient}_a_1")
    card = open_at(ct_rate_writer.save(), validation_patients=4).card()
    assert "only 1 scans for training, and 4 held out for selection" in card.notes
