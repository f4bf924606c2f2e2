"""A search file: what it varies, what it refuses, and the grid that its best values become."""

from pathlib import Path

import optuna
import pytest
import yaml

from orchestration.grid import expand, load_grid
from orchestration.search import Search, best_grid, load_search
from tests.orchestration.worlds import grid
from uniferum.errors import UniferumError

SPACE = {
    "optim.lr": {"float": [1e-5, 1e-2], "log": True},
    "model.text.layers": {"int": [1, 4]},
    "optim.schedule": {"choice": ["linear", "plateau"]},
    "optim.plateau_patience": {"int": [1, 5], "when": {"optim.schedule": "plateau"}},
}


def _write(folder: Path, **changes: object) -> Path:
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid(folder).model_dump(mode="json")))
    search = {"name": "s", "grid": "grid.yaml", "cell": "uniferum-small-CTRATE", "trials": 3, "space": SPACE}
    path = folder / "search.yaml"
    path.write_text(yaml.safe_dump({**search, **changes}, sort_keys=False))
    return path


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return load_search(_write(tmp_path))


def test_a_conditional_key_is_drawn_only_where_its_condition_holds(search: Search) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    drawn = [search.space(study.ask()) for _ in range(30)]
    assert {row["optim.schedule"] for row in drawn} == {"linear", "plateau"}
    for row in drawn:
        assert ("optim.plateau_patience" in row) == (row["optim.schedule"] == "plateau")
        assert 1e-5 <= row["optim.lr"] <= 1e-2


def test_a_trial_is_the_cell_with_other_values_and_nothing_to_test_on(search: Search) -> None:
    keys = search.trial_keys({"optim.lr": 0.5, "model.text.layers": 2})
    assert keys["evaluate_on"] == []
    assert keys["optim"]["lr"] == 0.5
    assert keys["model"]["text"]["layers"] == 2
    assert keys["model"]["text"]["name"] == "tiny"


def test_the_best_values_are_a_grid_of_one_cell_that_is_tested(search: Search, tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    path.write_text(yaml.safe_dump(best_grid(search, {"optim.lr": 0.25})))
    (cell,) = expand(load_grid(path))
    assert cell.name == "uniferum-small-CTRATE"
    assert cell.config.optim.lr == 0.25
    assert cell.config.evaluate_on == ("CTRATE",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cell": "uniferum-small-CTRAT"}, "did you mean 'uniferum-small-CTRATE'"),
        ({"space": {"optim.lrr": {"float": [0.1, 0.2]}}}, "did you mean 'lr'"),
        ({"space": {"optim.lr": {"float": [0.2, 0.1]}}}, "lower bound below"),
        ({"space": {"optim.lr": {"float": [0, 1], "log": True}}}, "above 0"),
        ({"space": {"optim.lr": {"float": [0.1, 1], "int": [1, 2]}}}, "exactly one"),
        ({"space": {"training.steps": {"int": [-5, -1]}}}, "greater than or equal to 1"),
        ({"space": {"optim.lr": {"float": [0.1, 1], "when": {"optim.schedule": "linear"}}}}, "a key above it"),
    ],
)
def test_a_wrong_search_is_refused_before_any_trial(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(UniferumError) as caught:
        load_search(_write(tmp_path, **changes))
    assert words in str(caught.value)
