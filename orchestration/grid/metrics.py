"""Gauges of a running grid for Ray's dashboard and Prometheus, tagged with the cell's name."""

import os
import sys
from functools import cache
from typing import Any

from orchestration.gauges import PROGRESS, STATE
from orchestration.grid.records import CellProgress
from orchestration.grid.states import CellState, PlanState

CELL = "UNIFERUM_CELL"
STATES = tuple(state.value for state in CellState if state is not CellState.UNTRAINED)


def show(progress: CellProgress) -> None:
    """Set the gauges of the running cell; does nothing in a process without a connection to Ray."""
    ray = sys.modules.get("ray")
    name = os.environ.get(CELL)
    if ray is None or name is None or not ray.is_initialized():
        return
    values = (progress.step, progress.loss, progress.volumes_per_second, progress.metric)
    for gauge, value in zip(PROGRESS, values, strict=True):
        if value is not None:
            _gauge(gauge).set(float(value), tags={"cell": name})


def show_state(cell: str, state: CellState | PlanState) -> None:
    """Set one gauge per state, 1 for the cell's state; does nothing without a connection to Ray."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return
    for name in STATES:
        _gauge(STATE, ("cell", "state")).set(float(name == state), tags={"cell": cell, "state": name})


@cache
def _gauge(name: str, tags: tuple[str, ...] = ("cell",)) -> Any:
    from ray.util.metrics import Gauge

    return Gauge(name, description=name.replace("_", " "), tag_keys=tags)
