"""What a killed caller of Ray Train leaves reserved when the dashboard is off, and who gives it back."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.ray, pytest.mark.slow]


def _launch(settings: dict[str, Any], name: str, storage: str) -> None:
    from orchestration.cluster.worker_group import launch_worker_group

    (Path(settings["folder"]) / "caller").write_text(str(os.getpid()))
    launch_worker_group(settings, {"CPU": 1}, name, storage)


def _observe(folder: Path) -> None:
    """In a process of its own: a Ray of one CPU without dashboard, a worker group, and the end of its caller."""
    from orchestration.cluster import cleanup, connect
    from orchestration.grid.resources import Resources

    connect.environment(Resources())
    import ray
    from ray.util.placement_group import placement_group

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, namespace="uniferum")
    strangers = placement_group([{"CPU": 1}])
    assert strangers.wait(60)
    group = folder / "group"
    group.mkdir()
    task: Any = ray.remote(_launch).options(num_cpus=0, max_retries=0)
    task.remote({"folder": str(group)}, "group", str(folder / "ray"))
    _until(lambda: (group / cleanup.CARD).exists())
    os.kill(int((group / "caller").read_text()), signal.SIGKILL)
    time.sleep(6)
    free = [ray.available_resources().get("CPU", 0.0)]
    released = [cleanup.release_placement_groups([group]), cleanup.release_placement_groups([group])]
    _until(lambda: ray.available_resources().get("CPU", 0.0) > 0)
    free.append(ray.available_resources()["CPU"])
    states = {facts["state"] for facts in ray.util.placement_group_table().values()}
    strangers_state = ray.util.placement_group_table(strangers)["state"]
    observed = {"free": free, "released": released, "states": sorted(states), "strangers": strangers_state}
    (folder / "observed.json").write_text(json.dumps(observed))
    ray.shutdown()


def _until(condition: Any, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)


def test_a_killed_caller_leaves_its_placement_group_and_cleanup_removes_that_one_alone(
    home: Path, tmp_path: Path
) -> None:
    observer = multiprocessing.get_context("spawn").Process(target=_observe, args=(tmp_path,))
    observer.start()
    observer.join(timeout=300)
    assert observer.exitcode == 0
    observed = json.loads((tmp_path / "observed.json").read_text())
    assert observed["free"] == [0, 1], "nothing was free for six seconds, then the group's CPU"
    assert observed["released"] == [["group"], []]
    assert observed["states"] == ["CREATED", "REMOVED"]
    assert observed["strangers"] == "CREATED"
