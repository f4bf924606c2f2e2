"""A plan names the organ masks that its +SEG cells lack, and the commands that make them."""

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from orchestration.organ_masks import missing_masks
from orchestration.segment import Segmenting
from tests.uniferum.data.small_stores import organs, write_store
from uniferum.data.segmentation import sweep


def _cell(*cohorts: str, segmentation: bool = True) -> Any:
    return cast("Any", SimpleNamespace(config=SimpleNamespace(segmentation=segmentation, trained_stores=cohorts)))


def test_training_scans_without_organs_are_counted_and_the_commands_named(tmp_path: Path) -> None:
    splits = ("train", "train", "train", "test")
    masks = {"totalsegmentator": {0: organs(0), 3: organs(3)}}
    write_store(tmp_path / "inspect", "INSPECT", splits, {"embolism": [0, 1, 0, 1]}, masks=masks)
    stores = {"INSPECT": tmp_path / "inspect", "RADCHEST": tmp_path / "absent", "LUNA16": tmp_path / "none"}
    cells = [_cell("INSPECT", "LUNA16"), _cell("RADCHEST"), _cell("CTRATE", segmentation=False)]
    found = missing_masks(stores, cells)
    assert [(one.cohort, one.missing, one.scans) for one in found] == [("INSPECT", 2, 3), ("RADCHEST", None, 0)]
    sentence = found[0].sentence()
    assert "2 of 3 training scans have none" in sentence
    assert "uniferum data segment configs/cohorts/inspect.yaml ; then: uniferum data prepare" in sentence
    assert "rad_chest.yaml" in found[1].sentence()


def test_nothing_is_said_where_all_scans_have_organs_or_no_cell_asks_for_them(tmp_path: Path) -> None:
    masks = {"totalsegmentator": {0: organs(0), 1: organs(1)}}
    write_store(tmp_path / "s", "INSPECT", ("train", "train"), {"embolism": [0, 1]}, masks=masks)
    assert missing_masks({"INSPECT": tmp_path / "s"}, [_cell("INSPECT")]) == []
    assert missing_masks({"RADCHEST": tmp_path / "absent"}, [_cell("RADCHEST", segmentation=False)]) == []


def test_each_scan_gets_its_share_of_a_gpu() -> None:
    assert Segmenting(per_gpu=2, cpus=3).resources == {"num_cpus": 3, "num_gpus": 0.5}
    assert Segmenting(device="cpu", cpus=3).resources == {"num_cpus": 3}


def test_masks_that_a_dataset_ships_are_fetched_not_made(tmp_path: Path) -> None:
    write_store(tmp_path / "a store", "CTRATE", ("train", "test"), {"emphysema": [0, 1]})
    (found,) = missing_masks({"CTRATE": tmp_path / "a store"}, [_cell("CTRATE")])
    assert "uniferum data fetch CTRATE --out FOLDER ; then: " in found.sentence()
    assert found.sentence().endswith(f"configs/cohorts/ct_rate.yaml --out '{tmp_path}/a store'")


def test_what_a_killed_run_left_half_made_goes_and_another_runs_work_stays(tmp_path: Path) -> None:
    for name, age_s in (("old", 9000), ("young", 10)):
        (tmp_path / f".segment-{name}").mkdir()
        (tmp_path / f".segment-{name}" / "scan.nii.gz").touch()
        then = time.time() - age_s
        os.utime(tmp_path / f".segment-{name}", (then, then))
    (tmp_path / "a.nii.gz").touch()
    sweep(tmp_path, 7200)
    assert {path.name for path in tmp_path.iterdir()} == {".segment-young", "a.nii.gz"}
