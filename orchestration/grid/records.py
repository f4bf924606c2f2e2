"""Read and write the state files of a cell's folder: result, progress, failure, stop request.

The folder is the truth. Its files are written atomically or appended to, so another shell, a report and a restarted
driver see the same state without Ray, ledger or MLflow.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestration.grid.states import Phase
from uniferum.atomic import write_json
from uniferum.run_files import RunFiles

PREFIX = 8  # hexadecimal digits of the training fingerprint in a folder's name


@dataclass(frozen=True)
class CellProgress:
    """Progress of a running cell; its worker writes it once a second at most."""

    step: int
    steps: int
    metric: float | None
    loss: float | None
    volumes_per_second: float | None
    started: float
    updated: float
    phase: Phase = Phase.TRAINING
    base_step: int = 0
    base_time: float | None = None

    @property
    def seconds_left(self) -> float | None:
        """Linear extrapolation from the steps of this attempt; None before its second report."""
        if self.base_time is None or self.step <= self.base_step:
            return None
        return (self.updated - self.base_time) / (self.step - self.base_step) * max(0, self.steps - self.step)


@dataclass(frozen=True)
class Failure:
    """Why the last attempt of a cell ended without a result."""

    kind: str  # a class of orchestration.attempt.failures
    reason: str
    attempt: int
    when: float


def cell_folder(cells: Path, name: str, training_fingerprint: str) -> Path:
    """Path of a cell's folder: the cell's name and the start of its training fingerprint."""
    return cells / f"{name}{folder_suffix(training_fingerprint)}"


def folder_suffix(training_fingerprint: str) -> str:
    """End of the name of a cell's folder: the start of its training fingerprint."""
    return f"-{training_fingerprint[:PREFIX]}"


def named_folders(cells: Path, name: str) -> list[Path]:
    """Folders with a cell's name and any fingerprint, newest last."""
    return folders_by_name(cells).get(name, [])


def folders_by_name(cells: Path) -> dict[str, list[Path]]:
    """Folders by the cell's name, newest last, from one listing of the directory."""
    if not cells.is_dir():
        return {}
    by_name: dict[str, list[Path]] = {}
    for folder in cells.iterdir():
        name, dash = folder.name[: -PREFIX - 1], folder.name[-PREFIX - 1 : -PREFIX]
        if name and dash == "-":
            by_name.setdefault(name, []).append(folder)
    return {name: _by_age(folders) for name, folders in by_name.items()}


def folders_by_suffix(by_name: Mapping[str, list[Path]]) -> dict[str, list[Path]]:
    """The folders of :func:`folders_by_name` by the start of their fingerprint, see :func:`folder_suffix`."""
    by_suffix: dict[str, list[Path]] = {}
    for folders in by_name.values():
        for folder in folders:
            by_suffix.setdefault(folder.name[-PREFIX - 1 :], []).append(folder)
    return by_suffix


def _by_age(folders: list[Path]) -> list[Path]:
    return sorted(folders, key=lambda folder: folder.stat().st_mtime) if len(folders) > 1 else folders


@dataclass(frozen=True)
class CellFolder:
    """A cell's folder and its state files."""

    folder: Path

    @property
    def files(self) -> RunFiles:
        """Files of the run: config, checkpoints, predictions, result."""
        return RunFiles(self.folder)

    @property
    def log(self) -> Path:
        """Log of everything that the cell's workers print, over all attempts."""
        return self.folder / "cell.log"

    @property
    def spool(self) -> Path:
        """Records that wait for MLflow, one JSON object per line."""
        return self.folder / "spool.jsonl"

    @property
    def done(self) -> bool:
        """Whether the run has finished; an unreadable result file does not count."""
        return self.result() is not None

    def result(self) -> dict[str, Any] | None:
        """Record of a finished run; None if it has not finished."""
        return read_json(self.files.result)

    def progress(self) -> CellProgress | None:
        """Progress of the last attempt; None if there is none."""
        data = read_json(self.folder / "progress.json")
        return CellProgress(**{**data, "phase": Phase(data.get("phase", Phase.TRAINING))}) if data else None

    def failure(self) -> Failure | None:
        """Why the last attempt failed; None if it did not fail."""
        data = read_json(self.folder / "failure.json")
        return Failure(**data) if data else None

    def write_failure(self, failure: Failure) -> None:
        """Write why an attempt ended without a result."""
        write_json(self.folder / "failure.json", asdict(failure))

    def clear_failure(self) -> None:
        """Delete the last failure before a new attempt."""
        (self.folder / "failure.json").unlink(missing_ok=True)

    def resumable_step(self) -> int | None:
        """Step of the last complete checkpoint; None if there is none."""
        if not self.files.last.exists():
            return None
        card = read_json(self.files.last / "checkpoint.json") or {}
        return int(card.get("progress", {}).get("step", 0))

    def request_stop(self, reason: str) -> None:
        """Ask the cell's worker to write a checkpoint and stop; it checks twice a second."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "stop.json", {"reason": reason, "when": time.time()})

    def stop_reason(self) -> str | None:
        """Reason of the stop request; None if there is none."""
        data = read_json(self.folder / "stop.json")
        return str(data["reason"]) if data else None

    def clear_stop(self) -> None:
        """Delete the stop request."""
        (self.folder / "stop.json").unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None if the file is missing, incomplete or not a JSON object."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return data if isinstance(data, dict) else None


def changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """List the keys that differ between two nested mappings, each as ``key: old -> new``."""
    lines: list[str] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += changes(before, after, f"{prefix}{key}.")
        elif _plain(before) != _plain(after):
            lines.append(f"{prefix}{key}: {_plain(before)} -> {_plain(after)}")
    return lines


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
