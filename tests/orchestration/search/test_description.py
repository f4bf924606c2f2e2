"""A study takes no trials of a search with another objective, space, config or data."""

import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest

from orchestration.search.config import Search
from orchestration.search.description import KEY, describe, join_study
from orchestration.search.run import best_so_far, run_search
from orchestration.search.study import open_study
from orchestration.search.trial import trial_cell
from tests.support.small_searches import grid_with_axes, noise_store, tiny_search
from uniferum.errors import UniferumError

SPACE = {"lr": "axis", "optim.weight_decay": {"float": [1e-4, 1e-2], "log": True}}
PARAMS = {"lr": "1e-3", "optim.weight_decay": 1e-3}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return noise_store(tmp_path_factory.mktemp("noise") / "CTRATE")


def _search(folder: Path, store: str, grid: dict[str, Any] | None = None, **changes: Any) -> Search:
    given = {"space": SPACE, "cell": {"train_on": "CTRATE", "freeze": True}, **changes}
    search = tiny_search(folder, store, grid_with_axes(**(grid or {})), **given)
    search.root.mkdir(parents=True, exist_ok=True)
    return search


def _with_a_trial(search: Search, *, described: bool = True) -> optuna.Study:
    study = open_study(search)
    if described:
        join_study(study, search)
    trial = study.ask()
    search.space(trial)
    study.tell(trial, 0.75)
    return study


def _axes(**changes: Any) -> dict[str, Any]:
    axes = grid_with_axes()["axes"]
    return {"axes": {**axes, **{name: {**axes[name], **one} for name, one in changes.items()}}}


@pytest.mark.parametrize(
    ("grid", "changes", "changed"),
    [
        ({}, {"space": {"lr": "axis"}}, "space.optim.weight_decay: {"),
        (
            {},
            {"space": {**SPACE, "optim.weight_decay": {"float": [1e-4, 1.0], "log": True}}},
            "[0.0001, 0.01] -> [0.0001, 1]",
        ),
        (_axes(lr={"values": [1e-4, 1e-3, 1e-2]}), {}, "space.lr.values.0.01: None -> {'optim': {'lr': 0.01}}"),
        (_axes(lr={"key": "optim.encoder_lr"}), {"cell": {"lr": 1e-3, "freeze": True}}, "space.lr.values.1e-3.optim."),
        (
            {"overrides": [{"when": {"lr": 1e-3}, "set": {"optim": {"warmup_steps": 9}}}]},
            {},
            "space.lr.overrides: [] -> [",
        ),
        ({}, {"set": {"optim": {"warmup_steps": 9}}}, "config.optim.warmup_steps: "),
        ({}, {"cell": {"train_on": "CTRATE", "freeze": False}}, "config.model.text.freeze: True -> False"),
        ({"seeds": [3]}, {}, "config.seed: 0 -> 3"),
    ],
    ids=["a key less", "a range", "a value", "key of an axis", "overrides", "set", "cell", "seed"],
)
def test_a_study_of_another_search_is_refused_with_what_changed(
    tmp_path: Path, store: str, grid: dict[str, Any], changes: dict[str, Any], changed: str
) -> None:
    _with_a_trial(_search(tmp_path, store))
    other = _search(tmp_path, store, grid, **changes)
    with pytest.raises(UniferumError) as caught:
        join_study(open_study(other), other)
    text = str(caught.value)
    assert text.startswith("Study s belongs to another search (")
    assert changed in text
    assert text.endswith("Undo the change, or give the new search a study of its own: --study NAME.")
    assert "\n" not in text


def test_a_changed_search_is_refused_before_ray_starts(tmp_path: Path, store: str) -> None:
    _with_a_trial(_search(tmp_path, store))
    lines: list[str] = []
    with pytest.raises(UniferumError, match=r"another search \(config\.seed: 0 -> 3\)"):
        run_search(_search(tmp_path, store, {"seeds": [3]}), lines.append, mlflow=False)
    assert not lines

    own = _search(tmp_path, store, {"seeds": [3]}, study="second")
    _with_a_trial(own)
    assert sorted(optuna.get_all_study_names(own.study_url)) == ["s", "second"]
    assert len(open_study(own).trials) == len(open_study(_search(tmp_path, store)).trials) == 1


