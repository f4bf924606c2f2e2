"""A search on real Ray Tune and Optuna: every trial a cell, the best a grid, finished trials not run again."""

from pathlib import Path

import pytest
import yaml

from orchestration.grid import expand, load_grid
from orchestration.search import load_search
from orchestration.tuning import open_study, run_search
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
