"""A search over axes of a grid file and ranges: what a trial is, and what is refused."""

from pathlib import Path
from typing import Any

import optuna
import pytest

from orchestration.grid.cells import expand
from orchestration.search.config import Search, load_search, search_over
from orchestration.search.space import Dimension, Space
from tests.support.small_searches import grid_with_axes, search_file
from uniferum.errors import UniferumError
from uniferum.run.identity_keys import identity_of

CELL = {"model": "uniferum", "text_encoder": "small", "train_on": "CTRATE"}
ONE = {"cells": [{"text_encoder": "small", "train_on": "CTRATE"}]}
DECAY = {"float": [1e-6, 1e-3], "log": True}


def _search(folder: Path, space: dict[str, Any], grid: dict[str, Any] | None = None, **changes: Any) -> Search:
    return load_search(search_file(folder, grid_with_axes(**(grid or {})), space=space, **{"cell": CELL, **changes}))


def _draws(search: Search, count: int = 30) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    return [search.space(study.ask()) for _ in range(count)]


def test_a_trial_over_axes_is_the_cell_of_the_grid_with_these_values(tmp_path: Path) -> None:
    search = _search(tmp_path, {"lr": "axis", "freeze": "axis"})
    trials = {tuple(params.items()): params for params in _draws(search)}
    cells = {tuple(cell.axes.items()): cell for cell in expand(search.grid)}
    assert trials.keys() == cells.keys()
    for values, cell in cells.items():
        trial = search.trial_config(trials[values])
        assert identity_of(trial) == identity_of(cell.config)
        assert trial.evaluate_on == ()


def test_axes_that_no_cell_varies_bundles_and_ranges_are_searched_together(tmp_path: Path) -> None:
    rate = {"float": [1e-5, 1e-2], "log": True}
    search = _search(tmp_path, {"size": "axis", "lr": rate, "optim.weight_decay": DECAY}, ONE)
    for params in _draws(search, 5):
        config = search.trial_config(params)
        text = config.model.text
        assert (text.hidden, config.optim.lr) == ({"s": 32, "m": 64}[params["size"]], params["lr"])
        assert config.optim.weight_decay == params["optim.weight_decay"]


def test_a_named_cell_keeps_its_values_on_other_axes(tmp_path: Path) -> None:
    search = _search(tmp_path, {"lr": "axis"}, cell="uniferum-small-CTRATE-lr1e-4-freeze_true")
    config = search.trial_config({"lr": "1e-3"})
    assert (config.optim.lr, config.model.text.freeze) == (1e-3, True)


def test_a_range_over_the_key_of_an_axis_replaces_the_axis(tmp_path: Path) -> None:
    search = _search(tmp_path, {"optim.lr": {"float": [0.1, 0.2]}}, cell={**CELL, "freeze": True})
    assert search.kept == {"freeze": "true"}
    assert search.trial_config({"optim.lr": 0.15}).optim.lr == 0.15


def test_overrides_with_a_condition_on_an_axis_hold_for_trials(tmp_path: Path) -> None:
    rule = {"when": {"lr": 1e-3}, "set": {"optim": {"warmup_steps": 77}}}
    search = _search(tmp_path, {"lr": "axis", "freeze": "axis"}, {"overrides": [rule]})
    warmup = [search.trial_config({"lr": lr, "freeze": "true"}).optim.warmup_steps for lr in ("1e-3", "1e-4")]
    assert warmup[0] == 77 != warmup[1]


def test_a_condition_names_values_of_an_axis_as_the_grid_file_has_them(tmp_path: Path) -> None:
    space = {"freeze": "axis", "optim.encoder_lr": {"float": [1e-6, 1e-4], "when": {"freeze": False}}}
    search = _search(tmp_path, space, cell={**CELL, "lr": 1e-3})
    draws = _draws(search)
    assert {params["freeze"] for params in draws} == {"true", "false"}
    assert all(("optim.encoder_lr" in params) == (params["freeze"] == "false") for params in draws)


def test_every_choice_and_bound_occurs_among_the_edges_also_below_conditions() -> None:
    space = Space(
        (
            ("a", Dimension(choice=("x", "y", "z"))),
            ("b", Dimension(int=(1, 9), when={"a": ["y", "z"]})),
            ("c", Dimension(choice=(True, False), when={"b": 9})),
            ("d", Dimension(float=(0.5, 2.0), when={"a": "never"})),
        )
    )
    edges = list(space.edges())
    assert {(name, value) for edge in edges for name, value in edge.items()} == {
        ("a", "x"), ("a", "y"), ("a", "z"), ("b", 1), ("b", 9), ("c", True), ("c", False)
    }  # fmt: skip
    assert all(("c" in edge) == (edge.get("b") == 9) for edge in edges)


