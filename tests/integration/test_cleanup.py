"""What a killed caller of Ray Train leaves reserved when the dashboard is off, and who gives it back."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def _launch(settings: dict[str, Any], name: str, storage: str) -> None:
    from orchestration.cluster.worker_group import launch_worker_group

    (Path(settings["folder"]) / "caller").write_text(str(os.getpid()))
    launch_worker_group(settings, {"CPU": 1}, name, storage)


def _observe(folder: Path) -> None:
    """In a process of its own: a Ray of one CPU without dashboard, a lane on it, and the end of the lane's caller."""
    from orchestration.cluster import cleanup, connect
    from orchestration.grid.resources import Resources

    connect.environment(Resources())
    import ray
    from ray.util.placement_group import placement_group

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, namespace="uniferum")
    strangers = placement_group([{"CPU": 1}])
    assert strangers.wait(60)
    lane = folder / "lane"
    lane.mkdir()
    task: Any = ray.remote(_launch).options(num_cpus=0, max_retries=0)
    task.remote({"folder": str(lane)}, "lane", str(folder / "ray"))
    _until(lambda: (lane / cleanup.CARD).exists())
    os.kill(int((lane / "caller").read_text()), signal.SIGKILL)
    time.sleep(6)
    free = [ray.available_resources().get("CPU", 0.0)]
    reaped = [cleanup.release_placement_groups([lane]), cleanup.release_placement_groups([lane])]
    _until(lambda: ray.available_resources().get("CPU", 0.0) > 0)
    free.append(ray.available_resources()["CPU"])
    states = {facts["state"] for facts in ray.util.placement_group_table().values()}
    strangers_state = ray.util.placement_group_table(strangers)["state"]
    found = {"free": free, "reaped": reaped, "states": sorted(states), "strangers": strangers_state}
    (folder / "found.json").write_text(json.dumps(found))
    ray.shutdown()


def _until(condition: Any, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)


def test_a_killed_caller_leaves_its_placement_group_and_the_reaper_removes_that_one_alone(
    home: Path, tmp_path: Path
) -> None:
    observer = multiprocessing.get_context("spawn").Process(target=_observe, args=(tmp_path,))
    observer.start()
    observer.join(timeout=300)
    assert observer.exitcode == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["free"] == [0, 1], "nothing was free for six seconds, then the lane's CPU"
    assert found["reaped"] == [["lane"], []]
    assert found["states"] == ["CREATED", "REMOVED"]
    assert found["strangers"] == "CREATED"
