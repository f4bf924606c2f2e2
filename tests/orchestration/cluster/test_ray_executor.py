"""The executor on lanes, with a Ray of four functions: whose outcome counts, and what a lane that holds on costs."""

import math
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestration.attempt.attempt import Outcome
from orchestration.attempt.failures import PEER_LOST, STALLED, WORKER_KILLED, Fault
from orchestration.cluster import ray_executor as module
from orchestration.cluster.ray_executor import GroupState, RayExecutor
from orchestration.grid.resources import Resources
from orchestration.scheduling.executor import Ended, Work
from tests.orchestration.worlds import assignment


class FakeRay(SimpleNamespace):
    """Tasks that run until they are cancelled, or for ever."""

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
    monkeypatch.setattr(module, "reap", lambda folders: list(folders))
    monkeypatch.setattr(module.connect, "lane_resources", lambda resources: {})
    return fake


def _lanes(tmp_path: Path, **resources: Any) -> RayExecutor:
    (tmp_path / "lanes").mkdir()
    return RayExecutor(tmp_path / "lanes", "tiny", Resources(cpus=1, **resources), tmp_path / "beat")


def _work(tmp_path: Path, name: str) -> Work:
    return Work(name, payload=assignment(tmp_path / name, name=name))


def _taken(held: GroupState) -> None:
    held.lane.next.unlink()


def test_a_late_word_of_another_worker_ends_no_other_cell(ray: FakeRay, tmp_path: Path) -> None:
    lanes = _lanes(tmp_path)
    lanes.start(_work(tmp_path, "a"), 1)
    (held,) = lanes.lanes
    held.lane.ended(Outcome("a", 1))
    assert lanes.wait(0.0) == [Ended("a")]
    lanes.start(_work(tmp_path, "b"), 1)
    held.lane.ended(Outcome("a", 1, kind=PEER_LOST, reason="late"))
    assert lanes.wait(0.0) == []
    assert held.work is not None
    assert held.work.name == "b"


def test_a_lane_of_several_workers_takes_no_cell_after_one_that_failed(ray: FakeRay, tmp_path: Path) -> None:
    lanes = _lanes(tmp_path, workers=2)
    lanes.start(_work(tmp_path, "a"), 1)
    lanes.lanes[0].lane.ended(Outcome("a", 1, kind=PEER_LOST, reason="Connection closed by peer"))
    ray.obeys = False  # its workers wait for each other
    (ended,) = lanes.wait(0.0)
    assert ended.fault == Fault(PEER_LOST, "Connection closed by peer")
    lanes.start(_work(tmp_path, "b"), 1)
    assert [held.work.name for held in lanes.lanes if held.work] == ["b"]
    assert len(lanes.lanes) == 2, "the next cell has a lane of its own"
    assert ray.cancelled == [(1, False)]


def test_a_lane_that_does_not_let_go_is_ended_by_force(
    ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KILL_S", 0.2)
    ray.obeys, lanes, work = False, _lanes(tmp_path), _work(tmp_path, "a")
    lanes.start(work, 1)
    _taken(lanes.lanes[0])
    (tmp_path / "a" / "stack-1-77.txt").write_text(
        'Current thread 0x1 (most recent call first):\n  File "/x/loop.py", line 7 in wait_here\n'
    )
    lanes.kill(work, Fault(STALLED, "reported no step for 9 s"))
    assert lanes.wait(0.0) == []
    time.sleep(0.3)
    (ended,) = lanes.wait(0.0)
    assert ray.cancelled == [(1, False), (1, True)]
    assert ended.fault is not None
    assert "no step for 9 s; it hangs in wait_here (loop.py:7); stack: " in ended.fault.reason
    assert lanes.lanes == []


def test_a_cell_that_no_lane_has_is_silent_for_ever_and_can_be_ended(ray: FakeRay, tmp_path: Path) -> None:
    lanes, work = _lanes(tmp_path), _work(tmp_path, "a")
    assert lanes.silent_for(work) == math.inf
    lanes.kill(work, Fault(WORKER_KILLED, "lost"))
    assert lanes.silent_for(work) == 0.0, "its end is about to be told"
    assert lanes.wait(0.0) == [Ended("a", Fault(WORKER_KILLED, "lost"))]


def test_a_cell_that_was_not_taken_yet_is_withdrawn(ray: FakeRay, tmp_path: Path) -> None:
    lanes, work = _lanes(tmp_path), _work(tmp_path, "a")
    lanes.start(work, 1)
    lanes.stop(work, "interrupted")
    assert lanes.wait(0.0) == [Ended("a", stopped=True)]


def test_a_retry_changes_nothing_of_what_is_run(ray: FakeRay, tmp_path: Path) -> None:
    lanes, work, seen = _lanes(tmp_path), _work(tmp_path, "a"), []
    for attempt in (1, 2):
        lanes.start(work, attempt)
        held = lanes.lanes[0]
        given = module.read_json(held.lane.next)
        assert given is not None
        seen.append({key: value for key, value in given.items() if key not in ("attempt", "token", "heartbeat")})
        held.work = None
    assert seen[0] == seen[1]
