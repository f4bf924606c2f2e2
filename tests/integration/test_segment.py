"""Organ masks over Ray: several scans at once, one that fails, one whose program is killed, and a second run."""

from pathlib import Path

import numpy as np
import pytest

from orchestration.segment import SegmentationOptions, segment_cohort
from tests.support.cohort_layouts import write_rad_chest
from uniferum.data.cohorts.base import Cohort, open_cohort
from uniferum.data.segmentation import Shard
from uniferum.errors import UniferumError

pytestmark = [pytest.mark.integration, pytest.mark.ray]

NAMES = [f"trn{number:05d}" for number in range(1, 7)]
HOW = SegmentationOptions(device="cpu", cpus=1)
# A stand-in of TotalSegmentator: the mask is the scan itself; files larger than `broken` says fail while it exists.
STAND_IN = """#!/bin/sh
here=$(dirname "$0")
echo "$2" >> "$here/calls"
size=$(wc -c < "$2")
if [ -e "$here/broken" ] && [ "$size" -gt "$(cat "$here/broken")" ]; then echo "no CT of a human" >&2; exit 3; fi
cp "$2" "$4"
"""


@pytest.fixture
def cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cohort:
    root = write_rad_chest(tmp_path / "rad", {name: {} for name in NAMES})
    for name in NAMES:
        shape = (40, 40, 40) if name == NAMES[2] else (4, 5, 6)
        np.savez(root / f"{name}.npz", ct=np.random.default_rng(0).integers(-1000, 1000, shape).astype(np.int16))
    (tmp_path / "cohort.yaml").write_text(f"kind: rad_chest\nroot: {root}\nmasks_root: ts_total\n", encoding="utf-8")
    return open_cohort(tmp_path / "cohort.yaml")


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "TotalSegmentator"
    program.parent.mkdir()
    program.write_text(STAND_IN, encoding="utf-8")
    program.chmod(0o755)
    # The workers of a running Ray keep the PATH that they were started with.
    monkeypatch.setattr("uniferum.data.segmentation.installed_program", lambda: str(program))
    return program


def test_masks_are_made_by_several_workers_and_a_second_run_makes_only_what_failed(
    cohort: Cohort, stand_in: Path, ray_address: str
) -> None:
    (stand_in.parent / "broken").write_text("10000", encoding="utf-8")
    heard: list[str] = []
    first = segment_cohort(cohort, HOW, use_ray=True, on_scan=lambda done: heard.append(done.scan_id))
    assert (first.made, first.kept) == (5, 0)
    assert [(done.scan_id, "no CT of a human" in done.fault) for done in first.failed] == [(NAMES[2], True)]
    assert sorted(heard) == NAMES
    (stand_in.parent / "broken").unlink()
    second = segment_cohort(cohort, HOW, use_ray=True)
    assert (second.made, second.failed) == (1, [])
    assert len((stand_in.parent / "calls").read_text().splitlines()) == 7, (
        "no scan was segmented twice but the failed one"
    )
    assert sorted(path.name for path in (cohort.config.root / "ts_total").iterdir()) == [
        f"{name}.nii.gz" for name in NAMES
    ]


def test_two_shards_make_all_masks_together(cohort: Cohort, stand_in: Path, ray_address: str) -> None:
    made = [segment_cohort(cohort, HOW, shard=Shard(index, 2), use_ray=True).made for index in (0, 1)]
    assert sum(made) == 6
    assert 0 < made[0] < 6


def test_a_cluster_without_gpus_is_refused_with_the_remedy(cohort: Cohort, stand_in: Path, ray_address: str) -> None:
    with pytest.raises(UniferumError, match=r"2 cores and 0 GPUs; one scan needs 1 cores and 1 GPUs.*--device cpu"):
        segment_cohort(cohort, SegmentationOptions(cpus=1), use_ray=True)
