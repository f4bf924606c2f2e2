"""The folder for staged stores that a grid declares reaches the workers, which read it from their environment."""

import os
from pathlib import Path

import pytest

from orchestration.cluster import connect
from orchestration.grid.resources import Resources


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (connect.STAGE, "OMP_NUM_THREADS", "RAY_worker_niceness"):
        monkeypatch.setenv(name, "before")


def test_a_declared_stage_is_told_to_the_workers() -> None:
    connect.environment(Resources(stage=Path("/scratch/uniferum")))
    assert os.environ[connect.STAGE] == "/scratch/uniferum"
    assert connect.STAGE in connect.PLACES


def test_without_one_the_environment_s_own_stays() -> None:
    connect.environment(Resources())
    assert os.environ[connect.STAGE] == "before"
