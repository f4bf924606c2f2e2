"""A worker group: one Ray Train run whose workers train cell after cell, each in its own folder.

Starting a Ray Train run starts three Python processes that import Ray, and each worker imports PyTorch; a worker group
pays this once. The driver and the workers exchange files in the worker group's folder (``next.json``,
``ended-N-NAME.json``, ``leave``), which outlives both. A crash of the process affects only its current cell: the driver
sees that the worker group ended, and retries that cell in another one.
"""

import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.attempt.attempt import Attempt, AttemptResult, attempt_cell, read_attempt
from orchestration.cluster.cleanup import CARD, own_placement_group
from orchestration.disk import retry_while_disk_full
from orchestration.grid.metrics import CELL
from orchestration.grid.records import read_json
from uniferum.atomic import write_json

if TYPE_CHECKING:
    from uniferum.training.parallel import Workers

log = logging.getLogger(__name__)

POLL_S = 0.1
FULL_DISK_S = 3600.0
"""Seconds that a worker waits for disk space to write a result; then it fails, and the driver retries the cell."""
LEAVE, WAIT = "leave", "wait"


class WorkerGroup:
    """The folder of a worker group, as the workers and the driver use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.next = folder / "next.json"

    def take(self, *, heartbeat: Path | None, orphan_s: float, longest_s: float = math.inf) -> "Attempt | str":
        """Wait for the next attempt.

        Args:
            heartbeat: the driver's heartbeat file.
            orphan_s: seconds without a new heartbeat after which the driver counts as gone.
            longest_s: seconds to wait.

        Returns:
            The attempt; ``LEAVE`` when the worker must end or the driver is gone; ``WAIT`` after ``longest_s``.
        """
        seen, since = "", time.monotonic()
        end = time.monotonic() + longest_s
        while not (self.folder / "leave").exists():
            attempt = read_attempt(self.next)
            if attempt is not None:
                self.next.rename(self.folder / "current.json")
                return attempt
            beat = heartbeat.read_text() if heartbeat and heartbeat.exists() else seen
            if beat != seen:
                seen, since = beat, time.monotonic()
            if heartbeat and time.monotonic() - since > orphan_s:
                return LEAVE
            if time.monotonic() > end:
                return WAIT
            time.sleep(POLL_S)
        return LEAVE

    def report(self, result: AttemptResult) -> None:
        """Write a result for the driver; on a full disk wait for space."""
        path = self.folder / f"ended-{result.number}-{result.name}.json"
        retry_while_disk_full(lambda: write_json(path, result.to_json()), log.warning, longest_s=FULL_DISK_S)

    def collect(self) -> list[AttemptResult]:
        """Read and remove the results that were written since the last call."""
        results = []
        for path in sorted(self.folder.glob("ended-*.json")):
            keys = read_json(path)
            if keys is not None:
                results.append(AttemptResult.from_json(keys))
                path.unlink()
        return results

    def leave(self) -> None:
        """Ask the workers to end after their current cell."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "leave").touch()


def run_worker(settings: Mapping[str, Any]) -> None:
    """Train cell after cell until asked to leave; Ray Train's ``train_loop_per_worker``.

    Args:
        settings: ``folder`` of the worker group, ``heartbeat`` of the driver, ``orphan_s``, ``threads``, the maximal
            number of ``cells``, and ``runner``, the module of ``train_run`` and ``evaluate_run``.
    """
    from uniferum.training.parallel import Workers

    train, evaluate = _runners(settings)
    group, workers = WorkerGroup(Path(settings["folder"])), Workers.current()
    if workers.first:
        card = {"pid": os.getpid(), "node": os.uname().nodename, "when": time.time()}
        write_json(group.folder / CARD, {**card, "placement_group": own_placement_group()})
    left = settings.get("cells") or -1
    while left != 0:
        attempt = _next_attempt(group, settings, workers)
        if attempt is None:
            return
        os.environ[CELL] = attempt.name
        result = attempt_cell(attempt, train, evaluate, first=workers.first)
        if workers.first or result.fault:
            group.report(result)
        if result.poisoned or (result.fault and workers.size > 1):
            return
        left -= 1


def _next_attempt(group: WorkerGroup, settings: Mapping[str, Any], workers: "Workers") -> Attempt | None:
    """The next attempt, the same on every worker: the first worker takes it and broadcasts it."""
    heartbeat = Path(settings["heartbeat"]) if settings.get("heartbeat") else None
    orphan_s = settings.get("orphan_s", 120.0)
    if workers.size == 1:
        taken = group.take(heartbeat=heartbeat, orphan_s=orphan_s)
        return taken if isinstance(taken, Attempt) else None
    from torch import distributed

    while True:
        shared: list[Any] = [None]
        if workers.first:  # short waits, so that the broadcast does not reach its time limit
            shared = [group.take(heartbeat=heartbeat, orphan_s=orphan_s, longest_s=30.0)]
        distributed.broadcast_object_list(shared, src=0)
        if shared[0] != WAIT:
            return shared[0] if isinstance(shared[0], Attempt) else None


def _runners(settings: Mapping[str, Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    import torch

    if settings.get("threads"):
        torch.set_num_threads(int(settings["threads"]))
    module = import_module(settings.get("runner") or "uniferum.run")
    return module.train_run, module.evaluate_run


def trainer_class(workers: int) -> Any:
    """Ray Train's trainer: a single worker needs no process group.

    The trainer for PyTorch would import PyTorch in the task and in Ray Train's controller, one after the other.
    """
    if workers == 1:
        from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

        return DataParallelTrainer
    from ray.train.torch import TorchTrainer

    return TorchTrainer


def launch_worker_group(
    settings: Mapping[str, Any], resources: Mapping[str, float], name: str, storage: str, workers: int = 1
) -> None:
    """Run one worker group to its end; called inside a Ray task without CPUs, so that cancelling the task aborts it.

    The name is never used twice, because Ray resumes any run that has the same name. Every failure limit is finite;
    Ray's defaults are endless. Ray retries nothing, because the scheduler does.
    """
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig

    trainer_class(workers)(
        run_worker,
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
