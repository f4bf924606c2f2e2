"""What installed Ray does, and why this project does not trust it with names, retries and metrics."""

from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def _train(settings: dict[str, Any]) -> None:
    import json
    import tempfile

    import ray.train
    from ray.train import Checkpoint

    held = ray.train.get_checkpoint()
    found = None
    if held is not None:
        with held.as_directory() as folder:
            found = json.loads((Path(folder) / "state.json").read_text())
    with Path(settings["log"]).open("a") as log:
        log.write(json.dumps({"config": settings["config"], "found": found}) + "\n")
    if not settings["checkpoint"]:
        ray.train.report({"value": 1.0})
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "state.json").write_text(json.dumps(settings["config"]))
        ray.train.report({"value": 1.0}, checkpoint=Checkpoint.from_directory(folder))


def _fit(tmp_path: Path, name: str, config: str, *, checkpoint: bool) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    return TorchTrainer(
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
    assert calls[1] == {"config": "two", "found": "one"}, "hence a lane's name is used once, and done is our own mark"
    assert first.metrics is not None
    assert lost.metrics is None, "hence metrics go through the cell's own files"
