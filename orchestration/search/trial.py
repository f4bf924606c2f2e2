"""One trial of a search: train a cell in its own folder and report its best validation AUROC so far to Ray Tune.

The folder is the truth: a resumed trial counts the validations before its checkpoint, and a finished trial reports the
value of its record. The value of the last step is reported only after the record is written, so that ASHA cannot stop a
finished trial. A user error is reported as a result, because Tune retries whatever is raised; an infrastructure failure
is raised.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from orchestration.attempt import failures
from orchestration.attempt.attempt import Attempt, attempt_cell
from orchestration.grid.records import CellFolder, Failure, cell_folder
from orchestration.search.config import Search
from uniferum.errors import UniferumError
from uniferum.training.reporter import Reporter, read_steps

if TYPE_CHECKING:
    from uniferum.run import RunConfig

METRIC, STEP, FAULT = "auroc", "step", "fault"
VALIDATION = "validation/auroc"

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class TrialCell:
    """A trial as a cell; its folder carries its fingerprint, so the same values are never trained twice."""

    config: "RunConfig"
    fingerprint: str
    folder: Path

    @property
    def record(self) -> CellFolder:
        """The trial's folder."""
        return CellFolder(self.folder)

    @property
    def done(self) -> bool:
        """Whether the trial was trained to its last step."""
        return (self.record.result() or {}).get("training_fingerprint") == self.fingerprint


def trial_cell(search: Search, params: Mapping[str, Any]) -> TrialCell:
    """Make the cell of a trial from its values.

    Raises:
        UniferumError: the values contradict each other, or a store is missing.
    """
    from uniferum.run.identity import Reading

    config = search.trial_config(params)
    reading, trials = Reading(search.grid.store_addresses), (search.root / "trials").resolve()
    fingerprint = reading.fingerprints(config).training
    folder = cell_folder(trials, "trial", fingerprint)
    former = None if folder.exists() else reading.former(config)
    if former is not None and cell_folder(trials, "trial", former.training).exists():
        return TrialCell(config, former.training, cell_folder(trials, "trial", former.training))
    return TrialCell(config, fingerprint, folder)


def trial_folders(search: Search) -> list[Path]:
    """Folders of all trials."""
    return sorted((search.root / "trials").glob("trial-*"))


def train_trial(params: Mapping[str, Any], search: Search) -> None:
    """Train one trial; the trainable of Ray Tune."""
    from ray import tune

    run_trial(params, search, tune.report)


def run_trial(params: Mapping[str, Any], search: Search, report: Report) -> None:
    """Train a trial in this process, or report the value of its record; a trial with the same values waits for it.

    Args:
        params: the values by dotted key.
        search: the search, with absolute paths.
        report: called with the best validation AUROC so far, at the end with the record's, or with the fault.

    Raises:
        RuntimeError: an infrastructure failure.
    """
    try:
        cell = trial_cell(search, params)
    except UniferumError as error:
        report(_fault(failures.USER, str(error)))
        return
    cell.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(cell.folder / "trial.lock"):  # the operating system frees it when this process is killed
        kind, reason = (None, None) if cell.done else _attempt(cell, search, report)
        value = _recorded_value(cell)
    if kind in failures.RETRIED:
        raise RuntimeError(f"{kind}: {reason}")
    if kind is not None:
        report(_fault(kind, reason))
    elif value is None:
        report(_fault(failures.USER, "no validation label has both classes, so a trial has no AUROC"))
    else:
        report({METRIC: value, STEP: cell.config.training.steps})


def _attempt(cell: TrialCell, search: Search, report: Report) -> tuple[str | None, str | None]:
    """Train from the last checkpoint; return the kind and reason of the fault that ended it, if any."""
    from uniferum.run import evaluate_run, train_run

    listener = Validations(report, cell.config.training.steps)
    listener.recall(cell.record)
    cell.record.clear_stop()
    cell.record.clear_failure()
    keys, policy = cell.config.model_dump(mode="json"), search.grid.policy
    given = Attempt("trial", str(cell.folder), keys, search.grid.store_addresses, 1, "", stall_s=policy.stall_s)
    outcome = attempt_cell(given, train_run, evaluate_run, [listener])
    kind = failures.CANCELLED if outcome.stopped else outcome.kind
    if kind is not None:
        cell.record.write_failure(Failure(kind, outcome.reason or "", 1, time.time()))
    return kind, outcome.reason


def _recorded_value(cell: TrialCell) -> float | None:
    """Best validation AUROC of a finished trial."""
    value = ((cell.record.result() or {}).get("selection") or {}).get("value")
    return None if value is None else float(value)


def _fault(kind: str, reason: str | None) -> dict[str, Any]:
    """Report a failed trial at step 0, which ASHA ignores."""
    return {METRIC: 0.0, STEP: 0, FAULT: f"{kind}: {reason}"}


class Validations(Reporter):
    """Tells after each validation but the last the best so far, which is the checkpoint that a cell keeps."""

    def __init__(self, report: Report, steps: int) -> None:
        self.report, self.steps = report, steps
        self.best = -math.inf

    def recall(self, record: CellFolder) -> None:
        """Count the validations up to the checkpoint that the trial goes on from; those after it are made again."""
        reached = record.resumable_step() or 0
        lines = [line for line in read_steps(record.files.steps) if VALIDATION in line and line["step"] <= reached]
        seen = [(int(line["step"]), float(line[VALIDATION])) for line in lines if math.isfinite(line[VALIDATION])]
        if seen:
            self.best = max(value for _, value in seen)
            self._tell(max(step for step, _ in seen))

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """The mean validation AUROC; ASHA may end the trial here."""
        value = values.get(VALIDATION)
        if value is not None and math.isfinite(value):
            self.best = max(self.best, value)
            self._tell(step)

    def _tell(self, step: int) -> None:
        if step < self.steps:
            self.report({METRIC: self.best, STEP: step})


def trained_steps(folder: Path) -> int:
    """How many steps a trial was trained."""
    return max((int(line["step"]) for line in read_steps(CellFolder(folder).files.steps)), default=0)