def test_how_a_search_proceeds_may_change_and_so_may_its_test_cohorts(tmp_path: Path, store: str) -> None:
    _with_a_trial(_search(tmp_path, store))
    changes = {"trials": 50, "seed": 4, "sampler": "random", "random_trials": 2, "asha": None, "parallel": 2}
    grid = {"stores": {"CTRATE": store, "INSPECT": store}, "evaluate_on": ["INSPECT"], "resources": {"cpus": 3}}
    other = _search(tmp_path, store, grid, **changes)
    join_study(open_study(other), other)


def test_changed_labels_of_a_split_are_refused_and_those_of_the_test_split_are_not(tmp_path: Path, store: str) -> None:
    import pandas as pd

    own = tmp_path / "CTRATE"
    shutil.copytree(store, own)
    search = _search(tmp_path, str(own))
    _with_a_trial(search)
    table = next(own.glob("labels*"))
    labels = pd.read_parquet(table)
    for scan, refused in (("s017", False), ("s010", True)):
        changed = labels.copy()
        chosen = changed.scan_id == scan
        changed.loc[chosen, "value"] = 1 - changed.loc[chosen, "value"]
        changed.to_parquet(table)
        if not refused:
            join_study(open_study(search), search)
            continue
        with pytest.raises(UniferumError, match=r"another search \(data\.select\.CTRATE: "):
            join_study(open_study(search), search)


def test_without_the_stores_the_rest_is_compared(tmp_path: Path, store: str) -> None:
    own = tmp_path / "CTRATE"
    shutil.copytree(store, own)
    study = _with_a_trial(_search(tmp_path, str(own)))
    (own / "store.json").rename(tmp_path / "store.json")
    join_study(study, _search(tmp_path, str(own)))
    other = _search(tmp_path, str(own), {"seeds": [1]})
    with pytest.raises(UniferumError, match=r"config\.seed"):
        join_study(study, other)


def test_a_study_from_before_descriptions_is_joined_only_if_its_trials_are_of_this_search(
    tmp_path: Path, store: str
) -> None:
    search = _search(tmp_path, store)
    study = _with_a_trial(search, described=False)
    with pytest.raises(UniferumError, match="trial 0 was made with another config or other data"):
        join_study(study, search)
    less = _search(tmp_path, store, space={"lr": "axis"})
    with pytest.raises(UniferumError, match=r"trial 0 has optim\.weight_decay, which is not in the space"):
        join_study(study, less)
    assert KEY not in open_study(search).user_attrs

    trial_cell(search, study.trials[0].params).folder.mkdir(parents=True)
    join_study(study, search)
    assert open_study(search).user_attrs[KEY] == describe(search, with_data=True)


def test_optuna_and_its_dashboard_open_the_study_from_the_address_and_change_nothing(
    tmp_path: Path, store: str
) -> None:
    search = _search(tmp_path, store)
    _with_a_trial(search)
    file = search.root / "study.db"
    before = file.read_bytes()
    study = optuna.load_study(study_name=None, storage=search.study_url)
    assert (study.study_name, study.best_value, study.direction.name) == ("s", 0.75, "MAXIMIZE")
    assert set(study.best_params) == set(PARAMS)
    assert file.read_bytes() == before


def test_the_best_so_far_needs_a_study_and_a_finished_trial(tmp_path: Path, store: str) -> None:
    search = _search(tmp_path, store)
    with pytest.raises(UniferumError, match=r"Search s has no study yet .*without --promote"):
        best_so_far(search)
    assert not (search.root / "study.db").exists()
    join_study(open_study(search), search)
    with pytest.raises(UniferumError, match="No trial of search s has a value"):
        best_so_far(search)
    _with_a_trial(search)
    best, finished = best_so_far(search)
    assert (best.value, finished) == (0.75, 1)
