"""Gauges of a running grid: only known values, under the cell's name, and none without a connection to Ray."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from orchestration.grid import metrics
from orchestration.grid.records import CellProgress

Values = dict[tuple[str, str, str | None], float]


@pytest.fixture
def values(monkeypatch: pytest.MonkeyPatch) -> Values:
    """The value of each gauge by its name, its cell and its state, on a Ray that is connected."""
    recorded: Values = {}

    def gauge(name: str, tags: tuple[str, ...] = ("cell",)) -> Any:
        def record(value: float, tags: dict[str, str]) -> None:
            recorded[name, tags["cell"], tags.get("state")] = value

        return SimpleNamespace(set=record)

    connected: Any = SimpleNamespace(is_initialized=lambda: True)
    monkeypatch.setitem(sys.modules, "ray", connected)
    monkeypatch.setattr(metrics, "_gauge", gauge)
    monkeypatch.setenv(metrics.CELL, "cnn-CTRATE")
    return recorded


def progress(**changes: Any) -> CellProgress:
    keys = {"step": 3, "steps": 9, "metric": 0.75, "loss": 0.5, "volumes_per_second": 2.0, "started": 0, "updated": 1}
    return CellProgress(**{**keys, **changes})


def test_each_value_has_the_gauge_of_its_name(values: Values) -> None:
    metrics.show(progress())
    assert values == {
        ("uniferum_step", "cnn-CTRATE", None): 3.0,
        ("uniferum_loss", "cnn-CTRATE", None): 0.5,
        ("uniferum_volumes_per_second", "cnn-CTRATE", None): 2.0,
        ("uniferum_metric", "cnn-CTRATE", None): 0.75,
    }


def test_a_value_that_is_not_known_yet_has_no_gauge(values: Values) -> None:
    metrics.show(progress(metric=None, loss=None))
    assert {name for name, _, _ in values} == {"uniferum_step", "uniferum_volumes_per_second"}


def test_a_cell_has_the_value_1_in_its_state_alone(values: Values) -> None:
    metrics.show_state("cnn-CTRATE", "running")
    assert {state for (_, _, state), value in values.items() if value == 1.0} == {"running"}
    metrics.show_state("cnn-CTRATE", "done")
    assert {state for (_, _, state), value in values.items() if value == 1.0} == {"done"}
    assert len(values) == len(metrics.STATES)


def test_without_a_connection_or_outside_a_cell_nothing_is_set(values: Values, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.delenv(metrics.CELL)
        metrics.show(progress())
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))  # type: ignore[arg-type]
    metrics.show(progress())
    metrics.show_state("cnn-CTRATE", "running")
    monkeypatch.delitem(sys.modules, "ray")
    metrics.show(progress())
    metrics.show_state("cnn-CTRATE", "running")
    assert values == {}
