"""`uniferum data prepare` and `verify`, as a person types them."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.uniferum.data.test_preparation import write_cohort
from tests.uniferum.preprocessing.raw_scans import IDS_LUNGS, thorax, write_nifti
from uniferum.errors import UniferumError
from uniferum.preprocessing.store import Store

HU, IDS = thorax()
SMALL = ("--set", "geometry={spacing_mm: [8, 8, 8], model_shape: [24, 20, 16]}", "--local", "--workers", "0")


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def cohort(tmp_path) -> Path:
    root = tmp_path / "raw"
    root.mkdir()
    write_nifti(root / "mask.nii.gz", IDS)
    return write_cohort(root, {n: write_nifti(root / f"{n}.nii.gz", HU).relative_to(root) for n in ("a", "b")})


def test_prepare_says_what_it_did_and_a_second_time_that_nothing_was_left(cohort, tmp_path):
    first = run("data", "prepare", cohort, "--out", tmp_path / "store", "--montage", *SMALL)
    assert first.exit_code == 0
    assert "2 scans (2 prepared now, 0 kept, 0 failed)" in first.stderr
    assert (tmp_path / "store/montages/a.png").exists()
    assert "0 prepared now, 2 kept" in run("data", "prepare", cohort, "--out", tmp_path / "store", *SMALL).stderr


def test_dry_run_writes_nothing(cohort, tmp_path):
    result = run("data", "prepare", cohort, "--out", tmp_path / "store", "--dry-run", *SMALL)
    assert result.exit_code == 0
    assert "2 scans, 0 of them in the store" in result.stderr
    assert not (tmp_path / "store").exists()


def test_verify_finds_damage_and_prepare_repairs_it(cohort, tmp_path):
    store = tmp_path / "store"
    run("data", "prepare", cohort, "--out", store, *SMALL)
    assert run("data", "verify", store).exit_code == 0
    path = store / "scans/a.ufs"
    path.write_bytes(path.read_bytes()[:-10])
    found = run("data", "verify", store, "--remove")
    assert found.exit_code == 1
    assert "1 scans are damaged" in found.stderr
    assert "1 prepared now, 1 kept" in run("data", "prepare", cohort, "--out", store, *SMALL).stderr
    assert run("data", "verify", store).exit_code == 0


def test_failures_are_shown_and_only_a_store_without_a_scan_is_an_error(cohort, tmp_path):
    (cohort.parent / "a.nii.gz").write_bytes(b"bad")
    some = run("data", "prepare", cohort, "--out", tmp_path / "store", *SMALL)
    assert some.exit_code == 0
    assert "a.nii.gz must be a NIfTI file" in some.stderr
    assert "left out" not in some.stderr
    (cohort.parent / "b.nii.gz").unlink()
    gone = run("data", "prepare", cohort, "--out", tmp_path / "gone", *SMALL)
    assert "1 more are left out by the cohort itself" in gone.stderr
    (cohort.parent / "b.nii.gz").write_bytes(b"bad")
    assert run("data", "prepare", cohort, "--out", tmp_path / "none", *SMALL).exit_code == 1


def test_an_unknown_setting_is_one_line(cohort, tmp_path):
    result = run("data", "prepare", cohort, "--out", tmp_path / "store", "--local", "--set", "lung_margin=3")
    assert isinstance(result.exception, UniferumError)
    assert "did you mean 'lung_margin_mm'" in str(result.exception)


def test_a_preparation_file_is_read(cohort, tmp_path):
    (tmp_path / "how.yaml").write_text(
        "lung_margin_mm: 20\ngeometry: {spacing_mm: [8, 8, 8], model_shape: [24, 20, 16]}\nlevels: [train]\n"
    )
    arguments = ("--preparation", tmp_path / "how.yaml", "--local", "--workers", "0")
    assert run("data", "prepare", cohort, "--out", tmp_path / "store", *arguments).exit_code == 0
    store = Store.open(tmp_path / "store")
    assert store.config.lung_margin_mm == 20
    ids = store.read_mask("a", "totalsegmentator")
    assert set(IDS_LUNGS) & set(ids.ravel().tolist())
