"""The executor on Ray: long-lived worker groups, each a Ray Train run in a Ray task, which get one cell at a time.

A stop request goes through the cell's folder. A worker group that does not stop is cancelled through Ray; if that
fails too, it is killed and its placement group removed, so that no GPU stays reserved.
"""

import logging
import math
import os
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from orchestration.attempt.attempt import Attempt, AttemptResult, write_attempt
from orchestration.attempt.failures import WORKER_KILLED, Fault, classify_text
from orchestration.attempt.watchdog import with_stack
from orchestration.cluster import connect
from orchestration.cluster.cleanup import CARD, release_placement_groups
from orchestration.cluster.worker_group import WorkerGroup, launch_worker_group
from orchestration.disk import is_full, retry_while_disk_full
from orchestration.grid.records import CellFolder, read_json
from orchestration.grid.resources import Resources

T = TypeVar("T")

log = logging.getLogger(__name__)

HEARTBEAT_S = 2.0
KILL_S = 60.0
"""Grace period in seconds before a cancelled worker group is killed."""
HEAD_S = 15.0
"""Seconds without an answer after which the Ray head counts as lost. Ray itself exits this process after a minute,
without a message and without cleaning up."""


@dataclass
class GroupState:
    """A running worker group and the attempt that it works on."""

    group: WorkerGroup
    ref: Any
    attempt: Attempt | None = None
    since: float = 0.0
    fault: Fault | None = None
    leaving: bool = False
    killed_at: float | None = None


