"""The executor on Ray: warm lanes, each a Ray Train run launched as a Ray task, fed one cell at a time.

Stopping is asked for through the cell's folder; what does not stop is cancelled through Ray, and a lane that still
holds on is killed and its placement group removed, so that no ungraceful end leaks a GPU.
"""

import logging
import math
import os
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestration.attempt.attempt import Assignment, Outcome, write_assignment
from orchestration.attempt.failures import WORKER_KILLED, Fault, classify_text
from orchestration.attempt.watchdog import with_stack
from orchestration.cluster import connect
from orchestration.cluster.cleanup import CARD, reap
from orchestration.cluster.worker_group import WorkerGroup, launch_lane
from orchestration.disk import Patience, is_full
from orchestration.grid.records import CellFolder, read_json
from orchestration.grid.resources import Resources
from orchestration.scheduling.executor import Ended, Work

log = logging.getLogger(__name__)

BEAT_S = 2.0
KILL_S = 60.0
"""So long a cancelled lane may take to let go before it is ended by force."""
HEAD_S = 15.0
"""So long the head may be silent: Ray itself ends this process after a minute, without a word and without tidying."""


@dataclass
class GroupState:
    """A lane that runs, and the cell it is at."""

    lane: WorkerGroup
    ref: Any
    work: Work | None = None
    attempt: int = 0
    since: float = 0.0
    fault: Fault | None = None
    cells: int = 0
    leaving: bool = False
    killed_at: float | None = None


