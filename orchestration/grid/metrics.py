"""Live numbers on Ray's own dashboard, with the cell's name as their only tag."""

import os
import sys
from functools import cache
from typing import Any

from orchestration.grid.records import CellProgress

CELL = "UNIFERUM_CELL"
METRIC, STATE = "uniferum_metric", "uniferum_cell_state"
PROGRESS = ("uniferum_step", "uniferum_loss", "uniferum_volumes_per_second", METRIC)
"""The gauges of a running cell; Ray exports them to Prometheus with ``ray_`` before the name."""
STATES = ("pending", "running", "waiting", "done", "failed", "stopped")


def show(progress: CellProgress) -> None:
    """Set the gauges of the running cell; does nothing in a process that has not joined a Ray cluster."""
    ray = sys.modules.get("ray")
    name = os.environ.get(CELL)
    if ray is None or name is None or not ray.is_initialized():
        return
    values = (progress.step, progress.loss, progress.volumes_per_second, progress.metric)
    for gauge, value in zip(PROGRESS, values, strict=True):
        if value is not None:
            _gauge(gauge).set(float(value), tags={"cell": name})


def show_state(cell: str, state: str) -> None:
    """One gauge a cell and state, 1 for the state it is in; does nothing before Ray has been joined."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return
    for name in STATES:
        _gauge(STATE, ("cell", "state")).set(float(name == state), tags={"cell": cell, "state": name})


@cache
def _gauge(name: str, tags: tuple[str, ...] = ("cell",)) -> Any:
    from ray.util.metrics import Gauge

    return Gauge(name, description=name.replace("_", " "), tag_keys=tags)
