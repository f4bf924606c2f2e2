"""The executor on a fake Ray of four functions: which result counts, and how a hung worker group is killed."""

import math
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestration.attempt.attempt import Attempt, AttemptResult
from orchestration.attempt.failures import PEER_LOST, STALLED, WORKER_KILLED, Fault
from orchestration.cluster import ray_executor as module
from orchestration.cluster.ray_executor import GroupState, RayExecutor
from orchestration.grid.resources import Resources
from tests.support.small_grids import attempt


class FakeRay(SimpleNamespace):
    """Tasks that run until they are cancelled; with ``obeys=False`` until they are killed."""

    def __init__(self, *, obeys: bool = True) -> None:
        super().__init__(gone=set(), cancelled=[], obeys=obeys, tasks=0)

    def remote(self, function: object) -> Any:
        def start(*words: object) -> int:
            self.tasks += 1
            return self.tasks

        return SimpleNamespace(options=lambda **named: SimpleNamespace(remote=start))

    def wait(self, refs: list[int], timeout: float = 0, **named: object) -> tuple[list[int], list[int]]:
        return [ref for ref in refs if ref in self.gone], [ref for ref in refs if ref not in self.gone]

    def cancel(self, ref: int, force: bool) -> None:
        self.cancelled.append((ref, force))
        if self.obeys or force:
            self.gone.add(ref)

    def get(self, ref: int, timeout: float) -> None:
        raise RuntimeError("TaskCancelledError")


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(module, "release_placement_groups", lambda folders: list(folders))
    monkeypatch.setattr(module.connect, "worker_resources", lambda resources: {})
    return fake


def _executor(tmp_path: Path, **resources: Any) -> RayExecutor:
    (tmp_path / "lanes").mkdir()
    return RayExecutor(tmp_path / "lanes", "tiny", Resources(cpus=1, **resources), tmp_path / "beat")


def _attempt(tmp_path: Path, name: str, number: int = 1) -> Attempt:
    return attempt(tmp_path / name, name=name, number=number)


def _taken(state: GroupState) -> None:
    state.group.next.unlink()


def test_a_late_result_of_another_worker_ends_no_other_cell(ray: FakeRay, tmp_path: Path) -> None:
    executor = _executor(tmp_path)
    executor.start(_attempt(tmp_path, "a"))
    (state,) = executor.groups
    state.group.report(AttemptResult("a", 1))
    assert executor.wait(0.0) == [AttemptResult("a", 1)]
    executor.start(_attempt(tmp_path, "b"))
    state.group.report(AttemptResult("a", 1, Fault(PEER_LOST, "late")))
    assert executor.wait(0.0) == []
    assert state.attempt is not None
    assert state.attempt.name == "b"


def test_a_group_of_several_workers_gets_no_cell_after_a_failure(ray: FakeRay, tmp_path: Path) -> None:
    executor = _executor(tmp_path, workers=2)
    executor.start(_attempt(tmp_path, "a"))
    executor.groups[0].group.report(AttemptResult("a", 1, Fault(PEER_LOST, "Connection closed by peer")))
    ray.obeys = False  # its workers wait for each other
    (ended,) = executor.wait(0.0)
    assert ended.fault == Fault(PEER_LOST, "Connection closed by peer")
    executor.start(_attempt(tmp_path, "b"))
    assert [state.attempt.name for state in executor.groups if state.attempt] == ["b"]
    assert len(executor.groups) == 2, "the next cell runs in another worker group"
    assert ray.cancelled == [(1, False)]


def test_a_worker_group_that_ignores_the_cancellation_is_killed(
    ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KILL_S", 0.2)
    ray.obeys, executor, given = False, _executor(tmp_path), _attempt(tmp_path, "a")
    executor.start(given)
    _taken(executor.groups[0])
    (tmp_path / "a" / "stack-1-77.txt").write_text(
        'Current thread 0x1 (most recent call first):\n  File "/x/loop.py", line 7 in wait_here\n'
    )
    executor.kill(given, Fault(STALLED, "reported no step for 9 s"))
    assert executor.wait(0.0) == []
    time.sleep(0.3)
    (ended,) = executor.wait(0.0)
    assert ray.cancelled == [(1, False), (1, True)]
    assert ended.fault is not None
    assert "no step for 9 s; it hangs in wait_here (loop.py:7); stack: " in ended.fault.reason
    assert executor.groups == []


def test_a_cell_without_a_worker_group_counts_as_silent_and_can_be_killed(ray: FakeRay, tmp_path: Path) -> None:
    executor, given = _executor(tmp_path), _attempt(tmp_path, "a")
    assert executor.silent_for(given) == math.inf
    executor.kill(given, Fault(WORKER_KILLED, "lost"))
    assert executor.silent_for(given) == 0.0, "its result is about to be returned"
    assert executor.wait(0.0) == [AttemptResult("a", 1, Fault(WORKER_KILLED, "lost"))]


def test_a_cell_that_was_not_taken_yet_is_withdrawn(ray: FakeRay, tmp_path: Path) -> None:
    executor, given = _executor(tmp_path), _attempt(tmp_path, "a")
    executor.start(given)
    executor.stop(given, "interrupted")
    assert executor.wait(0.0) == [AttemptResult("a", 1, stopped=True)]


def test_a_retry_runs_the_same_settings(ray: FakeRay, tmp_path: Path) -> None:
    executor, given, seen = _executor(tmp_path), _attempt(tmp_path, "a"), []
    for number in (1, 2):
        executor.start(replace(given, number=number))
        state = executor.groups[0]
        keys = module.read_json(state.group.next)
        assert keys is not None
        seen.append({key: value for key, value in keys.items() if key not in ("attempt", "token", "heartbeat")})
        state.attempt = None
    assert seen[0] == seen[1]
