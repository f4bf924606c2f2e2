"""Listeners inside a worker: what MLflow is to be told goes to a file, and a small file says how far the cell is.

A worker never talks to a tracking server, so no server can slow or fail a cell. The spool is append-only, one JSON
object a line; :mod:`orchestration.tracking.uploader` reads it in order and remembers how far it came.
"""

import errno
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestration.grid.records import CellProgress
from uniferum.training.reporter import Reporter


class SpoolReporter(Reporter):
    """Appends everything that a tracking server should know to ``spool.jsonl``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "spool.jsonl"

    def params(self, values: Mapping[str, Any]) -> None:
        """Flatten nested settings to dotted keys."""
        append_line(self.path, {"params": dict(flatten(values))})

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Finite numbers only: MLflow refuses others."""
        finite = {key: float(value) for key, value in values.items() if math.isfinite(float(value))}
        if finite:
            append_line(self.path, {"step": step, "time": int(time.time() * 1000), "metrics": finite})

    def artifact(self, path: Path) -> None:
        """A finished file, by its name inside the folder."""
        append_line(self.path, {"artifact": os.path.relpath(path, self.folder)})

    def checkpoint(self, path: Path, step: int) -> None:
        """Checkpoints stay in the folder; only the step is told."""
        append_line(self.path, {"tags": {"uniferum.checkpoint_step": str(step)}})


def append_line(path: Path, entry: Mapping[str, Any]) -> None:
    """Append one JSON line whole or not at all: on a full disk no half line may stand before the next one."""
    line = (json.dumps(entry, allow_nan=False, default=str) + "\n").encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        written = os.write(descriptor, line)
        if written < len(line):
            os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)


def append(folder: Path, entry: Mapping[str, Any]) -> None:
    """Add a line of the driver's own to a cell's spool; only while no worker writes there."""
    append_line(folder / "spool.jsonl", entry)


class ProgressReporter(Reporter):
    """Writes ``progress.json`` at most once a second, and tells the watchdog that the cell lives."""

    def __init__(self, folder: Path, *, steps: int, alive: Callable[[], None] = lambda: None) -> None:
        self.path = folder / "progress.json"
        self.alive = alive
        self.state = CellProgress(
            0, steps, None, None, None, started=time.time(), updated=time.time(), phase="starting"
        )
        self._written = 0.0

    def phase(self, name: str) -> None:
        """What the cell is doing."""
        self._update(True, phase=name)

    def beat(self) -> None:
        """A sign of life from a long prediction."""
        self._update()

    def params(self, values: Mapping[str, Any]) -> None:
        """The run is built; training begins."""
        self._update(True, phase="training")

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """The step, and whichever of loss, speed and selection metric came with it."""
        found = {
            "loss": _pick(values, ("loss", "train/loss", "training/loss")),
            "volumes_per_second": _pick(values, ("volumes_per_second", "train/volumes_per_second")),
            "metric": _pick(values, ("selection", "validation/auroc", "validation/mean_auroc", "selection/auroc")),
        }
        changes: dict[str, Any] = {key: value for key, value in found.items() if value is not None}
        if self.state.base_time is None:
            changes |= {"base_step": step, "base_time": time.time()}
        self._update(step=step, **changes)
        _tell_ray(self.state)

    def artifact(self, path: Path) -> None:
        """Files come at the end."""
        self._update(phase="scoring")

    def checkpoint(self, path: Path, step: int) -> None:
        """A sign of life."""
        self._update()

    def _update(self, force: bool = False, /, **changes: Any) -> None:
        self.alive()
        now = time.time()
        self.state = CellProgress(**{**asdict(self.state), **changes, "updated": now})
        if force or now - self._written >= 1.0:
            self._written = now
            draft = self.path.with_suffix(".draft")
            draft.write_text(json.dumps(asdict(self.state)))
            draft.replace(self.path)


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as (dotted key, text)."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value, default=str) if isinstance(value, list | tuple) else str(value)


def _pick(values: Mapping[str, float], names: tuple[str, ...]) -> float | None:
    return next((float(values[name]) for name in names if name in values and math.isfinite(values[name])), None)


def _tell_ray(progress: CellProgress) -> None:
    """Gauges on Ray's dashboard, where this process is a Ray worker."""
    from orchestration.grid.metrics import show

    show(progress)
