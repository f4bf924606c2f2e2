"""A search on real Ray Tune and Optuna: every trial a cell, the best a grid, finished trials not run again."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from orchestration.grid import expand, load_grid
from orchestration.records import CellRecord
from orchestration.search import load_search
from orchestration.tuning import open_study, run_search, trained_steps
from tests.integration.conftest import edit
from tests.integration.test_survive import until
from uniferum.config import load_yaml

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Define-by-run function"),  # Ray's, on a busy machine
]


def test_a_search_finds_a_cell_that_can_be_run_and_goes_on_where_it_was(grid_file: Path, ray_address: str) -> None:
    search_file = grid_file.parent / "search.yaml"
    space = {"optim.lr": {"float": [1e-4, 1e-2], "log": True}, "model.text.layers": {"choice": [1, 2]}}
    keys = {"name": "s", "grid": grid_file.name, "cell": "uniferum-small-CTRATE", "space": space, "random_trials": 1}
    search_file.write_text(yaml.safe_dump({**keys, "trials": 2, "asha": {"grace_steps": 2}}))
    lines: list[str] = []

    found = run_search(load_search(search_file), lines.append, mlflow=False)
    assert (found.trials, found.failed) == (2, 0), lines
    (cell,) = expand(load_grid(found.grid_file))
    assert cell.config.optim.lr == found.params["optim.lr"]
    for folder in (found.grid_file.parent / "trials").iterdir():
        assert load_yaml(folder / "config.yaml")["evaluate_on"] == []

    again = run_search(load_search(search_file), lines.append, mlflow=False)
    assert again.params == found.params
    assert len(open_study(load_search(search_file)).trials) == 2


def test_tunes_own_state_may_be_lost_for_the_study_and_the_folders_are_the_truth(
    grid_file: Path, ray_address: str
) -> None:
    from ray import tune

    search_file = grid_file.parent / "search.yaml"
    space = {"optim.lr": {"float": [1e-4, 1e-2], "log": True}}
    keys = {"name": "s", "grid": grid_file.name, "cell": "uniferum-small-CTRATE", "space": space, "random_trials": 1}
    search_file.write_text(yaml.safe_dump({**keys, "trials": 1, "asha": None}))
    search = load_search(search_file)
    run_search(search, lambda line: None, mlflow=False)
    (first,) = open_study(search).trials

    (experiment,) = (search.root / "tune").iterdir()
    pickled = experiment / "tuner.pkl"
    pickled.write_bytes(pickled.read_bytes()[:100])  # what a kill in the middle of its writing leaves
    with pytest.raises((EOFError, RuntimeError, ValueError, pickle.UnpicklingError)):
        tune.Tuner.restore(str(experiment), lambda config: None)

    search_file.write_text(yaml.safe_dump({**keys, "trials": 2, "asha": None}))
    found = run_search(load_search(search_file), lambda line: None, mlflow=False)
    again = open_study(search).trials
    assert (found.trials, found.failed, len(again)) == (2, 0, 2)
    assert (again[0].params, again[0].value) == (first.params, first.value)
    logs = [CellRecord(folder).log.read_text() for folder in (search.root / "trials").iterdir()]
    assert [log.count("attempt 1 of trial") for log in logs] == [1, 1], "no finished trial was trained again"


def test_a_killed_search_goes_on_with_the_trials_it_was_at(grid_file: Path, ray_address: str) -> None:
    edit(grid_file, defaults={"training": {"steps": 40, "validate_every": 20}})
    search_file = grid_file.parent / "search.yaml"
    space = {"optim.lr": {"float": [1e-4, 1e-2], "log": True}}
    keys = {"name": "s", "grid": grid_file.name, "cell": "uniferum-small-CTRATE", "space": space, "random_trials": 1}
    search_file.write_text(yaml.safe_dump({**keys, "trials": 2, "asha": None}))
    search = load_search(search_file)
    command = [sys.executable, "-m", "cli.main", "tune", str(search_file), "--no-mlflow", "--address", ray_address]
    with (grid_file.parent / "tune.log").open("wb") as log:
        killed = subprocess.Popen(command, stdout=log, stderr=log)
        until(lambda: _steps(search.root) >= 4)
        killed.kill()
        killed.wait()
    values = {trial.params["optim.lr"] for trial in open_study(search).trials}

    found = run_search(search, lambda line: None, mlflow=False)

    states = [trial.state.name for trial in open_study(search).trials]
    assert "RUNNING" not in states
    assert states.count("COMPLETE") == found.trials == 2
    folders = [CellRecord(folder) for folder in (search.root / "trials").iterdir()]
    assert len(folders) == 2, "the same values are the same folder, and go on from its checkpoint"
    assert values <= {load_yaml(record.files.config)["optim"]["lr"] for record in folders}
    assert any(record.log.read_text().count("attempt 1 of trial") == 2 for record in folders)
    assert found.steps == 80


def _steps(root: Path) -> int:
    return max((trained_steps(folder) for folder in root.glob("trials/*")), default=0)
