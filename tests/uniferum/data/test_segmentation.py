"""Organ masks are made by TotalSegmentator where it is installed, in the frame that preparation believes."""

import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.support.cohort_layouts import write_rad_chest
from uniferum.data.cohorts.base import open_cohort
from uniferum.data.cohorts.rad_chest import affine_of
from uniferum.data.segmentation import (
    Shard,
    arguments,
    installed_program,
    masks_folder,
    segment,
    segment_one,
    waiting,
)
from uniferum.errors import UniferumError

FAKE = """#!/bin/sh
echo call >> "$0.calls"
if [ "$(wc -l < "$0.calls")" -eq 2 ]; then echo "no CT of a human" >&2; exit 3; fi
cp "$2" "$4"  # -i SCAN -o MASK: a mask on the scan's own grid
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = write_rad_chest(tmp_path / "rad", {"trn00001": {}, "trn00002": {}, "trn00003": {}})
    for scan in ("trn00001", "trn00002", "trn00003"):
        np.savez(root / f"{scan}.npz", ct=np.zeros((4, 5, 6), np.int16))
    (tmp_path / "cohort.yaml").write_text(f"kind: rad_chest\nroot: {root}\nmasks_root: ts_total\n", encoding="utf-8")
    return root


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = tmp_path / "bin" / "TotalSegmentator"
    path.parent.mkdir()
    path.write_text(FAKE, encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent), prepend=os.pathsep)
    return str(path)


def test_masks_are_written_where_the_cohort_reads_them_and_failures_are_named(root: Path, program: str) -> None:
    cohort = open_cohort(root.parent / "cohort.yaml")
    faults = {s.scan_id: s.fault for s in segment(waiting(cohort), masks_folder(cohort), installed_program())}
    assert faults["trn00001"] == faults["trn00003"] == ""
    assert "no CT of a human" in faults["trn00002"]
    assert sorted(p.name for p in (root / "ts_total").iterdir()) == ["trn00001.nii.gz", "trn00003.nii.gz"]
    assert [scan.scan_id for scan in waiting(cohort)] == ["trn00002"], "a second run takes only what is missing"
    mask = nibabel.load(root / "ts_total/trn00001.nii.gz")
    corner = np.array(affine_of(0.8)) @ [4 - 1, 5 - 1, 6 - 1, 1]  # the last voxel of the array is the first one in RAS
    np.testing.assert_allclose(mask.affine[:3, 3], corner[:3], atol=1e-5)  # type: ignore[attr-defined]


def test_arguments_are_a_list_that_no_shell_reads() -> None:
    line = arguments("/bin/TotalSegmentator", Path("a b; rm.nii.gz"), Path("m.nii.gz"), device="cpu", fast=True)
    assert line[2] == "a b; rm.nii.gz"
    assert line[-3:] == ["--device", "cpu", "--fast"]


def test_without_the_program_the_cure_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(root))
    with pytest.raises(UniferumError, match=r"TotalSegmentator is not installed\. .*pip install -e '\.\[segment\]'"):
        installed_program()


def test_a_cohort_without_a_place_for_masks_is_refused(root: Path) -> None:
    cohort = open_cohort(root.parent / "cohort.yaml", ["masks_root="])
    with pytest.raises(UniferumError, match="masks_root must be given"):
        next(waiting(cohort))


def test_the_command_counts_and_fails_with_what_failed(root: Path, program: str) -> None:
    line = ["data", "segment", str(root.parent / "cohort.yaml"), "--local"]
    counted = CliRunner().invoke(app, [*line, "--dry-run"])
    assert "3 scans without a mask" in counted.stdout
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 1
    assert "3 scans without a mask" in done.stderr
    assert "2 masks in" in done.stdout
    assert "trn00002" in done.stdout.partition("# failed")[2]


def test_a_mask_that_another_run_made_meanwhile_is_kept(root: Path, program: str) -> None:
    cohort = open_cohort(root.parent / "cohort.yaml")
    first = next(waiting(cohort))
    (root / "ts_total").mkdir()
    (root / "ts_total" / f"{first.scan_id}.nii.gz").write_bytes(b"theirs")
    assert segment_one(first, masks_folder(cohort), program).kept
    assert (root / "ts_total" / f"{first.scan_id}.nii.gz").read_bytes() == b"theirs"
    assert not Path(f"{program}.calls").exists(), "the program was not started"


def test_a_program_that_takes_too_long_is_ended_with_all_that_it_started(root: Path, program: str) -> None:
    Path(program).write_text('#!/bin/sh\nsleep 60 & echo $! > "$0.child"\nwait\n', encoding="utf-8")
    cohort = open_cohort(root.parent / "cohort.yaml")
    done = segment_one(next(waiting(cohort)), masks_folder(cohort), program, timeout_s=0.5)
    assert "took more than" in done.fault
    child = int(Path(f"{program}.child").read_text())
    status = Path(f"/proc/{child}/stat")
    assert not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] == "Z"
    assert list((root / "ts_total").iterdir()) == [], "nothing half written is left"


def test_shards_share_a_cohort_without_overlap_and_keep_their_scans() -> None:
    names = [f"scan{number}" for number in range(400)]
    parts = [{name for name in names if Shard(index, 4).holds(name)} for index in range(4)]
    assert sorted(name for part in parts for name in part) == sorted(names)
    assert all(60 < len(part) < 140 for part in parts)
    fewer = {name for name in names[::2] if Shard(1, 4).holds(name)}
    assert fewer <= parts[1], "a scan stays in its part whatever else is there"


@pytest.mark.parametrize("text", ["3", "4/4", "-1/4", "a/b", "1/0", ""])
def test_a_shard_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(UniferumError, match="INDEX/COUNT"):
        Shard.parse(text)


@pytest.mark.parametrize(("device", "more"), [("gpu:1", []), ("cuda", ["--local"]), ("gpu:x", ["--local"])])
def test_a_device_that_cannot_be_is_refused_before_anything_starts(root: Path, device: str, more: list[str]) -> None:
    line = ["data", "segment", str(root.parent / "cohort.yaml"), "--device", device, *more]
    with pytest.raises(UniferumError, match="--device"):
        CliRunner().invoke(app, line, catch_exceptions=False)
