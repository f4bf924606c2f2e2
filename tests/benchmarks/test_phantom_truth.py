"""The control of the phantom benchmark: labels are shuffled where they are learnt from, true where they are scored."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from tests.support.benchmarks import load_benchmark


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return load_benchmark("phantom_truth")


def test_shuffling_keeps_scans_counts_and_the_test_split(benchmark: ModuleType, tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "scans").mkdir(parents=True)
    (store / "scans" / "a.ufs").write_bytes(b"voxels")
    (store / "store.json").write_text("{}")
    split = ["train"] * 40 + ["validation"] * 20 + ["test"] * 20
    scans = [f"s{n}" for n in range(80)]
    pd.DataFrame({"scan_id": scans, "split": split}).to_parquet(store / "manifest.parquet")
    rng = np.random.default_rng(0)
    rows = [(scan, label, int(rng.random() < 0.4)) for scan in scans for label in ("a", "b")]
    true = pd.DataFrame(rows, columns=["scan_id", "label", "value"])
    true.to_parquet(store / "labels.parquet")

    made = benchmark.shuffled_store(store, tmp_path / "shuffled", seed=1)

    shuffled = pd.read_parquet(made / "labels.parquet")
    assert (made / "scans" / "a.ufs").read_bytes() == b"voxels"
    assert shuffled[["scan_id", "label"]].equals(true[["scan_id", "label"]])
    part = true["scan_id"].map(dict(zip(scans, split, strict=True)))
    assert shuffled[part == "test"].equals(true[part == "test"])
    for name in ("train", "validation"):
        assert not shuffled[part == name].equals(true[part == name])
        assert (
            shuffled[part == name]
            .groupby("label")["value"]
            .sum()
            .equals(true[part == name].groupby("label")["value"].sum())
        )
    agreement = (shuffled["value"] == true["value"])[part == "train"].groupby(true["label"]).mean()
    assert (agreement < 0.8).all()
    assert pd.read_parquet(store / "labels.parquet").equals(true), "the store itself stays as it was"
