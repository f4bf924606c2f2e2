"""A search on real Ray Tune and Optuna: every trial a cell, the best a grid, finished trials not run again."""

import os
import pickle
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from orchestration.attempt.spool import append
from orchestration.grid.cells import expand
from orchestration.grid.config import load_grid
from orchestration.grid.records import CellFolder
from orchestration.grid.unsent import has_unsent
from orchestration.search.config import load_search
from orchestration.search.promote import promote, promotion
from orchestration.search.run import run_search
from orchestration.search.study import open_study
from orchestration.search.trial import run_trial, trained_steps
from orchestration.tracking.reader import reading_uri
from tests.integration.conftest import edit
from tests.integration.test_survive import until
from uniferum.config import load_yaml

pytestmark = [
    pytest.mark.integration,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Define-by-run function"),  # Ray's, on a busy machine
]


def test_a_search_finds_a_cell_and_goes_on_from_the_study_though_tunes_own_state_is_lost(
    grid_file: Path, ray_address: str
) -> None:
    from ray import tune

    axes = {"depth": {"key": "model.text.layers", "values": [1, 2]}}
    entry = {"text_encoder": "small", "train_on": "CTRATE", "vary": "depth"}
    edit(grid_file, axes=axes, exclude=[{"depth": 2}], cells=[entry])
    search_file = grid_file.parent / "search.yaml"
    space = {"optim.lr": {"float": [1e-4, 1e-2], "log": True}, "depth": "axis"}
    keys = {"name": "s", "grid": grid_file.name, "cell": {"train_on": "CTRATE"}, "space": space, "random_trials": 1}
    search_file.write_text(yaml.safe_dump({**keys, "trials": 2, "asha": {"grace_steps": 2}}))
    search = load_search(search_file)
    lines: list[str] = []

    result = run_search(search, lines.append, mlflow=False)
    assert (result.trials, result.failed) == (2, 0), lines
    (cell,) = expand(load_grid(result.grid_file))
    assert cell.config.optim.lr == result.params["optim.lr"]
    for folder in (result.grid_file.parent / "trials").iterdir():
        assert load_yaml(folder / "config.yaml")["evaluate_on"] == []

    again = run_search(search, lines.append, mlflow=False)
    assert again.params == result.params
    finished = [trial for trial in open_study(search).trials if trial.state.name == "COMPLETE"]
    assert len(finished) == 2

    (experiment,) = (search.root / "tune").iterdir()
    pickled = experiment / "tuner.pkl"
    pickled.write_bytes(pickled.read_bytes()[:100])  # what a kill in the middle of its writing leaves
    with pytest.raises((EOFError, RuntimeError, ValueError, pickle.UnpicklingError)):
        tune.Tuner.restore(str(experiment), lambda config: None)

    search_file.write_text(yaml.safe_dump({**keys, "trials": 3, "asha": None}))
    result = run_search(load_search(search_file), lines.append, mlflow=False)
    excluded = [trial for trial in open_study(search).trials if trial.params["depth"] == "2"]
    assert {trial.state.name for trial in excluded} <= {"FAIL"}
    trials = [trial for trial in open_study(search).trials if trial not in excluded]
    assert (result.trials, result.failed, len(trials)) == (3, 0, 3)
    assert [(trial.params, trial.value) for trial in trials[:2]] == [(trial.params, trial.value) for trial in finished]
    assert [_attempts(record) for record in _records(search.root)] == [1, 1, 1], "no finished trial was trained again"

    promote(search, result.params, promotion(search, result.params))
    *cells, promoted = expand(load_grid(grid_file))
    assert [cell.name for cell in cells] == ["uniferum-small-CTRATE-depth1"]
    assert (promoted.name, promoted.config.optim.lr) == ("s-best", result.params["optim.lr"])


