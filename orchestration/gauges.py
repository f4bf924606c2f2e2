"""Live numbers on Ray's own dashboard, with the cell's name as their only tag."""

import os
import sys
from functools import cache
from typing import Any

from orchestration.records import Progress

CELL = "UNIFERUM_CELL"


def show(progress: Progress) -> None:
    """Set the gauges of the running cell; does nothing in a process that has not joined a Ray cluster."""
    ray = sys.modules.get("ray")
    name = os.environ.get(CELL)
    if ray is None or name is None or not ray.is_initialized():
        return
    tags = {"cell": name}
    values = {
        "uniferum_step": progress.step,
        "uniferum_loss": progress.loss,
        "uniferum_volumes_per_second": progress.volumes_per_second,
        "uniferum_metric": progress.metric,
    }
    for key, value in values.items():
        if value is not None:
            _gauge(key).set(float(value), tags=tags)


def show_state(cell: str, state: str) -> None:
    """One gauge a cell and state, 1 for the state it is in."""
    for name in ("pending", "running", "waiting", "done", "failed", "stopped"):
        _gauge("uniferum_cell_state", ("cell", "state")).set(float(name == state), tags={"cell": cell, "state": name})


@cache
def _gauge(name: str, tags: tuple[str, ...] = ("cell",)) -> Any:
    from ray.util.metrics import Gauge

    return Gauge(name, description=name.replace("_", " "), tag_keys=tags)
