"""`uniferum data prepare` and `verify` from the command line."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.support.raw_cohorts import write_cohort
from tests.support.raw_scans import IDS_LUNGS, thorax, write_nifti
from uniferum.data import prepare_cohort
from uniferum.errors import UniferumError
from uniferum.preprocessing import pipeline
from uniferum.preprocessing.flags import meaning
from uniferum.preprocessing.store.store import Store

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
    assert "2 scans (2 prepared now, 0 kept, 0 failed)" in first.stdout
    assert "prepared now" not in first.stderr
    assert (tmp_path / "store/montages/a.png").exists()
    assert "0 prepared now, 2 kept" in run("data", "prepare", cohort, "--out", tmp_path / "store", *SMALL).stdout


def test_dry_run_writes_nothing(cohort, tmp_path):
    result = run("data", "prepare", cohort, "--out", tmp_path / "store", "--dry-run", *SMALL)
    assert result.exit_code == 0
    assert "2 scans, 0 of them in the store" in result.stdout
    assert not (tmp_path / "store").exists()


def test_verify_finds_damage_and_prepare_repairs_it(cohort, tmp_path):
    store = tmp_path / "store"
    run("data", "prepare", cohort, "--out", store, *SMALL)
    assert run("data", "verify", store).stdout == f"{store}: every scan is complete\n"
    path = store / "scans/a.ufs"
    path.write_bytes(path.read_bytes()[:-10])
    verified = run("data", "verify", store, "--remove")
    assert verified.exit_code == 1
    assert "1 scans are damaged" in verified.stderr
    assert verified.stdout.splitlines()[:2] == ["# damaged", "scan\tfault"]
    assert "1 prepared now, 1 kept" in run("data", "prepare", cohort, "--out", store, *SMALL).stdout
    assert run("data", "verify", store).exit_code == 0


def test_a_scan_that_failed_is_named_with_its_reason_and_the_exit_code_is_1(cohort, tmp_path):
    (cohort.parent / "a.nii.gz").write_bytes(b"bad")
    some = run("data", "prepare", cohort, "--out", tmp_path / "store", *SMALL)
    assert some.exit_code == 1
    assert "a.nii.gz must be a NIfTI file" in some.stderr
    assert "# not prepared\nscan\tfile\treason\na\ta.nii.gz\t" in some.stdout
    assert "1 scans (1 prepared now, 0 kept, 1 failed)" in some.stdout
    assert "left out" not in some.output
    (cohort.parent / "b.nii.gz").write_bytes(b"bad")
    assert run("data", "prepare", cohort, "--out", tmp_path / "none", *SMALL).exit_code == 1


def test_what_the_cohort_leaves_out_is_counted_by_reason_and_is_no_failure(cohort, tmp_path):
    (cohort.parent / "b.nii.gz").unlink()
    gone = run("data", "prepare", cohort, "--out", tmp_path / "store", "--json", *SMALL)
    assert gone.exit_code == 0
    assert "1 more are left out by the cohort itself" in gone.stderr
    ((why, named),) = json.loads(gone.stdout)["left_out"].items()
    assert named == {"count": 1, "examples": ["b"]}
    assert why in " ".join(gone.stderr.split())


def test_a_cohort_without_a_scan_is_bad_input(cohort, tmp_path):
    for name in ("a", "b"):
        (cohort.parent / f"{name}.nii.gz").unlink()
    none = run("data", "prepare", cohort, "--out", tmp_path / "store", *SMALL)
    assert isinstance(none.exception, UniferumError), "one line and exit code 2 by cli.main"
    assert "must hold at least one scan" in str(none.exception)


@pytest.fixture
def flagging(monkeypatch):
    """Replace the preparation by one with known flags and notes."""
    known = {"a": (("no_lung", "wrong_hu"), ("values lie 1024 above those of a CT",)), "b": ((), ())}

    def prepare(source, config):
        flags, notes = known[source.scan_id]
        return replace(pipeline.prepare(source, config), flags=flags, notes=notes)

    monkeypatch.setattr(prepare_cohort, "prepare", prepare)


def test_it_ends_with_a_table_of_flags_also_of_scans_that_were_kept(cohort, tmp_path, flagging):
    for state in ("2 prepared now, 0 kept", "0 prepared now, 2 kept"):
        done = run("data", "prepare", cohort, "--out", tmp_path / "store", *SMALL)
        assert done.exit_code == 0, "a flag is no failure"
        assert state in done.stdout
        table = done.stdout.partition("# flags of 2 scans")[2]
        rows = [line.split("\t") for line in table.splitlines() if "50.0 %" in line]
        assert [(flag, count, share, first) for flag, _, count, share, first in rows] == [
            ("wrong_hu", "1", "50.0 %", "a"),
            ("no_lung", "1", "50.0 %", "a"),
        ]
        assert all(meaning(row[0]) == row[1] for row in rows)
        assert "values lie 1024 above those of a CT" in table
        assert "these scans are left out of training" in done.stderr, "advice is no result"


def test_a_program_gets_the_same_as_json(cohort, tmp_path, flagging):
    (cohort.parent / "b.nii.gz").write_bytes(b"bad")
    done = run("data", "prepare", cohort, "--out", tmp_path / "store", "--json", *SMALL)
    said = json.loads(done.stdout)
    assert "flags of 1 scans" in done.stderr
    assert [(flag["flag"], flag["count"], flag["share"]) for flag in said["flags"]] == [
        ("wrong_hu", 1, 1.0),
        ("no_lung", 1, 1.0),
    ]
    assert [(one["scan_id"], one["file"]) for one in said["failed"]] == [("b", "b.nii.gz")]
    assert said["notes"] == {"a": ["values lie 1024 above those of a CT"]}


def test_without_a_flag_it_says_so(cohort, tmp_path, flagging):
    (cohort.parent / "a.nii.gz").unlink()
    done = run("data", "prepare", cohort, "--out", tmp_path / "store", *SMALL)
    assert "flags of 1 scans: no scan is flagged" in done.stdout


def test_an_error_that_nobody_foresaw_is_a_line_without_its_own_words(cohort, tmp_path, monkeypatch):
    def prepare(source, config):
        if source.scan_id == "a":
            raise TypeError("ZZPLANTED^NAME")
        return pipeline.prepare(source, config)

    monkeypatch.setattr(prepare_cohort, "prepare", prepare)
    done = run("data", "prepare", cohort, "--out", tmp_path / "store", *SMALL)
    assert (done.exit_code, done.exception.__class__) == (1, SystemExit)
    (reason,) = Store.open(tmp_path / "store").failures()["reason"]
    assert reason.startswith("a.nii.gz: preparing it failed with TypeError at uniferum.data.prepare_cohort line ")
    assert "--debug data prepare ... --local --workers 0 shows the traceback" in reason
    assert "ZZPLANTED" not in done.output + reason


def test_the_card_adds_the_flags_and_failures_of_a_store(cohort, tmp_path, flagging):
    store = tmp_path / "store"
    run("data", "prepare", cohort, "--out", store, *SMALL)
    card = json.loads(run("data", "card", cohort, "--store", store, "--json").stdout)["store"]
    ((split, counts),) = ((split, counts) for split, counts in card["flags"].items() if counts)
    assert [(one["flag"], one["count"], one["examples"]) for one in counts] == [
        ("wrong_hu", 1, ["a"]),
        ("no_lung", 1, ["a"]),
    ]
    assert (card["scans"], card["failed"]) == (2, {})
    (cohort.parent / "b.nii.gz").write_bytes(b"bad")
    run("data", "prepare", cohort, "--out", store, *SMALL)
    shown = run("data", "card", cohort, "--store", store)
    assert shown.exit_code == 0
    assert "b.nii.gz must be a NIfTI file" in shown.stdout
    assert all(word in shown.stdout for word in ("wrong_hu", split, "values lie 1024 above"))


def test_a_card_says_when_the_store_is_older_than_the_dataset_and_refuses_anothers(cohort, tmp_path):
    store = tmp_path / "store"
    write_nifti(cohort.parent / "c.nii.gz", HU)
    run("data", "prepare", cohort, "--out", store, *SMALL)
    with (cohort.parent / "labels.csv").open("a") as table:
        table.write("c,c.nii.gz,p_c,,mask.nii.gz\n")
    assert "the cohort has 3 scans, the store 2 and 0 failures" in run("data", "card", cohort, "--store", store).stderr
    cohort.write_text(cohort.read_text().replace("name: OWN", "name: OTHER"))
    refused = run("data", "card", cohort, "--store", store)
    assert "must be a store of cohort OTHER" in str(refused.exception)


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


def test_a_disk_that_becomes_full_ends_it_at_the_first_scan_and_leaves_no_half_file(cohort, tmp_path, monkeypatch):
    def full(descriptor: int) -> None:
        if any(name.name.endswith(".ufs") or ".ufs." in name.name for name in (tmp_path / "store").rglob("*")):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("uniferum.preprocessing.store.filesystem.os.fsync", full)
    result = run("data", "prepare", cohort, "--out", tmp_path / "store", *SMALL)
    assert isinstance(result.exception, UniferumError)
    assert "store is full. Free some space, then run the same command again" in str(result.exception)
    assert list((tmp_path / "store/scans").iterdir()) == []
    monkeypatch.undo()
    assert "2 prepared now" in run("data", "prepare", cohort, "--out", tmp_path / "store", *SMALL).stdout


def test_a_dry_run_into_a_store_of_another_cohort_is_refused(cohort, tmp_path):
    run("data", "prepare", cohort, "--out", tmp_path / "store", *SMALL)
    other = cohort.with_name("other.yaml")
    other.write_text(cohort.read_text().replace("name: ", "name: OTHER", 1))
    result = run("data", "prepare", other, "--out", tmp_path / "store", "--dry-run", *SMALL)
    assert "must be a store of OTHER" in str(result.exception)