@dataclass
class RayExecutor:
    """Runs cells on Ray; ``payload`` of a work is an :class:`Assignment` without attempt and token."""

    folder: Path
    grid: str
    resources: Resources
    heartbeat: Path
    token: int = 0
    runner: str | None = None
    launch: Callable[..., Any] = launch_lane
    say: Callable[[str], None] = log.warning
    head: str | None = None
    lanes: list[GroupState] = field(default_factory=list)
    patience: Patience = field(init=False)
    _early: list[Ended] = field(default_factory=list)
    _beaten: float = -math.inf
    _asked: float = -math.inf
    _answered: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.patience = Patience(lambda line: self.say(line), self.beat)

    def capacity(self) -> int:
        """What the cluster's living nodes hold; nothing while its head is silent, for asking it would block."""
        return connect.slots(self.resources) if self._head_answers() else 0

    def now(self) -> float:
        """The real clock."""
        return time.monotonic()

    def start(self, work: Work, attempt: int) -> None:
        """Give the cell to an idle lane, or to a new one."""
        held = next((h for h in self.lanes if h.work is None and not h.leaving), None) or self._new_lane()
        held.work, held.attempt, held.since, held.fault = work, attempt, time.time(), None
        held.cells += 1
        assignment: Assignment = work.payload
        token = f"{self.token}-{attempt}-{uuid.uuid4().hex[:8]}"
        sealed = Assignment(
            **{**vars(assignment), "attempt": attempt, "token": token, "heartbeat": str(self.heartbeat)}
        )
        self.patience(lambda: write_assignment(held.lane.next, sealed))
        held.leaving = not self.resources.warm

    def wait(self, seconds: float) -> Sequence[Ended]:
        """Look at every lane a few times a second."""
        until = time.monotonic() + seconds
        while True:
            self.beat()
            if not self._head_answers():
                time.sleep(min(0.2, seconds))
                continue
            found = [*self._early, *(ended for held in list(self.lanes) for ended in self._look(held))]
            self._early.clear()
            if found or time.monotonic() >= until:
                return found
            time.sleep(min(0.2, seconds))

    def silent_for(self, work: Work) -> float:
        """Since the worker last wrote its progress; a lane still starting counts from its start."""
        held = self._at(work)
        if held is None:  # no lane has it: unless its end is about to be told, it would run for ever
            return 0.0 if any(ended.name == work.name for ended in self._early) else math.inf
        progress = CellFolder(Path(work.payload.folder)).progress()
        return max(0.0, time.time() - max(held.since, progress.updated if progress else 0.0))

    def stop(self, work: Work, reason: str) -> None:
        """Through the cell's folder, so that it checkpoints first; a cell not yet taken is simply withdrawn."""
        held = self._at(work)
        self.patience(lambda: CellFolder(Path(work.payload.folder)).request_stop(reason))
        if held is not None and _withdrawn(held.lane.next):
            self._early.append(Ended(work.name, stopped=True))
            held.work = None

    def kill(self, work: Work, fault: Fault) -> None:
        """Cancel the lane's task: Ray aborts the run and frees its resources; the fault is told when it has ended.

        A task that holds on for ``KILL_S`` is ended by force, and the lane given up.
        """
        held = self._at(work)
        if held is None:
            self._early.append(Ended(work.name, fault))
            return
        import ray

        held.fault = with_stack(fault, Path(work.payload.folder), held.attempt)
        held.leaving, held.killed_at = True, time.monotonic()
        ray.cancel(held.ref, force=False)
        _kill_process(held.lane)

    def beat(self) -> None:
        """Tell the workers that their driver lives: every two seconds, in place, which takes no room on a full disk."""
        now = time.monotonic()
        if now - self._beaten < BEAT_S:
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
        """Let every lane leave; cancel those that do not within a few seconds."""
        import ray

        for held in self.lanes:
            self.patience(held.lane.leave)
        refs = [held.ref for held in self.lanes]
        _, late = ray.wait(refs, num_returns=len(refs), timeout=15) if refs else ([], [])
        for ref in late:
            ray.cancel(ref, force=False)
        if late:
            ray.wait(late, num_returns=len(late), timeout=15)
        reap(held.lane.folder for held in self.lanes)
        self.lanes.clear()

    def abandon(self) -> None:
        """The cluster is gone: tell workers that may still live, by file alone, to write a checkpoint and leave."""
        for held in self.lanes:
            if held.work is not None:
                CellFolder(Path(held.work.payload.folder)).request_stop("its cluster is gone")
            held.lane.leave()
        self.lanes.clear()

    def take_over(self) -> list[str]:
        """Give back what the lanes of earlier drivers still hold; only for whoever has the grid's lease."""
        return reap(sorted(self.folder.glob("*")))

    # ---------------------------------------------------------------------------------------------------------------

    def _head_answers(self) -> bool:
        now = time.monotonic()
        if self.head is not None and now - self._asked >= BEAT_S:
            self._asked = now
            if connect.answers(self.head):
                self._answered = now
            elif now - self._answered > HEAD_S:
                raise connect.HeadLost(f"the Ray head at {self.head} does not answer any more")
        return self._answered >= self._asked

    def _at(self, work: Work) -> GroupState | None:
        return next((held for held in self.lanes if held.work is not None and held.work.name == work.name), None)

    def _new_lane(self) -> GroupState:
        import ray

        name = f"{self.grid}-lane-{time.strftime('%Y%m%d%H%M%S')}-{uuid.uuid4().hex[:6]}"
        lane = WorkerGroup(self.folder / name)
        self.patience(lambda: lane.folder.mkdir(parents=True, exist_ok=True))
        settings = {
            "folder": str(lane.folder),
            "heartbeat": str(self.heartbeat),
            "threads": max(1, int(self.resources.cpus / self.resources.workers)) if not self.resources.gpus else None,
            "cells": None if self.resources.warm else 1,
            "runner": self.runner,
        }
        task: Any = ray.remote(self.launch)
        ref = task.options(num_cpus=0, max_retries=0, name=name).remote(
            settings, connect.lane_resources(self.resources), name, str(self.folder / "ray"), self.resources.workers
        )
        held = GroupState(lane, ref)
        self.lanes.append(held)
        return held

    def _look(self, held: GroupState) -> list[Ended]:
        import ray

        gone = bool(ray.wait([held.ref], timeout=0)[0])
        found = [self._ended(held, outcome) for outcome in held.lane.collect() if self._is_its(held, outcome)]
        if not gone and held.killed_at is not None and time.monotonic() - held.killed_at > KILL_S:
            ray.cancel(held.ref, force=True)
            gone = True
        if gone:
            self.lanes.remove(held)
            reap([held.lane.folder])
            if held.work is not None:
                found.append(self._lost(held))
        return found

    def _is_its(self, held: GroupState, outcome: Outcome) -> bool:
        """Whether an outcome is of the attempt that the lane is at: several workers of a cell may each tell its end."""
        return held.work is not None and (outcome.name, outcome.attempt) == (held.work.name, held.attempt)

    def _ended(self, held: GroupState, outcome: Outcome) -> Ended:
        held.work = None
        held.leaving = held.leaving or outcome.poisoned
        if outcome.kind and self.resources.workers > 1:  # its workers leave one by one, or wait for each other
            import ray

            held.leaving, held.killed_at = True, time.monotonic()
            ray.cancel(held.ref, force=False)
        fault = Fault(outcome.kind, outcome.reason or "") if outcome.kind else None
        return Ended(outcome.name, fault, outcome.stopped, outcome.seconds, outcome.node)

    def _lost(self, held: GroupState) -> Ended:
        """The lane ended under its cell: why, in Ray's words."""
        import ray

        assert held.work is not None
        node = (read_json(held.lane.folder / CARD) or {}).get("node")
        try:
            ray.get(held.ref, timeout=KILL_S)
            fault = Fault(WORKER_KILLED, "the worker left in the middle of the cell")
        except Exception as error:  # noqa: BLE001 - whatever ended the lane, the others go on; the text says what it was
            text = f"{type(error).__name__}: {error}"
            self.patience(lambda: (held.lane.folder / "lane.err").write_text(text, encoding="utf-8"))
            fault = classify_text(text)
        return Ended(held.work.name, held.fault or fault, False, time.time() - held.since, node)


def _withdrawn(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _kill_process(lane: WorkerGroup) -> None:
    """End a hung worker on this machine outright: a process stuck in C code hears no cancellation."""
    import signal

    worker = read_json(lane.folder / CARD)
    if worker and worker.get("node") == os.uname().nodename:
        try:
            os.kill(int(worker["pid"]), signal.SIGKILL)
        except ProcessLookupError:
            return
