"""Reporters inside a worker: write the spool, which is uploaded to MLflow later, and the cell's progress file.

A worker never connects to a tracking server, so a server cannot slow down or fail a cell. The spool is append-only,
one JSON object a line; :mod:`orchestration.tracking.uploader` sends the lines in order and stores its position.
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
from orchestration.grid.states import Phase
from uniferum.training.reporter import Reporter


class SpoolReporter(Reporter):
    """Append parameters, metrics and artifact names for MLflow to ``spool.jsonl``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "spool.jsonl"

    def params(self, values: Mapping[str, Any]) -> None:
        """Append the settings, flattened to dotted keys."""
        append_line(self.path, {"params": dict(flatten(values))})

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Append the finite values; MLflow refuses NaN and infinity."""
        finite = {key: float(value) for key, value in values.items() if math.isfinite(float(value))}
        if finite:
            append_line(self.path, {"step": step, "time": int(time.time() * 1000), "metrics": finite})

    def artifact(self, path: Path) -> None:
        """Append the file's path relative to the cell's folder."""
        append_line(self.path, {"artifact": os.path.relpath(path, self.folder)})

    def checkpoint(self, path: Path, step: int) -> None:
        """Append the step as a tag; the checkpoint itself is not uploaded."""
        append_line(self.path, {"tags": {"uniferum.checkpoint_step": str(step)}})


def append_line(path: Path, entry: Mapping[str, Any]) -> None:
    """Append one JSON line; on a full disk remove the part that was written, so that no half line remains."""
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
    """Append a line of the driver to a cell's spool; only allowed while no worker writes to it."""
    append_line(folder / "spool.jsonl", entry)


class ProgressReporter(Reporter):
    """Write ``progress.json`` at most once a second, and reset the watchdog at every report."""

    def __init__(self, folder: Path, *, steps: int, alive: Callable[[], None] = lambda: None) -> None:
        self.path = folder / "progress.json"
        self.alive = alive
        self.state = CellProgress(
            0, steps, None, None, None, started=time.time(), updated=time.time(), phase=Phase.STARTING
        )
        self._written = 0.0

    def phase(self, name: Phase) -> None:
        """Set the phase that `grid status` shows."""
        self._update(True, phase=name)

    def beat(self) -> None:
        """Reset the watchdog during a long prediction."""
        self._update()

    def params(self, values: Mapping[str, Any]) -> None:
        """Set the phase to training: the model and the data are loaded."""
        self._update(True, phase=Phase.TRAINING)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Set the step, and the loss, speed and selection metric where they are given."""
        picked = {
            "loss": _pick(values, ("loss", "train/loss", "training/loss")),
            "volumes_per_second": _pick(values, ("volumes_per_second", "train/volumes_per_second")),
            "metric": _pick(values, ("selection", "validation/auroc", "validation/mean_auroc", "selection/auroc")),
        }
        changes: dict[str, Any] = {key: value for key, value in picked.items() if value is not None}
        if self.state.base_time is None:
            changes |= {"base_step": step, "base_time": time.time()}
        self._update(step=step, **changes)
        _set_gauges(self.state)

    def artifact(self, path: Path) -> None:
        """Set the phase to scoring: artifacts are written after training."""
        self._update(phase=Phase.SCORING)

    def checkpoint(self, path: Path, step: int) -> None:
        """Reset the watchdog."""
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
    """Yield nested settings as pairs of dotted key and text."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value, default=str) if isinstance(value, list | tuple) else str(value)


def _pick(values: Mapping[str, float], names: tuple[str, ...]) -> float | None:
    return next((float(values[name]) for name in names if name in values and math.isfinite(values[name])), None)


def _set_gauges(progress: CellProgress) -> None:
    """Set the gauges of Ray's dashboard, where this process is a Ray worker."""
    from orchestration.grid.metrics import show

    show(progress)
