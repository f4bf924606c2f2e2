"""TotalSegmentator on GPUs: resources per scan, and the leftovers of a killed run."""

import os
import time
from pathlib import Path

from orchestration.segment import SegmentationOptions
from uniferum.data.segmentation import sweep


def test_each_scan_gets_its_share_of_a_gpu() -> None:
    assert SegmentationOptions(per_gpu=2, cpus=3).resources == {"num_cpus": 3, "num_gpus": 0.5}
    assert SegmentationOptions(device="cpu", cpus=3).resources == {"num_cpus": 3}


def test_leftovers_of_a_killed_run_are_deleted_and_those_of_a_running_one_kept(tmp_path: Path) -> None:
    for name, age_s in (("old", 9000), ("young", 10)):
        (tmp_path / f".segment-{name}").mkdir()
        (tmp_path / f".segment-{name}" / "scan.nii.gz").touch()
        then = time.time() - age_s
        os.utime(tmp_path / f".segment-{name}", (then, then))
    (tmp_path / "a.nii.gz").touch()
    sweep(tmp_path, 7200)
    assert {path.name for path in tmp_path.iterdir()} == {".segment-young", "a.nii.gz"}