def test_a_killed_worker_and_a_killed_search_cost_no_digit(grid_file: Path, ray_address: str, tmp_path: Path) -> None:
    edit(grid_file, defaults={"training": {"steps": 40, "validate_every": 10}})
    search_file = grid_file.parent / "search.yaml"
    space = {"optim.lr": {"float": [1e-4, 1e-2], "log": True}}
    keys = {"name": "s", "grid": grid_file.name, "cell": "uniferum-small-CTRATE", "space": space, "random_trials": 1}
    search_file.write_text(yaml.safe_dump({**keys, "trials": 2, "asha": None}))
    search = load_search(search_file)
    command = [sys.executable, "-m", "cli.main", "tune", str(search_file), "--no-mlflow", "--address", ray_address]
    with (grid_file.parent / "tune.log").open("wb") as log:
        killed = subprocess.Popen(command, stdout=log, stderr=log)
        until(lambda: _steps(search.root) >= 11)
        (first, *_) = [record for record in _records(search.root) if trained_steps(record.folder) >= 11]
        os.kill(_process_of(first), signal.SIGKILL)
        until(lambda: _attempts(first) == 2)  # Tune tried again
        killed.kill()
        killed.wait()
    values = {trial.params["optim.lr"] for trial in open_study(search).trials}

    result = run_search(search, lambda line: None, mlflow=False)

    done = [trial for trial in open_study(search).trials if trial.state.name == "COMPLETE"]
    assert "RUNNING" not in [trial.state.name for trial in open_study(search).trials]
    assert (len(done), result.trials, result.failed) == (2, 2, 0)
    assert len(_records(search.root)) == 2, "the same values are the same folder, and go on from its checkpoint"
    assert values <= {load_yaml(record.files.config)["optim"]["lr"] for record in _records(search.root)}
    assert _attempts(first) == 3
    assert result.steps == 80
    undisturbed = replace(search, config=search.config.replace(root=tmp_path / "undisturbed"))
    for trial in done:
        metrics: list[dict[str, float]] = []
        run_trial(trial.params, undisturbed, metrics.append)
        assert trial.value == metrics[-1]["auroc"]


def test_every_trial_is_in_mlflow_under_one_parent_and_one_without_a_number_ends_nothing(
    grid_file: Path, ray_address: str
) -> None:
    search_file = grid_file.parent / "search.yaml"
    space = {"optim.lr": {"choice": [1e-3, 2e-3, 1e30]}}
    keys = {"name": "s", "grid": grid_file.name, "cell": "uniferum-small-CTRATE", "space": space, "trials": 4}
    search_file.write_text(yaml.safe_dump({**keys, "asha": None, "parallel": 2}))
    search = load_search(search_file)
    search.root.mkdir(parents=True)
    for lr in (1e-3, 1e-3, 1e30, 2e-3):
        open_study(search).enqueue_trial({"optim.lr": lr})
    lines: list[str] = []

    result = run_search(search, lines.append)

    assert (result.trials, result.failed) == (3, 1), lines
    first, same, bad, _ = open_study(search).trials
    assert first.value == same.value
    assert bad.state.name == "FAIL"
    assert any("not a number" in line for line in lines), lines
    assert sorted(_attempts(record) for record in _records(search.root)) == [1, 1, 1], "nothing was tried again"
    assert _runs(search.root) == (["FINISHED"], {"0.001": "FINISHED", "0.002": "FINISHED", "1e+30": "FAILED"})

    record = next(record for record in _records(search.root) if record.done)
    append(record.folder, {"tags": {"late": "yes"}})  # what a driver that was killed had no time to send
    assert run_search(search, lines.append).params == result.params
    assert not has_unsent(record.folder)
    assert _runs(search.root)[0] == ["FINISHED"]


def _runs(root: Path) -> tuple[list[str], dict[str, str]]:
    """The states of the parents, and of their children by learning rate."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=reading_uri(root))
    experiment = client.get_experiment_by_name("s")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if run.data.tags["uniferum.kind"] == "grid"]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    assert len(parents) + len(children) == len(runs)
    assert len({run.data.params["optim.lr"] for run in children}) == len(children)
    return [run.info.status for run in parents], {run.data.params["optim.lr"]: run.info.status for run in children}


def _records(root: Path) -> list[CellFolder]:
    return [CellFolder(folder) for folder in sorted(root.glob("trials/*"))]


def _attempts(record: CellFolder) -> int:
    return record.log.read_text().count("attempt 1 of trial")


def _process_of(record: CellFolder) -> int:
    return int(re.findall(r"attempt 1 of trial on \S+, process (\d+)", record.log.read_text())[-1])


def _steps(root: Path) -> int:
    return max((trained_steps(folder) for folder in root.glob("trials/*")), default=0)
