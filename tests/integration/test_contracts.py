"""What installed Ray does, and why this project does not trust it with names, retries and metrics."""

from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.ray, pytest.mark.slow]


def _train(settings: dict[str, Any]) -> None:
    import json
    import tempfile

    import ray.train
    from ray.train import Checkpoint

    held = ray.train.get_checkpoint()
    state = None
    if held is not None:
        with held.as_directory() as folder:
            state = json.loads((Path(folder) / "state.json").read_text())
    with Path(settings["log"]).open("a") as log:
        log.write(json.dumps({"config": settings["config"], "found": state}) + "\n")
    if not settings["checkpoint"]:
        ray.train.report({"value": 1.0})
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "state.json").write_text(json.dumps(settings["config"]))
        ray.train.report({"value": 1.0}, checkpoint=Checkpoint.from_directory(folder))


def _fit(tmp_path: Path, name: str, config: str, *, checkpoint: bool) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig

    from orchestration.cluster.worker_group import trainer_class

    return trainer_class(1)(
        _train,
        train_loop_config={"log": str(tmp_path / "log"), "config": config, "checkpoint": checkpoint},
        scaling_config=ScalingConfig(num_workers=1),
        run_config=RunConfig(
            name=name, storage_path=str(tmp_path / "ray"), failure_config=FailureConfig(controller_failure_limit=2)
        ),
    ).fit()


def test_ray_runs_a_finished_run_again_from_the_checkpoint_of_another_config(tmp_path: Path, ray_address: str) -> None:
    import json

    first = _fit(tmp_path, "same", "one", checkpoint=True)
    _fit(tmp_path, "same", "two", checkpoint=True)
    lost = _fit(tmp_path, "bare", "one", checkpoint=False)

    calls = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert calls[0] == {"config": "one", "found": None}
    assert calls[1] == {"config": "two", "found": "one"}, "hence a group's name is used once, and done is our own mark"
    assert first.metrics is not None
    assert lost.metrics is None, "hence metrics go through the cell's own files"


def _token_modes(folder: Path) -> None:
    """In a process of its own: the token's mode after Ray has written it, and after we have joined."""
    import json
    import os
    import stat

    from orchestration.cluster import connect
    from orchestration.grid.resources import Resources

    os.umask(0o022)
    os.environ["HOME"] = str(folder)
    os.environ.pop("RAY_AUTH_MODE", None)
    connect.environment(Resources())
    import ray

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    token = connect.TOKEN.expanduser()
    modes = [stat.S_IMODE(token.stat().st_mode)]
    connect.connect(None, Resources())
    modes.append(stat.S_IMODE(token.stat().st_mode))
    (folder / "modes.json").write_text(json.dumps(modes))
    ray.shutdown()


def test_ray_writes_a_token_that_everybody_may_read_and_we_close_it(tmp_path: Path) -> None:
    import json
    import multiprocessing

    starter = multiprocessing.get_context("spawn").Process(target=_token_modes, args=(tmp_path,))
    starter.start()
    starter.join(timeout=180)
    assert starter.exitcode == 0
    assert json.loads((tmp_path / "modes.json").read_text()) == [0o644, 0o600]
