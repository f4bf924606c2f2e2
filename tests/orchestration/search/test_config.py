"""A search file: its search space, its errors, and the grid file of its best values."""

from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from orchestration.grid.cells import expand
from orchestration.grid.config import load_grid
from orchestration.search.best import best_grid
from orchestration.search.config import Search, load_search
from tests.support.small_searches import search_file
from uniferum.errors import UniferumError
from uniferum.run.identity_keys import identity_of

SPACE = {
    "optim.lr": {"float": [1e-5, 1e-2], "log": True},
    "model.text.layers": {"int": [1, 4]},
    "optim.schedule": {"choice": ["linear", "plateau"]},
    "optim.plateau_patience": {"int": [1, 5], "when": {"optim.schedule": "plateau"}},
}


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return load_search(search_file(tmp_path, space=SPACE))


def test_a_conditional_key_is_drawn_only_if_its_condition_holds(search: Search) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    drawn = [search.space(study.ask()) for _ in range(30)]
    assert {row["optim.schedule"] for row in drawn} == {"linear", "plateau"}
    for row in drawn:
        assert ("optim.plateau_patience" in row) == (row["optim.schedule"] == "plateau")
        assert 1e-5 <= row["optim.lr"] <= 1e-2


def test_a_trial_is_the_cell_with_other_values_and_no_test_sets(search: Search) -> None:
    keys = search.trial_keys({"optim.lr": 0.5, "model.text.layers": 2})
    assert keys["evaluate_on"] == []
    assert keys["optim"]["lr"] == 0.5
    assert keys["model"]["text"]["layers"] == 2
    assert keys["model"]["text"]["name"] == "tiny"


def test_the_best_values_make_a_grid_of_one_cell_with_test_sets(search: Search, tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    path.write_text(yaml.safe_dump(best_grid(search, {"optim.lr": 0.25})))
    (cell,) = expand(load_grid(path))
    assert cell.name == "uniferum-small-CTRATE"
    assert cell.config.optim.lr == 0.25
    assert cell.config.evaluate_on == ("CTRATE",)


@pytest.mark.parametrize(
    "grid_keys",
    [
        {"cells": [{"text_encoder": "small", "train_on": "CTRATE", "set": {"optim": {"weight_decay": 0.5}}}]},
        {"overrides": [{"when": {"text_encoder": "small"}, "set": {"training": {"validate_every": 7}}}]},
        {"cells": [{"text_encoder": "small", "train_on": "CTRATE", "evaluate_on": ["OTHER", "CTRATE"]}]},
        {"defaults": {"training": {"batch": 6}}, "overrides": [{"when": {}, "set": {"training": {"micro_batch": 3}}}]},
        {"seeds": [3]},
    ],
    ids=["set", "overrides", "evaluate_on", "a cell that needs its override", "seed"],
)
def test_the_best_grid_is_the_searched_cell_with_the_best_values(tmp_path: Path, grid_keys: dict[str, Any]) -> None:
    stores = {"CTRATE": str(tmp_path / "store"), "OTHER": str(tmp_path / "store")}
    name = "uniferum-small-CTRATE" + ("-seed3" if "seeds" in grid_keys else "")
    keys = {"stores": stores, **grid_keys}
    search = load_search(search_file(tmp_path, keys, cell=name, set={"training": {"steps": 50}}, space=SPACE))
    params = {"optim.lr": 0.25, "model.text.layers": 3, "optim.schedule": "linear"}

    path = tmp_path / "best.yaml"
    path.write_text(yaml.safe_dump(best_grid(search, params)))

    (cell,) = expand(load_grid(path))
    assert identity_of(cell.config) == identity_of(search.trial_config(params))
    assert (cell.name, cell.config.evaluate_on) == (name, search.cell.config.evaluate_on)


@pytest.mark.parametrize(
    ("space", "longest"),
    [
        ({"optim.lr": {"float": [0.1, 1]}}, 40),
        ({"training.steps": {"int": [10, 30]}}, 30),
        ({"training.steps": {"choice": [10, 90]}}, 90),
        (
            {
                "optim.schedule": {"choice": ["linear"]},
                "training.steps": {"int": [1, 9], "when": {"optim.schedule": 1}},
            },
            40,
        ),
    ],
)
def test_the_longest_trial_follows_from_set_and_space_not_from_the_cell(
    tmp_path: Path, space: dict[str, Any], longest: int
) -> None:
    assert load_search(search_file(tmp_path, set={"training": {"steps": 40}}, space=space)).longest == longest


def test_a_grid_whose_cells_have_several_workers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UniferumError, match=r"resources.workers \(2\) must be 1") as caught:
        load_search(search_file(tmp_path, {"resources": {"workers": 2}}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cell": "uniferum-small-CTRAT"}, "did you mean 'uniferum-small-CTRATE'"),
        ({"space": {"optim.lrr": {"float": [0.1, 0.2]}}}, "did you mean 'optim.lr'"),
        ({"space": {"optim.lr": {"float": [0.2, 0.1]}}}, "lower bound below"),
        ({"space": {"optim.lr": {"float": [0, 1], "log": True}}}, "above 0"),
        ({"space": {"optim.lr": {"float": [0.1, 1], "int": [1, 2]}}}, "exactly one"),
        ({"space": {"training.steps": {"int": [-5, -1]}}}, "greater than or equal to 0"),
        ({"space": {"optim.lr": {"float": [0.1, 1], "when": {"optim.schedule": "linear"}}}}, "a key above it"),
    ],
)
def test_a_wrong_search_is_refused_before_any_trial(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(UniferumError) as caught:
        load_search(search_file(tmp_path, **{"space": SPACE, **changes}))
    assert words in str(caught.value)
