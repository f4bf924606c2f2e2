"""The simulation of verdicts in its short form."""

from types import ModuleType

import pytest

from tests.support.benchmarks import load_benchmark


@pytest.fixture(scope="module")
def power() -> ModuleType:
    """The benchmark as a module."""
    return load_benchmark("verdict_power")


def test_there_are_73_published_means(power: ModuleType) -> None:
    assert len(power.published_means()) == 73


def test_true_cells_are_reproduced_at_the_attainable_margin(power: ModuleType) -> None:
    words = power.shares(("RADCHEST", "shared"), [0.796, 0.7], sets=40, seeds=1, rng=7)
    assert words["reproduced"] >= 0.75, "80 %, and two Monte Carlo errors of 80 verdicts"
    assert words["differs"] <= 0.05
    assert words["reproduced at 0.02"] < 0.2
