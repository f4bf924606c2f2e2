"""A lane: one Ray Train run whose worker trains cell after cell, each in its own record.

Starting a Ray Train run costs three Python processes that import torch and Ray; a lane pays that once. The driver and
the lane talk through files in the lane's folder (``next.json``, ``ended-N.json``, ``leave``), which both outlive. A
crash of the process costs only the cell it was at: the driver sees the lane end and tries that cell again elsewhere.
"""

import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.attempt.attempt import Assignment, Outcome, attempt_cell, read_assignment
from orchestration.cluster.cleanup import CARD, own_placement_group
from orchestration.disk import Patience
from orchestration.grid.metrics import CELL
from orchestration.grid.records import read_json
from uniferum.atomic import write_json

if TYPE_CHECKING:
    from uniferum.training.parallel import Workers

log = logging.getLogger(__name__)

POLL_S = 0.1
FULL_DISK_S = 3600.0  # so long a worker that has something to tell waits for room; then its driver finds it gone
LEAVE, WAIT = "leave", "wait"


class WorkerGroup:
    """A lane's folder, from the worker's side and the driver's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.next = folder / "next.json"

    def take(self, *, heartbeat: Path | None, orphan_s: float, patience_s: float = math.inf) -> "Assignment | str":
        """Wait for the next cell; ``LEAVE`` when told so or when the driver is silent, ``WAIT`` when patience ends."""
        seen, since = "", time.monotonic()
        end = time.monotonic() + patience_s
        while not (self.folder / "leave").exists():
            assignment = read_assignment(self.next)
            if assignment is not None:
                self.next.rename(self.folder / "current.json")
                return assignment
            beat = heartbeat.read_text() if heartbeat and heartbeat.exists() else seen
            if beat != seen:
                seen, since = beat, time.monotonic()
            if heartbeat and time.monotonic() - since > orphan_s:
                return LEAVE
            if time.monotonic() > end:
                return WAIT
            time.sleep(POLL_S)
        return LEAVE

    def ended(self, outcome: Outcome) -> None:
        """Tell the driver how the cell ended; on a full disk as soon as there is room."""
        path = self.folder / f"ended-{outcome.attempt}-{outcome.name}.json"
        Patience(log.warning, longest_s=FULL_DISK_S)(lambda: write_json(path, asdict(outcome)))

    def collect(self) -> list[Outcome]:
        """What ended since the last call; each is given once."""
        found = []
        for path in sorted(self.folder.glob("ended-*.json")):
            data = read_json(path)
            if data is not None:
                found.append(Outcome(**data))
                path.unlink()
        return found

    def leave(self) -> None:
        """Let the worker end once its cell has."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "leave").touch()


def train_lane(settings: Mapping[str, Any]) -> None:
    """Ray Train's ``train_loop_per_worker``: cell after cell until told to leave.

    Args:
        settings: ``folder`` of the lane, ``heartbeat`` of the driver, ``orphan_s``, ``threads``, ``cells`` at most,
            ``runner``: the module of ``train_run`` and ``evaluate_run``.
    """
    from uniferum.training.parallel import Workers

    train, evaluate = _runners(settings)
    lane, workers = WorkerGroup(Path(settings["folder"])), Workers.current()
    if workers.first:
        card = {"pid": os.getpid(), "node": os.uname().nodename, "when": time.time()}
        write_json(lane.folder / CARD, {**card, "placement_group": own_placement_group()})
    left = settings.get("cells") or -1
    while left != 0:
        assignment = _agreed(lane, settings, workers)
        if assignment is None:
            return
        os.environ[CELL] = assignment.name
        outcome = attempt_cell(assignment, train, evaluate, first=workers.first)
        if workers.first or outcome.kind:
            lane.ended(outcome)
        if outcome.poisoned or (outcome.kind and workers.size > 1):
            return
        left -= 1


def _agreed(lane: WorkerGroup, settings: Mapping[str, Any], workers: "Workers") -> Assignment | None:
    """The next cell, the same on every worker; the first one takes it and tells the others."""
    heartbeat = Path(settings["heartbeat"]) if settings.get("heartbeat") else None
    orphan_s = settings.get("orphan_s", 120.0)
    if workers.size == 1:
        taken = lane.take(heartbeat=heartbeat, orphan_s=orphan_s)
        return taken if isinstance(taken, Assignment) else None
    from torch import distributed

    while True:
        found: list[Any] = [None]
        if workers.first:  # short waits, so that no collective of torch runs into its time limit
            found = [lane.take(heartbeat=heartbeat, orphan_s=orphan_s, patience_s=30.0)]
        distributed.broadcast_object_list(found, src=0)
        if found[0] != WAIT:
            return found[0] if isinstance(found[0], Assignment) else None


def _runners(settings: Mapping[str, Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    import torch

    if settings.get("threads"):
        torch.set_num_threads(int(settings["threads"]))
    module = import_module(settings.get("runner") or "uniferum.run")
    return module.train_run, module.evaluate_run


def launch_lane(
    settings: Mapping[str, Any], resources: Mapping[str, float], name: str, storage: str, workers: int = 1
) -> None:
    """Fit one lane; runs inside a Ray task without CPUs of its own, so that cancelling the task aborts the run.

    The name carries the grid and a generation that is never used twice: Ray resumes whatever bears the same name. Every
    failure limit is finite: Ray's own are endless. Retries are the scheduler's affair, so Ray makes none.
    """
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    TorchTrainer(
        train_lane,
        train_loop_config=dict(settings),
        scaling_config=ScalingConfig(
            num_workers=workers, use_gpu=bool(resources.get("GPU")), resources_per_worker=dict(resources)
        ),
        run_config=RunConfig(
            name=name,
            storage_path=storage,
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=2, max_preemption_failures=0),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
        ),
    ).fit()
