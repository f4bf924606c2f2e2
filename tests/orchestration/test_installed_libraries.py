"""Behaviour of the installed Ray, MLflow and Optuna that this project relies on or works around; without a cluster."""

import multiprocessing
import re
import sqlite3
import stat
from pathlib import Path
from typing import Any

import optuna
import pytest
from filelock import FileLock

from orchestration.cluster import connect, worker_group
from orchestration.grid.resources import Resources
from orchestration.search.run import requeue_interrupted
from orchestration.tracking import server as mlflow_server
from uniferum.errors import UniferumError


def test_rays_own_failure_limits_are_endless_and_those_of_a_worker_group_are_finite(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ray.train

    assert ray.train.FailureConfig().controller_failure_limit == -1
    assert ray.train.FailureConfig().max_preemption_failures == -1
    given: dict[str, Any] = {}

    class Recorder:
        def __init__(self, loop: object, **settings: Any) -> None:
            given.update(settings)

        def fit(self) -> None:
            given["fitted"] = True

    monkeypatch.setattr(worker_group, "trainer_class", lambda workers: Recorder)
    worker_group.launch_worker_group({"folder": "f"}, {"CPU": 1}, "group", "/storage")
    limits = given["run_config"].failure_config
    assert (limits.max_failures, limits.max_preemption_failures) == (0, 0)
    assert limits.controller_failure_limit >= 0
    assert given["fitted"]


def test_rays_token_is_made_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("secret")
    token.chmod(0o644)
    connect.protect_token()
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("address", "cure"),
    [
        ("ray://head:10001", "uniferum grid submit"),
        ("http://head:8265", "uniferum grid submit"),
        ("127.0.0.1:1", "Is Ray running there?"),
        ("nonsense", "must be auto or HOST:PORT"),
    ],
)
def test_an_address_that_cannot_carry_a_grid_is_refused_with_what_can(address: str, cure: str) -> None:
    with pytest.raises(UniferumError) as caught:
        connect.check_address(address)
    assert cure in str(caught.value)


def _make_schema(root: Path) -> None:
    with FileLock(root / "mlflow.lock"):
        mlflow_server.create_schema(root)


@pytest.mark.slow
def test_several_processes_that_open_a_fresh_mlflow_file_leave_it_whole(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    racers = [context.Process(target=_make_schema, args=(tmp_path,)) for _ in range(2)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(timeout=240)
    assert [racer.exitcode for racer in racers] == [0, 0]
    connection = sqlite3.connect(tmp_path / mlflow_server.DATABASE)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {"runs", "metrics", "params", "latest_metrics"} <= tables
    assert not [name for name in tables if name.startswith("_alembic_tmp")]
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "./mlruns", "file:///tmp/mlruns"])
def test_a_tracking_address_that_cells_cannot_share_is_refused(uri: str) -> None:
    with pytest.raises(UniferumError, match="http"):
        mlflow_server.configured_uri(uri)


def test_optuna_leaves_a_killed_trial_running_and_it_is_proposed_again(tmp_path: Path) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study = optuna.create_study(storage=url, study_name="s", direction="maximize")
    done = study.ask()
    study.tell(done, done.suggest_float("lr", 0, 1))
    lost = study.ask()
    value = lost.suggest_float("lr", 0, 1)

    again = optuna.load_study(storage=url, study_name="s")
    assert again.trials[1].state == optuna.trial.TrialState.RUNNING
    assert requeue_interrupted(again) == 1
    assert again.trials[1].state == optuna.trial.TrialState.FAIL
    assert again.ask().suggest_float("lr", 0, 1) == value


class _Node(dict[str, Any]):
    """A node as ``ray.nodes()`` describes it."""

    def __init__(self, *, alive: bool = True, **resources: float) -> None:
        super().__init__(Alive=alive, Resources=resources)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (Resources(cpus=1), 12),
        (Resources(cpus=1, gpus=1), 4),
        (Resources(cpus=1, gpus=0.5), 8),
        (Resources(cpus=1, gpus=0.4), 8),  # 0.4 and 0.4 on one GPU; the rest of it stays empty
        (Resources(cpus=4, gpus=2, workers=2), 2),
        (Resources(cpus=8, workers=4), 1),
        (Resources(cpus=3), 3),  # 2 of 8 and 1 of 4
    ],
)
def test_slots_are_counted_node_by_node(monkeypatch: pytest.MonkeyPatch, wanted: Resources, fits: int) -> None:
    import ray

    nodes = [_Node(CPU=8, GPU=4), _Node(CPU=4), _Node(alive=False, CPU=64, GPU=8)]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    assert connect.slots(wanted) == fits


def test_asking_for_what_no_node_has_says_at_once_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "nodes", lambda: [_Node(CPU=2)])
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    with pytest.raises(UniferumError, match=re.escape("the whole cluster has 2 CPUs, 0 GPUs")):
        connect.check_fits(Resources(cpus=1, gpus=1))
