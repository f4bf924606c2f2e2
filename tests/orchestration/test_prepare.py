"""Preparation with several processes: each scan once, also after a worker died."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from orchestration.prepare import backends, plan_preparation, prepare_cohort
from tests.support.raw_cohorts import CONFIG, write_cohort
from tests.support.raw_scans import thorax, write_nifti
from uniferum.data.cohorts.base import open_cohort
from uniferum.errors import UniferumError
from uniferum.preprocessing.store.store import Store

HU, _ = thorax()


@pytest.fixture
def cohort_yaml(tmp_path) -> Path:
    root = tmp_path / "raw"
    root.mkdir()
    scans = {}
    for number in range(6):
        hu = np.clip(HU.astype(int) + number, -1000, 1000).astype(np.int16)
        scans[f"s{number}"] = write_nifti(root / f"s{number}.nii.gz", hu).relative_to(root)
    (root / "s3.nii.gz").write_bytes(b"bad")
    return write_cohort(root, scans)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_scan_is_prepared_once_and_reported_once(cohort_yaml, tmp_path, workers):
    ids = []
    summary = prepare_cohort(
        open_cohort(cohort_yaml),
        tmp_path / "store",
        CONFIG,
        workers=workers,
        on_scan=lambda o: ids.append(o.scan_id),
    )
    assert sorted(ids) == [f"s{n}" for n in range(6)]
    assert (summary.prepared, summary.kept, summary.scans) == (5, 0, 5)
    assert [outcome.scan_id for outcome in summary.failed] == ["s3"]
    assert summary.cohort_notes == open_cohort(cohort_yaml).card().notes
    again = prepare_cohort(open_cohort(cohort_yaml), tmp_path / "store", CONFIG, workers=workers)
    assert (again.prepared, again.kept, again.scans) == (0, 5, 5)


def test_workers_change_no_byte(cohort_yaml, tmp_path):
    for name, workers in (("one", 0), ("two", 2)):
        prepare_cohort(open_cohort(cohort_yaml), tmp_path / name, CONFIG, workers=workers)
    for path in (tmp_path / "one" / "scans").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / "scans" / path.name).read_bytes()


def _chunk_that_kills_its_worker(scans, store, *, with_montage=False):
    if any(scan.scan_id == "s1" for scan in scans):
        os.kill(os.getpid(), signal.SIGKILL)
    return prepare_chunk(scans, store, with_montage=with_montage)


prepare_chunk = backends.prepare_chunk


def test_a_worker_that_dies_costs_the_scan_it_held_and_no_other(cohort_yaml, tmp_path, monkeypatch):
    monkeypatch.setattr(backends, "prepare_chunk", _chunk_that_kills_its_worker)
    summary = prepare_cohort(open_cohort(cohort_yaml), tmp_path / "store", CONFIG, workers=2)
    assert sorted(outcome.scan_id for outcome in summary.failed) == ["s1", "s3"]
    assert summary.scans == 4
    reasons = Store.open(tmp_path / "store").failures().set_index("scan_id")["reason"]
    assert "its worker died" in reasons["s1"]


@pytest.mark.chaos
def test_after_kill_9_the_same_command_prepares_only_the_rest(cohort_yaml, tmp_path):
    store = tmp_path / "store"
    script = (
        "from orchestration.prepare import prepare_cohort\nfrom uniferum.data.cohorts.base import open_cohort\n"
        "from tests.support.raw_cohorts import CONFIG\nimport time\n"
        f"prepare_cohort(open_cohort({str(cohort_yaml)!r}), {str(store)!r}, CONFIG, workers=0,"
        " on_scan=lambda o: time.sleep(1))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2]) as process:
        while len(list(store.glob("scans/*.ufs"))) < 2:
            time.sleep(0.05)
        process.kill()
    done = len(list(store.glob("scans/*.ufs")))
    with pytest.raises(UniferumError, match=r"manifest\.parquet"):
        Store.open(store).manifest()
    summary = prepare_cohort(open_cohort(cohort_yaml), store, CONFIG, workers=0)
    assert (summary.kept, summary.prepared) == (done, 5 - done)


def test_a_disk_that_is_too_small_is_refused_before_the_first_scan(cohort_yaml, tmp_path, monkeypatch):
    monkeypatch.setattr(Store, "free_bytes", lambda self: 1000)
    with pytest.raises(UniferumError, match=r"0 GB free; 6 scans need about .* GB\. Give a larger disk"):
        prepare_cohort(open_cohort(cohort_yaml), tmp_path / "store", CONFIG, workers=0)
    assert not list(tmp_path.glob("store/scans/*"))


def test_a_plan_counts_and_writes_nothing(cohort_yaml, tmp_path):
    assert (
        plan_preparation(open_cohort(cohort_yaml), tmp_path / "store", CONFIG)
        .sentence()
        .startswith("6 scans, 0 of them")
    )
    assert not (tmp_path / "store").exists()


@pytest.mark.integration
@pytest.mark.ray
def test_over_ray_the_store_is_the_same(cohort_yaml, tmp_path):
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, ignore_reinit_error=True)
    try:
        states = Counter()
        summary = prepare_cohort(
            open_cohort(cohort_yaml), tmp_path / "ray", CONFIG, use_ray=True, on_scan=lambda o: states.update([o.state])
        )
    finally:
        ray.shutdown()
    assert states == {"prepared": 5, "failed": 1}
    assert summary.scans == 5
    prepare_cohort(open_cohort(cohort_yaml), tmp_path / "here", CONFIG, workers=0)
    here, there = (Store.open(tmp_path / n).manifest().sort_values("scan_id") for n in ("here", "ray"))
    assert here["checksum"].tolist() == there["checksum"].tolist()
