"""The folder for staged stores is passed to the workers in an environment variable."""

import os
from pathlib import Path

import pytest

from orchestration.cluster import connect
from orchestration.grid.resources import Resources


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (connect.STAGE, "OMP_NUM_THREADS", "RAY_worker_niceness"):
        monkeypatch.setenv(name, "before")


def test_the_stage_of_a_grid_is_set_in_the_environment() -> None:
    connect.environment(Resources(stage=Path("/scratch/uniferum")))
    assert os.environ[connect.STAGE] == "/scratch/uniferum"
    assert connect.STAGE in connect.FORWARDED


def test_without_a_stage_the_environment_is_unchanged() -> None:
    connect.environment(Resources())
    assert os.environ[connect.STAGE] == "before"
