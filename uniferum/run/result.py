"""Read the record of a finished run (``result.json``), and describe the environment of a run."""

import json
import math
import os
import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from uniferum.errors import UniferumError
from uniferum.run_files import RESULT_FORMAT, RunFiles

PACKAGES = (
    *("torch", "timm", "timm-3d", "transformers", "tokenizers", "safetensors", "monai"),
    *("numpy", "numba", "scipy", "pandas", "pyarrow", "ray"),
)
"""Packages whose versions are recorded with a result: those that train, predict, score and store."""


@dataclass(frozen=True)
class RunResult:
    """The record of a finished run; ``record`` is the content of ``result.json``."""

    folder: Path
    record: dict[str, Any]

    @property
    def training_fingerprint(self) -> str:
        """Fingerprint of the training."""
        return self.record["training_fingerprint"]

    @property
    def evaluation_fingerprint(self) -> str:
        """Fingerprint of training and test data."""
        return self.record["evaluation_fingerprint"]

    def value(self, cohort: str, group: str, metric: str = "auroc") -> float:
        """Return one group mean; NaN if it is undefined or was not evaluated."""
        for row in self.record["groups"]:
            if (row["cohort"], row["group"], row["metric"]) == (cohort, group, metric):
                return math.nan if row["value"] is None else float(row["value"])
        return math.nan


def read_result(folder: Path) -> RunResult | None:
    """Read the record of a run's folder; None if the run has not finished.

    Raises:
        UniferumError: the file exists but is not a record of this format.
    """
    path = RunFiles(folder).result
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text())
    except ValueError as error:
        raise UniferumError(str(path), must="be valid JSON", cure=" ".join(str(error).split())) from None
    if not isinstance(record, dict) or record.get("format") != RESULT_FORMAT:
        raise UniferumError(str(path), must=f"be a record of format {RESULT_FORMAT}")
    return RunResult(folder, record)


def plain(value: Any) -> Any:
    """Convert to JSON values: NaN and infinity become null, numpy scalars become numbers."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def environment() -> dict[str, Any]:
    """Describe versions, commit and devices, to reproduce a result."""
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "git_commit": git_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the installed versions of packages that results depend on."""
    installed: dict[str, str] = {}
    for name in ("uniferum", *PACKAGES):
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed[name] = "not installed"
    return installed


def git_commit() -> str | None:
    """Return the commit of this source tree, with ``+`` if it has changes; without a tree ``UNIFERUM_COMMIT``."""
    here = Path(__file__).parent
    commit = _git(here, "rev-parse", "HEAD")
    if commit is None:
        return os.environ.get("UNIFERUM_COMMIT")
    return f"{commit}+" if _git(here, "status", "--porcelain", "--untracked-files=no") else commit


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
