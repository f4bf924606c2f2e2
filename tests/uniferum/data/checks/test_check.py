"""`uniferum data check`: each way in which a folder can be incomplete, damaged or the wrong one is named."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.support.cohort_layouts import CtRateWriter, nifti, write_inspect, write_rad_chest
from uniferum.data.checks.check import CohortCheck, check
from uniferum.data.checks.file_faults import file_fault, voxels
from uniferum.data.cohorts.base import open_cohort
from uniferum.data.fetch.plan import Record
from uniferum.errors import UniferumError

SHAPE = (12, 11, 10)


@pytest.fixture
def ct_rate(tmp_path: Path) -> CtRateWriter:
    """20 training and 4 validation volumes with masks and lists; nothing is wrong."""
    writer = CtRateWriter(tmp_path / "CT-RATE")
    names = [f"train_{i}_a_1" for i in range(20)] + [f"valid_{i}_a_1" for i in range(4)]
    for name in names:
        writer.volume(name)
        inner = nifti(writer.path(name), SHAPE).relative_to(writer.root / "dataset")
        nifti(writer.root / "dataset/ts_seg/ts_total" / inner, SHAPE)
    writer.save()
    metadata = writer.root / "dataset" / "metadata"
    metadata.mkdir()
    for part in ("train", "valid"):
        (metadata / f"no_chest_{part}.txt").write_text("")
    (tmp_path / "ct_rate.yaml").write_text("kind: ct_rate\nroot: nowhere\nvalidation_patients: 4\n")
    return writer


def looked(writer: CtRateWriter, *settings: str) -> CohortCheck:
    config = writer.root.parent / "ct_rate.yaml"
    return check(open_cohort(config, settings, root=writer.root), config, str(writer.root.parent / "store"))


def faults_of(checked: CohortCheck) -> dict[str, int]:
    return {finding.what: finding.count for finding in checked.findings if finding.weight == "problem"}


def test_a_sound_folder_is_fine_and_leads_to_prepare(ct_rate):
    checked = looked(ct_rate)
    assert (checked.exit_code, faults_of(checked)) == (0, {})
    assert dict(checked.looked.usable) == {"train": 16, "validation": 4, "test": 4}
    assert checked.next_command.startswith("uniferum data prepare ")
    config = ct_rate.root.parent / "ct_rate.yaml"
    result = CliRunner().invoke(app, ["data", "check", str(config), "--root", str(ct_rate.root)])
    assert result.exit_code == 0
    assert "disk: about 142.4 MB for the training level" in result.stderr, "24 scans of 276 x 168 x 128 voxels"
    assert "next: uniferum data prepare" in result.stderr


def test_each_fault_of_a_file_is_named_counted_and_leads_to_fetch(ct_rate):
    whole = ct_rate.path("train_0_a_1").read_bytes()
    for number, content in enumerate(
        (whole[:-9], b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", b"<html>", whole[:40])
    ):
        ct_rate.path(f"train_{number}_a_1").write_bytes(content)
    ct_rate.path("train_6_a_1").rename(ct_rate.path("train_6_a_1").with_suffix(".gz.part"))
    checked = looked(ct_rate)
    assert checked.exit_code == 1
    assert faults_of(checked) == {
        "unfinished downloads": 1,
        "the table has scans whose volume is missing": 1,
        "volumes: a Git pointer instead of the file (git lfs pull, or git annex get)": 1,
        "volumes: truncated": 2,
        "volumes: not a gzip file (an error page of the server?)": 1,
        "volumes: of zero bytes": 1,
    }
    assert checked.next_command == f"uniferum data fetch CTRATE --out {ct_rate.root}"


def test_a_partial_download_cannot_turn_into_a_wrong_split(ct_rate):
    checked = looked(ct_rate, "validation_patients=100")
    (what,) = faults_of(checked)
    assert "validation_patients (100) holds out all 20 patients" in what
    assert checked.exit_code == 1
    assert checked.next_command.startswith("uniferum data check ")


def test_missing_lists_masks_and_splits_are_said(ct_rate):
    (ct_rate.root / "dataset/metadata/no_chest_valid.txt").unlink()
    for number in range(4):
        path = ct_rate.path(f"valid_{number}_a_1")
        (ct_rate.root / "dataset/ts_seg/ts_total" / path.relative_to(ct_rate.root / "dataset")).unlink()
    checked = looked(ct_rate)
    assert list(faults_of(checked)) == ["no_chest_valid.txt is missing: 37 brain scans of valid are not excluded"]
    assert ("to do", 4) in {(finding.weight, finding.count) for finding in checked.findings}


def test_the_version_and_the_root_that_fit_are_named(ct_rate):
    data = ct_rate.root / "dataset"
    config = ct_rate.root.parent / "ct_rate.yaml"
    below = open_cohort(config, root=data)
    with pytest.raises(UniferumError, match=f"must be the folder that holds dataset/; .* --root {ct_rate.root}"):
        check(below, config, "s")
    for part in ("train", "valid"):
        (data / f"{part}_fixed").rename(data / part)
    with pytest.raises(UniferumError, match=r"version \(v2\) must be v1; .* holds train and valid"):
        looked(ct_rate)


def test_the_label_table_of_the_other_part_is_refused(ct_rate):
    folder = ct_rate.root / "dataset/multi_abnormality_labels"
    (folder / "train_predicted_labels.csv").write_bytes((folder / "valid_predicted_labels.csv").read_bytes())
    with pytest.raises(UniferumError, match="must name volumes train_"):
        looked(ct_rate)


def test_nothing_usable_is_exit_code_2(ct_rate):
    for path in ct_rate.root.rglob("*.nii.gz"):
        path.write_bytes(b"")
    assert looked(ct_rate).exit_code == 2


def test_a_subset_that_was_fetched_on_purpose_is_no_problem_and_a_missing_file_of_it_is(ct_rate):
    kept = [f"train_{i}_a_1" for i in range(16)] + ["valid_0_a_1"]
    record = Record("CTRATE", "c0ffee", {"train": 16, "valid": 1}, done=True)
    for name in kept:
        path = ct_rate.path(name)
        record.files[path.relative_to(ct_rate.root).as_posix()] = {"size": path.stat().st_size, "checksum": ""}
    record.write(ct_rate.root)
    for name in {f"train_{i}_a_1" for i in range(20)} - set(kept):
        ct_rate.path(name).unlink()
    assert faults_of(looked(ct_rate)) == {}
    ct_rate.path("train_1_a_1").write_bytes(b"short")
    checked = looked(ct_rate)
    assert "files of the fetch (17 in all) are missing or of another size" in faults_of(checked)
    assert checked.next_command.startswith("uniferum data fetch CTRATE --out")


def test_inspect_leads_to_masks_and_then_to_labels_from_reports(tmp_path):
    root = write_inspect(tmp_path / "full", 6, patients=6)
    config = tmp_path / "inspect.yaml"
    for masks, command in (("masks_root: ts_total\n", "segment"), ("", "label-reports")):
        config.write_text(f"kind: inspect\nroot: {root}\n{masks}")
        checked = check(open_cohort(config), config, str(tmp_path / "store"))
        assert checked.exit_code == 0
        assert checked.next_command.startswith(f"uniferum data {command} {config}")
    with pytest.raises(UniferumError, match=f"--root {root}"):
        check(open_cohort(config, root=tmp_path), config, "s")


def test_rad_chest_in_another_folder_is_pointed_at(tmp_path):
    root = write_rad_chest(tmp_path / "duke", {"trn00001": {}, "val00001": {}, "tst00001": {}}, metadata=False)
    config = tmp_path / "duke.yaml"
    config.write_text(f"kind: rad_chest\nroot: {root}\n")
    (root / "ct").mkdir()
    for path in root.glob("*.npz"):
        np.savez(root / "ct" / path.name, ct=np.zeros((3, 3, 3), np.int16))
        path.unlink()
    with pytest.raises(UniferumError, match=r"images .* must be ct"):
        check(open_cohort(config), config, "s")
    checked = check(open_cohort(config, ["images=ct"]), config, str(tmp_path / "s"))
    assert checked.exit_code == 0
    assert any("each scan counts as a separate patient" in finding.what for finding in checked.findings)


def test_files_in_several_gzip_pieces_and_other_formats_are_looked_at_rightly(tmp_path):
    whole = nifti(tmp_path / "a.nii.gz", SHAPE)
    raw = gzip.decompress(whole.read_bytes())
    pieces = tmp_path / "b.nii.gz"
    pieces.write_bytes(gzip.compress(raw[:900]) + gzip.compress(raw[900:]))
    assert (file_fault(whole), file_fault(pieces)) == (None, None)
    for name, content in (("plain.nii.gz", raw), ("packed.nii", whole.read_bytes())):
        (tmp_path / name).write_bytes(content)  # the reader goes by the content
        assert file_fault(tmp_path / name) is None
    assert voxels(whole) == 12 * 11 * 10
    (tmp_path / "c.nii").write_bytes(raw[:-1])
    no_offset = tmp_path / "nan.nii.gz"
    no_offset.write_bytes(gzip.compress(raw[:108] + np.float32(np.nan).tobytes() + raw[112:]))
    assert (file_fault(no_offset), voxels(no_offset)) == (None, None)
    np.savez(tmp_path / "d.npz", affine=np.eye(4), ct=np.zeros((4, 5, 6), np.int16))
    assert voxels(tmp_path / "d.npz") == 120
    (tmp_path / "e.npz").write_bytes((tmp_path / "d.npz").read_bytes()[:-30])
    header = "ObjectType = Image\nNDims = 3\nDimSize = 4 5 6\nElementSpacing = 1 1 1\nElementType = {}\n"
    # MetaIO's LONG has four bytes.
    for name, size, kind in (("f", 240, "MET_SHORT"), ("g", 239, "MET_SHORT"), ("h", 480, "MET_LONG")):
        (tmp_path / f"{name}.mhd").write_text(header.format(kind) + f"ElementDataFile = {name}.raw\n")
        (tmp_path / f"{name}.raw").write_bytes(bytes(size))
    faults = {path.name: file_fault(path) for path in tmp_path.iterdir() if path.suffix != ".raw"}
    assert {name for name, fault in faults.items() if fault} == {"c.nii", "e.npz", "g.mhd"}