@dataclass
class RayExecutor:
    """Run attempts in worker groups on Ray.

    Args:
        folder: where worker groups have their folders.
        grid: the grid's name, with which the names of Ray runs begin.
        resources: what a cell reserves.
        heartbeat: the file that tells workers that the driver is running.
        token: the number of the driver's lease; part of each attempt's token.
        runner: the module of ``train_run`` and ``evaluate_run``; None: ``uniferum.run``.
    """

    folder: Path
    grid: str
    resources: Resources
    heartbeat: Path
    token: int = 0
    runner: str | None = None
    launch: Callable[..., Any] = launch_worker_group
    say: Callable[[str], None] = log.warning
    head: str | None = None
    groups: list[GroupState] = field(default_factory=list)
    _early: list[AttemptResult] = field(default_factory=list)
    _beaten: float = -math.inf
    _asked: float = -math.inf
    _answered: float = field(default_factory=time.monotonic)

    def capacity(self) -> int:
        """The number of cells that fit on the living nodes; 0 while the head is silent, since the query would block."""
        return connect.slots(self.resources) if self._head_answers() else 0

    def now(self) -> float:
        """The real clock."""
        return time.monotonic()

    def start(self, attempt: Attempt) -> None:
        """Give the attempt to an idle worker group, or to a new one."""
        state = next((s for s in self.groups if s.attempt is None and not s.leaving), None) or self._new_group()
        token = f"{self.token}-{attempt.number}-{uuid.uuid4().hex[:8]}"
        owned = replace(attempt, token=token, heartbeat=str(self.heartbeat))
        state.attempt, state.since, state.fault = owned, time.time(), None
        self._write(lambda: write_attempt(state.group.next, owned))
        state.leaving = not self.resources.warm

    def wait(self, seconds: float) -> Sequence[AttemptResult]:
        """Poll the worker groups a few times a second."""
        until = time.monotonic() + seconds
        while True:
            self.beat()
            if not self._head_answers():
                time.sleep(min(0.2, seconds))
                continue
            results = [*self._early, *(result for state in list(self.groups) for result in self._poll(state))]
            self._early.clear()
            if results or time.monotonic() >= until:
                return results
            time.sleep(min(0.2, seconds))

    def silent_for(self, attempt: Attempt) -> float:
        """Seconds since the worker last wrote its progress, or since the start if it has written none."""
        state = self._state_of(attempt)
        if state is None:  # without a worker group it would never end, unless its result is about to be returned
            return 0.0 if any(result.name == attempt.name for result in self._early) else math.inf
        progress = CellFolder(Path(attempt.folder)).progress()
        return max(0.0, time.time() - max(state.since, progress.updated if progress else 0.0))

    def stop(self, attempt: Attempt, reason: str) -> None:
        """Request a stop through the cell's folder, so that it writes a checkpoint; withdraw a cell not yet taken."""
        state = self._state_of(attempt)
        self._write(lambda: CellFolder(Path(attempt.folder)).request_stop(reason))
        if state is not None and _withdrawn(state.group.next):
            self._early.append(AttemptResult(attempt.name, attempt.number, stopped=True))
            state.attempt = None

    def kill(self, attempt: Attempt, fault: Fault) -> None:
        """Cancel the task of the worker group: Ray aborts the run and frees its resources; the result follows.

        A task that has not ended after ``KILL_S`` is killed and its worker group removed.
        """
        state = self._state_of(attempt)
        if state is None or state.attempt is None:
            self._early.append(AttemptResult(attempt.name, attempt.number, fault))
            return
        import ray

        state.fault = with_stack(fault, Path(attempt.folder), state.attempt.number)
        state.leaving, state.killed_at = True, time.monotonic()
        ray.cancel(state.ref, force=False)
        _kill_process(state.group)

    def beat(self) -> None:
        """Write the heartbeat every two seconds, in place, so that it also works on a full disk."""
        now = time.monotonic()
        if now - self._beaten < HEARTBEAT_S:
            return
        self._beaten = now
        try:
            beat = os.open(self.heartbeat, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.pwrite(beat, f"{os.getpid():>10} {time.time():>20.3f}".encode(), 0)
            finally:
                os.close(beat)
        except OSError as error:
            if not is_full(error):
                raise

    def close(self) -> None:
        """Ask every worker group to end; cancel those that do not within 15 seconds."""
        import ray

        for state in self.groups:
            self._write(state.group.leave)
        refs = [state.ref for state in self.groups]
        _, late = ray.wait(refs, num_returns=len(refs), timeout=15) if refs else ([], [])
        for ref in late:
            ray.cancel(ref, force=False)
        if late:
            ray.wait(late, num_returns=len(late), timeout=15)
        release_placement_groups(state.group.folder for state in self.groups)
        self.groups.clear()

    def abandon(self) -> None:
        """Ask workers by file, since the cluster is gone, to write a checkpoint and end where they still run."""
        for state in self.groups:
            if state.attempt is not None:
                CellFolder(Path(state.attempt.folder)).request_stop("its cluster is gone")
            state.group.leave()
        self.groups.clear()

    def release_earlier(self) -> list[str]:
        """Release what the worker groups of earlier drivers still reserve; needs the grid's lease."""
        return release_placement_groups(sorted(self.folder.glob("*")))

    # ---------------------------------------------------------------------------------------------------------------

    def _write(self, write: Callable[[], T]) -> T:
        return retry_while_disk_full(write, self.say, self.beat)

    def _head_answers(self) -> bool:
        now = time.monotonic()
        if self.head is not None and now - self._asked >= HEARTBEAT_S:
            self._asked = now
            if connect.answers(self.head):
                self._answered = now
            elif now - self._answered > HEAD_S:
                raise connect.HeadLost(f"the Ray head at {self.head} does not answer any more")
        return self._answered >= self._asked

    def _state_of(self, attempt: Attempt) -> GroupState | None:
        named = (state for state in self.groups if state.attempt is not None and state.attempt.name == attempt.name)
        return next(named, None)

    def _new_group(self) -> GroupState:
        import ray

        name = f"{self.grid}-lane-{time.strftime('%Y%m%d%H%M%S')}-{uuid.uuid4().hex[:6]}"
        group = WorkerGroup(self.folder / name)
        self._write(lambda: group.folder.mkdir(parents=True, exist_ok=True))
        settings = {
            "folder": str(group.folder),
            "heartbeat": str(self.heartbeat),
            "threads": max(1, int(self.resources.cpus / self.resources.workers)) if not self.resources.gpus else None,
            "cells": None if self.resources.warm else 1,
            "runner": self.runner,
        }
        task: Any = ray.remote(self.launch)
        ref = task.options(num_cpus=0, max_retries=0, name=name).remote(
            settings, connect.worker_resources(self.resources), name, str(self.folder / "ray"), self.resources.workers
        )
        state = GroupState(group, ref)
        self.groups.append(state)
        return state

    def _poll(self, state: GroupState) -> list[AttemptResult]:
        import ray

        gone = bool(ray.wait([state.ref], timeout=0)[0])
        results = [self._accept(state, result) for result in state.group.collect() if self._is_current(state, result)]
        if not gone and state.killed_at is not None and time.monotonic() - state.killed_at > KILL_S:
            ray.cancel(state.ref, force=True)
            gone = True
        if gone:
            self.groups.remove(state)
            release_placement_groups([state.group.folder])
            if state.attempt is not None:
                results.append(self._lost(state, state.attempt))
        return results

    def _is_current(self, state: GroupState, result: AttemptResult) -> bool:
        """Whether a result is of the current attempt: several workers of a cell may each report its end."""
        current = state.attempt
        return current is not None and (result.name, result.number) == (current.name, current.number)

    def _accept(self, state: GroupState, result: AttemptResult) -> AttemptResult:
        state.attempt = None
        state.leaving = state.leaving or result.poisoned
        if result.fault and self.resources.workers > 1:  # the other workers end one by one, or wait for each other
            import ray

            state.leaving, state.killed_at = True, time.monotonic()
            ray.cancel(state.ref, force=False)
        return result

    def _lost(self, state: GroupState, attempt: Attempt) -> AttemptResult:
        """The result of an attempt whose worker group ended under it; the reason is Ray's."""
        import ray

        node = (read_json(state.group.folder / CARD) or {}).get("node")
        try:
            ray.get(state.ref, timeout=KILL_S)
            fault = Fault(WORKER_KILLED, "the worker ended in the middle of the cell")
        except Exception as error:  # noqa: BLE001 - whatever ended the worker group, the others go on
            text = f"{type(error).__name__}: {error}"
            self._write(lambda: (state.group.folder / "lane.err").write_text(text, encoding="utf-8"))
            fault = classify_text(text)
        seconds = time.time() - state.since
        return AttemptResult(attempt.name, attempt.number, state.fault or fault, seconds=seconds, node=node)


def _withdrawn(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _kill_process(group: WorkerGroup) -> None:
    """Kill a hung worker on this machine: a process that hangs in C code does not react to a cancellation."""
    import signal

    worker = read_json(group.folder / CARD)
    if worker and worker.get("node") == os.uname().nodename:
        try:
            os.kill(int(worker["pid"]), signal.SIGKILL)
        except ProcessLookupError:
            return
