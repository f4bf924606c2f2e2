"""Scans are prepared into a store once, again only when their content changed; a bad scan does not stop the others."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.support.raw_cohorts import CONFIG, write_cohort
from tests.support.raw_scans import AFFINE, thorax, turned, write_dicom, write_nifti
from uniferum.data.cohorts.base import Cohort, open_cohort
from uniferum.data.prepare_cohort import card_of, finish_store, prepare_chunk
from uniferum.preprocessing.store.store import Store

HU, IDS = thorax()
PLANTED = "ZZPLANTED"


@pytest.fixture
def root(tmp_path) -> Path:
    root = tmp_path / "raw"
    root.mkdir()
    write_nifti(root / "mask.nii.gz", IDS)
    return root


def prepare_all(cohort: Cohort, out: Path) -> list:
    store = Store.create(out, card_of(cohort), CONFIG)
    outcomes = prepare_chunk(cohort.scans(), str(out))
    finish_store(store, cohort, outcomes)
    return outcomes


def test_good_scans_are_prepared_and_bad_ones_become_rows_of_the_failures(root, tmp_path):
    write_nifti(root / "good.nii.gz", HU)
    (root / "bad.nii.gz").write_bytes((root / "good.nii.gz").read_bytes()[:5000])
    names = {"good": Path("good.nii.gz"), "bad": Path("bad.nii.gz"), "gone": Path("gone.nii.gz")}
    cohort = open_cohort(write_cohort(root, names, {"good": "1"}))
    outcomes = prepare_all(cohort, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    assert [outcome.state for outcome in outcomes] == ["prepared", "failed"]
    manifest = store.manifest()
    assert manifest["scan_id"].tolist() == ["good"]
    assert list(manifest.loc[0, "layers"]) == ["totalsegmentator"]
    assert manifest.loc[0, "patient_id"] == "p_good"
    assert store.labels().values.tolist() == [["good", "effusion", 1]]
    failures = store.failures().set_index("scan_id")
    assert failures.loc["bad", "file"] == "bad.nii.gz"
    assert failures.loc["bad", "reason"].startswith("bad.nii.gz must be a whole gzip file")
    assert set(failures.index) == {"bad", "gone"}
    assert "effusion" in store.prompts()["labels"]


def test_a_second_run_keeps_what_is_there_and_the_same_bytes(root, tmp_path):
    write_nifti(root / "a.nii.gz", HU)
    cohort = open_cohort(write_cohort(root, {"a": Path("a.nii.gz")}))
    prepare_all(cohort, tmp_path / "store")
    before = (tmp_path / "store/scans/a.ufs").read_bytes()
    assert [outcome.state for outcome in prepare_all(cohort, tmp_path / "store")] == ["kept"]
    assert (tmp_path / "store/scans/a.ufs").read_bytes() == before
    prepare_all(cohort, tmp_path / "other")
    one, two = (Store.open(tmp_path / name).manifest() for name in ("store", "other"))
    assert one["checksum"].tolist() == two["checksum"].tolist()


def test_content_decides_what_is_prepared_again(root, tmp_path):
    path = write_nifti(root / "a.nii.gz", HU)
    cohort = open_cohort(write_cohort(root, {"a": Path("a.nii.gz")}))
    prepare_all(cohort, tmp_path / "store")
    os.utime(path, (1, 1))
    assert [outcome.state for outcome in prepare_all(cohort, tmp_path / "store")] == ["kept"]
    write_nifti(path, (HU // 2).astype(np.int16))
    assert [outcome.state for outcome in prepare_all(cohort, tmp_path / "store")] == ["prepared"]
    write_nifti(root / "mask.nii.gz", np.roll(IDS, 3, axis=2))
    assert [outcome.state for outcome in prepare_all(cohort, tmp_path / "store")] == ["prepared"]


def test_a_scan_that_went_bad_leaves_the_manifest(root, tmp_path):
    path = write_nifti(root / "a.nii.gz", HU)
    write_nifti(root / "b.nii.gz", HU)
    cohort = open_cohort(write_cohort(root, {"a": Path("a.nii.gz"), "b": Path("b.nii.gz")}))
    prepare_all(cohort, tmp_path / "store")
    path.write_bytes(b"gone bad")
    prepare_all(cohort, tmp_path / "store")
    assert Store.open(tmp_path / "store").manifest()["scan_id"].tolist() == ["b"]


def test_a_mask_that_cannot_be_read_fails_the_scan_and_is_named(root, tmp_path):
    write_nifti(root / "a.nii.gz", HU)
    (root / "mask.nii.gz").write_bytes(b"no mask")
    cohort = open_cohort(write_cohort(root, {"a": Path("a.nii.gz")}))
    (outcome,) = prepare_all(cohort, tmp_path / "store")
    assert outcome.reason.startswith("mask.nii.gz must be a NIfTI file")


def test_nothing_of_a_dicom_header_but_geometry_enters_the_store(root, tmp_path):
    stored, affine = turned(HU, AFFINE, "LPS")
    write_dicom(root / "good", stored, affine, private=PLANTED)
    bad = write_dicom(root / "bad", stored, affine, private=PLANTED)
    for path in bad.iterdir():
        path.write_bytes(path.read_bytes()[:-700])
    cohort = open_cohort(write_cohort(root, {"good": Path("good"), "bad": Path("bad")}))
    outcomes = prepare_all(cohort, tmp_path / "store")
    assert [outcome.state for outcome in outcomes] == ["prepared", "failed"]
    assert PLANTED in (root / "good" / "slice0000").read_bytes().decode("latin-1")
    written = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert len(written) >= 5
    for path in written:
        for secret in (PLANTED, "19700101"):
            assert secret.encode() not in path.read_bytes()
            assert secret not in path.name
    assert all(PLANTED not in repr(outcome) for outcome in outcomes)


def test_a_montage_is_written_on_request(root, tmp_path):
    write_nifti(root / "a.nii.gz", HU)
    cohort = open_cohort(write_cohort(root, {"a": Path("a.nii.gz")}))
    Store.create(tmp_path / "store", card_of(cohort), CONFIG)
    outcomes = prepare_chunk(cohort.scans(), str(tmp_path / "store"), with_montage=True)
    assert [outcome.state for outcome in outcomes] == ["prepared"]
    assert (tmp_path / "store/montages/a.png").read_bytes().startswith(b"\x89PNG")