def test_a_grid_file_is_searched_without_a_search_file(tmp_path: Path) -> None:
    search_file(tmp_path, grid_with_axes())
    search = search_over(tmp_path / "grid.yaml", ["lr", "freeze"], None, 7, study="again")
    assert (search.config.name, search.study_name, search.config.trials) == ("g-lr-freeze", "again", 7)
    assert search.root == search.grid.root / "searches" / "g-lr-freeze"
    assert [name for name, _ in search.space.dimensions] == ["lr", "freeze"]


@pytest.mark.parametrize(
    ("over", "cell", "words"),
    [
        (["lr"], None, "--cell must fit one cell, apart from the axes that are searched; it fits"),
        (["lr"], "freeze=maybe", "--cell (freeze=maybe) must fit at least one cell; freeze: true, false"),
        (["lrr"], None, "--over: space.lrr must be an axis of the grid file; did you mean 'lr'?"),
        (["luna"], "lr=1e-3,freeze=true", "space.luna must have an effect on cell uniferum-small-CTRATE-lr1e-3"),
    ],
)
def test_a_wrong_search_without_a_search_file_is_one_line(
    tmp_path: Path, over: list[str], cell: str | None, words: str
) -> None:
    search_file(tmp_path, grid_with_axes())
    with pytest.raises(UniferumError) as caught:
        search_over(tmp_path / "grid.yaml", over, cell, 3)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_grid_file_without_axes_to_search_is_told_how(tmp_path: Path) -> None:
    search_file(tmp_path, grid_with_axes())
    with pytest.raises(UniferumError, match=r"must be a search file .*uniferum tune \S+grid.yaml --over AXIS"):
        load_search(tmp_path / "grid.yaml")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"space": {"frezee": "axis"}}, "space.frezee must be an axis of the grid file; did you mean 'freeze'?"),
        ({"space": {"frezee": DECAY}}, "did you mean 'freeze'?"),
        ({"space": {"lr": "axes"}}, "be `axis`, or a mapping"),
        ({"space": {"lr": "axis", "optim.lr": DECAY}}, "(optim.lr) must be set once, but space.lr and space.optim.lr"),
        ({"space": {"size": DECAY}}, "space.size must be `axis`, since its values are bundles of keys"),
        ({"space": {"bad": "axis"}}, "axes.bad: value bad=-1 in cell uniferum-small-CTRATE"),
        (
            {"space": {"optim.weight_decay": {"choice": [0.1, -1]}}},
            "value optim.weight_decay=-1 in cell uniferum-small",
        ),
        ({"space": {"lr": "axis", "size": {"axis": True, "when": {"lr": 7}}}}, "(lr=7) must name values of axis lr"),
        ({"space": {"evaluate_on": {"choice": ["CTRATE"]}}}, "a trial has no test cohort"),
        ({"space": {"data.fold": {"int": [0, 4]}}}, "trials are compared on the same validation scans"),
        ({"set": {"evaluate_on": ["CTRATE"]}}, "set.evaluate_on must not be given to a search; remove it"),
        ({"set": {"optim": {"lr": -1}}, "space": {"freeze": "axis"}}, "search.yaml: set: optim.lr (-1)"),
        ({"objective": "test/auroc"}, "be validation/auroc, since no trial sees a test split"),
        (
            {"cell": {"modell": "uniferum"}},
            "search.yaml: cell (modell) must be an axis of the grid; did you mean 'model'",
        ),
    ],
)
def test_a_wrong_space_is_one_line_with_what_is_right(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UniferumError) as caught:
        _search(tmp_path, **{"space": {"lr": "axis"}, "grid": ONE, **changes})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_excluded_combinations_may_be_wrong_and_do_not_stop_a_search(tmp_path: Path) -> None:
    rule = [{"bad": -1}, {"lr": 1e-3, "freeze": True}]
    cells = [{"text_encoder": "small", "train_on": "CTRATE", "vary": ["lr", "freeze", "bad"]}]
    search = _search(tmp_path, {"bad": "axis", "lr": "axis", "freeze": "axis"}, {"cells": cells, "exclude": rule})
    assert search.excluded({"bad": "-1", "lr": "1e-4", "freeze": "true"})
    assert search.excluded({"bad": "0.1", "lr": "1e-3", "freeze": "true"})
    assert not search.excluded({"bad": "0.1", "lr": "1e-3", "freeze": "false"})
