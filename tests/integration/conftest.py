"""One Ray for all integration tests of a session, and a grid of tiny cells on tiny stores."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.support.small_grids import tiny_settings
from tests.support.small_stores import organs, write_store

SPLITS = ("train",) * 12 + ("validation",) * 6 + ("test",) * 6


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home and threads of their own, also for the processes that tests start."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


@pytest.fixture(scope="session")
def ray_address(home: Path) -> Iterator[str]:
    """A Ray of two CPUs with its dashboard, started once; its address for other processes."""
    import ray

    from orchestration.cluster import connect
    from orchestration.grid.resources import Resources

    connect.environment(Resources())
    os.environ["RAY_metrics_report_interval_ms"] = "1000"  # noqa: SIM112 - Ray reads it so; its default of 10 s is long
    options = {"include_dashboard": True, "log_to_driver": False, "namespace": "uniferum"}
    ray.init(address="local", num_cpus=2, **options)  # not the one that somebody else started on this machine
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.fixture(scope="session")
def tiny_stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Stores of 24 noise volumes, three labels each."""
    from uniferum.data.vocabulary import Vocabulary

    root, groups = tmp_path_factory.mktemp("stores"), Vocabulary.load().groups
    random = np.random.default_rng(0)
    for cohort in ("CTRATE", "INSPECT"):
        names = sorted({label for (owner, _), labels in groups.items() if owner == cohort for label in labels})[:3]
        values = {name: [int(value) for value in random.integers(0, 2, len(SPLITS))] for name in names}
        masks = {"totalsegmentator": {number: organs(number) for number in range(len(SPLITS))}}
        write_store(root / cohort, cohort, SPLITS, values, masks=masks)
    return {cohort: str(root / cohort) for cohort in ("CTRATE", "INSPECT")}


@pytest.fixture
def grid_file(tmp_path: Path, tiny_stores: dict[str, str]) -> Path:
    """Two cells of four steps."""
    grid = {
        "name": "tiny",
        "root": str(tmp_path / "runs"),
        "stores": tiny_stores,
        "evaluate_on": ["CTRATE", "INSPECT"],
        "defaults": tiny_settings(4),
        "text_encoders": {"small": {"name": "tiny", "layers": 1, "hidden": 32}},
        "cells": [{"text_encoder": "small", "train_on": ["CTRATE", "CTRATE+SEG"]}],
        "resources": {"cpus": 1, "parallel": 2, "checkpoint_gib": 0.01},
        "policy": {"backoff_s": 0.1, "stall_s": 300, "free_gib": 0.01},
    }
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump(grid))
    return path


def edit(path: Path, **sections: object) -> Path:
    """Change top-level sections of a grid file, mappings merged."""
    from uniferum.config import load_yaml, merge

    path.write_text(yaml.safe_dump(merge(load_yaml(path), sections)))
    return path


class Quiet:
    """A view that remembers what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def show(self, rows: object, headline: str) -> None:
        """Nothing to draw on."""

    def say(self, message: str) -> None:
        """Keep it."""
        self.lines.append(message)


os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
