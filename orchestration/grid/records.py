"""What a cell's folder says about it: done, resumable at a step, failed and why, running and how far.

The folder is the truth: everything here is read from files that workers write whole or append to, so that another
shell, a report and a restarted driver see the same without Ray, ledger or MLflow.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from uniferum.atomic import write_json
from uniferum.run_files import RunFiles

PREFIX = 8  # hexadecimal digits of the training fingerprint that a folder's name carries


@dataclass(frozen=True)
class CellProgress:
    """How far a running cell is; written by its worker at most once a second."""

    step: int
    steps: int
    metric: float | None
    loss: float | None
    volumes_per_second: float | None
    started: float
    updated: float
    phase: str = "training"
    base_step: int = 0
    base_time: float | None = None

    @property
    def seconds_left(self) -> float | None:
        """A straight extrapolation from the steps of this attempt; None before there are two."""
        if self.base_time is None or self.step <= self.base_step:
            return None
        return (self.updated - self.base_time) / (self.step - self.base_step) * max(0, self.steps - self.step)


@dataclass(frozen=True)
class Failure:
    """Why a cell's last attempt ended without a result."""

    kind: str  # a class of orchestration.attempt.failures
    reason: str
    attempt: int
    when: float


def cell_folder(cells: Path, name: str, training_fingerprint: str) -> Path:
    """Where a cell's record lies: a readable name and enough of its identity that no two configurations share one."""
    return cells / f"{name}{mark_of(training_fingerprint)}"


def mark_of(training_fingerprint: str) -> str:
    """What the name of a cell's folder ends in."""
    return f"-{training_fingerprint[:PREFIX]}"


def named_folders(cells: Path, name: str) -> list[Path]:
    """Every record that bears a cell's name, whatever its fingerprint, newest last."""
    return folders_by_name(cells).get(name, [])


def folders_by_name(cells: Path) -> dict[str, list[Path]]:
    """Every record by the cell's name that it bears, newest last; the folder of a large grid is read once for all."""
    if not cells.is_dir():
        return {}
    found: dict[str, list[Path]] = {}
    for folder in cells.iterdir():
        name, dash = folder.name[: -PREFIX - 1], folder.name[-PREFIX - 1 : -PREFIX]
        if name and dash == "-":
            found.setdefault(name, []).append(folder)
    return {name: _by_age(folders) for name, folders in found.items()}


def _by_age(folders: list[Path]) -> list[Path]:
    return sorted(folders, key=lambda folder: folder.stat().st_mtime) if len(folders) > 1 else folders


@dataclass(frozen=True)
class CellFolder:
    """A cell's folder, and what it says."""

    folder: Path

    @property
    def files(self) -> RunFiles:
        """The files of the run itself."""
        return RunFiles(self.folder)

    @property
    def log(self) -> Path:
        """Everything that the cell's process printed, attempt after attempt."""
        return self.folder / "cell.log"

    @property
    def spool(self) -> Path:
        """What MLflow is to be told, one JSON object a line."""
        return self.folder / "spool.jsonl"

    @property
    def done(self) -> bool:
        """Whether the run finished; a result file that is no JSON is no result."""
        return self.result() is not None

    def result(self) -> dict[str, Any] | None:
        """The record of a finished run."""
        return read_json(self.files.result)

    def progress(self) -> CellProgress | None:
        """How far the last attempt came."""
        data = read_json(self.folder / "progress.json")
        return CellProgress(**data) if data else None

    def failure(self) -> Failure | None:
        """Why the last attempt failed; None when it did not."""
        data = read_json(self.folder / "failure.json")
        return Failure(**data) if data else None

    def write_failure(self, failure: Failure) -> None:
        """Note why an attempt ended, for a person and for the next plan."""
        write_json(self.folder / "failure.json", asdict(failure))

    def clear_failure(self) -> None:
        """Forget the last failure: a new attempt begins."""
        (self.folder / "failure.json").unlink(missing_ok=True)

    def resumable_step(self) -> int | None:
        """The step of the last whole checkpoint; None where there is none."""
        if not self.files.last.exists():
            return None
        card = read_json(self.files.last / "checkpoint.json") or {}
        return int(card.get("progress", {}).get("step", 0))

    def request_stop(self, reason: str) -> None:
        """Ask the cell's worker to write a checkpoint and stop; it looks about twice a second."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "stop.json", {"reason": reason, "when": time.time()})

    def stop_reason(self) -> str | None:
        """Why the cell was asked to stop; None when it was not."""
        data = read_json(self.folder / "stop.json")
        return str(data["reason"]) if data else None

    def clear_stop(self) -> None:
        """Let the cell run again."""
        (self.folder / "stop.json").unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON mapping; None when the file is absent, cut short or something else, as a killed writer leaves it."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return data if isinstance(data, dict) else None


def changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Which keys differ between two nested settings, each as ``key: old -> new``."""
    found: list[str] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += changes(before, after, f"{prefix}{key}.")
        elif _plain(before) != _plain(after):
            found.append(f"{prefix}{key}: {_plain(before)} -> {_plain(after)}")
    return found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
