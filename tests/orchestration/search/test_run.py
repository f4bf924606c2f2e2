"""Parts of a search that need no Ray cluster: lock, study, ASHA rungs, checks before the start."""

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from orchestration.cluster import preflight
from orchestration.grid import weights_plan
from orchestration.grid.data_plan import DataPlan
from orchestration.grid.records import CellFolder
from orchestration.grid.states import RunStatus
from orchestration.search.config import Search, load_search
from orchestration.search.run import check, run_search, stopper
from orchestration.search.study import open_study, proposer, requeue_interrupted, sampler, search_lock
from orchestration.search.sync import SearchSync
from orchestration.search.trial import FAULT, METRIC, STEP, run_trial, trial_cell
from tests.support.small_searches import grid_with_axes, noise_store, search_file, tiny_search
from uniferum.errors import UniferumError

VALUES = {"optim.lr": 0.003}
BUSY = pytest.mark.filterwarnings("ignore:Define-by-run function")  # Ray's, on a busy machine


@pytest.fixture
def search(tmp_path: Path) -> Search:
    search = load_search(search_file(tmp_path))
    search.root.mkdir(parents=True)
    return search


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return noise_store(tmp_path_factory.mktemp("noise") / "CTRATE")


@pytest.fixture(scope="module")
def tune() -> Iterator[Any]:
    """Ray Tune, imported without its own warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray import tune

        yield tune


# -- the lock ---------------------------------------------------------------------------------------------------------


def test_a_second_process_is_refused_and_does_not_touch_the_running_trials(search: Search) -> None:
    study = open_study(search)
    trial = study.ask()
    code = "import sys; from orchestration.search.study import search_lock\n"
    code += "from orchestration.search.config import load_search\n"
    code += "with search_lock(load_search(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    first = subprocess.Popen(
        [sys.executable, "-c", code, str(search.root.parents[2] / "search.yaml")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert first.stdout is not None
    assert first.stdout.readline() == b"in\n"

    with pytest.raises(UniferumError) as caught:
        run_search(search, lambda _: None, mlflow=False)

    assert str(caught.value).startswith("Search s is running in another process")
    assert "\n" not in str(caught.value)
    assert study.trials[trial.number].state.name == "RUNNING"
    first.kill()
    first.communicate()
    with search_lock(search):
        pass  # the system freed the lock of the process that is gone


# -- the study --------------------------------------------------------------------------------------------------------


def _first_proposals(search: Search, seed: int, kind: str, trials: int = 0) -> list[dict[str, Any]]:
    seeded = Search(search.config.replace(seed=seed, sampler=kind), search.grid, search.cell)
    study = optuna.create_study(sampler=sampler(seeded, trials), direction="maximize")
    return [search.space(study.ask()) for _ in range(4)]


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_the_same_seed_proposes_the_same_and_another_seed_others(search: Search, kind: str) -> None:
    assert _first_proposals(search, 1, kind) == _first_proposals(search, 1, kind)
    assert _first_proposals(search, 1, kind) != _first_proposals(search, 2, kind)


def test_a_resumed_search_does_not_propose_its_first_values_again(search: Search) -> None:
    first, later = _first_proposals(search, 1, "tpe"), _first_proposals(search, 1, "tpe", trials=4)
    assert not [row for row in later if row in first]


def test_seeded_tpe_proposes_the_same_after_the_same_results(search: Search) -> None:
    def proposals() -> list[dict[str, Any]]:
        config = search.config.replace(seed=3, random_trials=2)
        study = optuna.create_study(sampler=sampler(Search(config, search.grid, search.cell), 0), direction="maximize")
        rows = []
        for number in range(6):
            trial = study.ask()
            rows.append(search.space(trial))
            study.tell(trial, number / 10)
        return rows

    assert proposals() == proposals()


def test_interrupted_trials_are_closed_and_queued_again_with_their_values(search: Search) -> None:
    study = open_study(search)
    values = search.space(study.ask())
    done = study.ask()
    search.space(done)
    study.tell(done, 0.5)

    assert requeue_interrupted(open_study(search)) == 1

    again = open_study(search)
    assert [trial.state.name for trial in again.trials] == ["FAIL", "COMPLETE", "WAITING"]
    assert search.space(again.ask()) == values


@pytest.mark.parametrize(
    ("last", "error", "state", "value"),
    [
        ({METRIC: 0.7, STEP: 4}, False, "COMPLETE", 0.7),
        ({METRIC: 0.0, STEP: 0, FAULT: "not a number: loss"}, False, "FAIL", None),
        (None, False, "FAIL", None),
        (None, True, "FAIL", None),
    ],
    ids=["a value", "a fault after a value", "no report", "killed for good"],
)
def test_the_last_report_of_a_trial_decides_its_state(
    tune: Any, search: Search, last: dict[str, Any] | None, error: bool, state: str, value: float | None
) -> None:
    study = open_study(search)
    search_alg = proposer(search, study)
    search_alg.suggest("a")
    for result in ({METRIC: 0.4, STEP: 2}, {METRIC: 0.4, STEP: 2}, *([last] if last else [])):
        search_alg.on_trial_result("a", result)

    search_alg.on_trial_complete("a", result=last, error=error)

    (trial,) = open_study(search).trials
    assert (trial.state.name, trial.value) == (state, value)
    assert 0.0 not in trial.intermediate_values.values()


def _axes_search(folder: Path, exclude: list[dict[str, Any]]) -> Search:
    cells = [{"text_encoder": "small", "train_on": "CTRATE", "vary": ["lr", "freeze"]}]
    grid = {**grid_with_axes(), "cells": cells, "exclude": exclude}
    space = {"lr": "axis", "freeze": "axis"}
    search = load_search(search_file(folder, grid, cell={"train_on": "CTRATE"}, space=space))
    search.root.mkdir(parents=True)
    return search


@BUSY
def test_excluded_combinations_are_never_proposed_and_count_as_no_trial(tune: Any, tmp_path: Path) -> None:
    search = _axes_search(tmp_path, [{"lr": 1e-3, "freeze": True}, {"lr": 1e-4, "freeze": False}])
    search_alg = proposer(search, open_study(search))
    proposed = [search_alg.suggest(str(number)) for number in range(8)]
    assert {tuple(values.items()) for values in proposed} == {
        (("lr", "1e-3"), ("freeze", "false")),
        (("lr", "1e-4"), ("freeze", "true")),
    }
    for number in range(8):
        search_alg.on_trial_complete(str(number), result={METRIC: 0.5, STEP: 4})
    states = [trial.state.name for trial in open_study(search).trials]
    assert states.count("COMPLETE") == 8
    assert set(states) == {"COMPLETE", "FAIL"}
    assert requeue_interrupted(open_study(search)) == 8


@BUSY
def test_an_interrupted_trial_over_axes_is_proposed_again_with_its_values(tune: Any, tmp_path: Path) -> None:
    search = _axes_search(tmp_path, [])
    search_alg = proposer(search, open_study(search))
    first, done = search_alg.suggest("a"), search_alg.suggest("b")
    search_alg.on_trial_complete("b", result={METRIC: 0.5, STEP: 4})

    assert requeue_interrupted(open_study(search)) == 1

    again = proposer(search, open_study(search))
    assert again.suggest("a") == first
    assert [trial.params for trial in open_study(search).trials if trial.state.name == "COMPLETE"] == [done]


# -- ASHA -------------------------------------------------------------------------------------------------------------


def _ends_at(scheduler: Any, name: str, values: dict[int, float]) -> int | None:
    """The step at which ASHA stops a trial; None if the trial finishes."""

    class Controller:
        pass

    class Trial:
        trial_id = name

    scheduler.on_trial_add(Controller(), Trial())
    for step, value in values.items():
        if scheduler.on_trial_result(Controller(), Trial(), {STEP: step, METRIC: value}) == "STOP":
            return step
    return None


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"set": {"training": {"steps": 60}}}, 60),
        ({"space": {"training.steps": {"int": [30, 60]}}}, 60),
    ],
    ids=["set", "space"],
)
def test_asha_compares_trials_at_their_steps_and_never_stops_a_finished_one(
    tune: Any, tmp_path: Path, changes: dict[str, Any], steps: int
) -> None:
    keys = {"defaults": {"training": {"steps": 20}}}
    search = load_search(search_file(tmp_path, keys, asha={"grace_steps": 10, "reduction": 2}, **changes))
    scheduler = stopper(search)
    scheduler.set_search_properties(METRIC, "max")
    assert _ends_at(scheduler, "good", {10: 0.6, 20: 0.7, 40: 0.8, steps: 0.9}) is None
    assert _ends_at(scheduler, "poor", {10: 0.5}) == 10
    assert _ends_at(scheduler, "fair", {10: 0.7, 20: 0.7, 40: 0.75}) == 40, "beyond the cell's own 20 steps"
    assert _ends_at(scheduler, "late", {10: 0.8, 20: 0.8, 40: 0.85, steps: 0.1}) is None


def test_without_a_validation_before_the_last_step_there_is_no_rung(tune: Any, tmp_path: Path) -> None:
    keys = {"defaults": {"training": {"steps": 20}}}
    assert stopper(load_search(search_file(tmp_path, keys, asha={"grace_steps": 20}))) is None
    assert stopper(load_search(search_file(tmp_path, keys, asha=None))) is None


# -- before the start -------------------------------------------------------------------------------------------------


def test_a_search_without_its_data_or_without_free_space_is_refused(
    search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "free_gib", lambda _: 100.0)
    looked: list[str] = []
    monkeypatch.setattr(DataPlan, "refuse", lambda data: looked.extend(p.state for p in data.planned))
    monkeypatch.setattr(weights_plan, "fetch", lambda planned: looked.extend(p.why for p in planned))
    check(search, search.grid, 3)
    assert looked == ["due", "a trial"], "trials with the same data and model are looked at once"
    with pytest.raises(UniferumError, match="free; 40 cells of two checkpoints need"):
        check(search, search.grid, 40)
    (tmp_path / "store" / "store.json").unlink()
    with pytest.raises(UniferumError, match=r"stores \(CTRATE\) must be prepared"):
        check(search, search.grid, 3)


def test_a_root_that_cannot_be_written_is_refused(search: Search, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    elsewhere = Search(search.config.replace(root=tmp_path / "file" / "s"), search.grid, search.cell)
    with pytest.raises(UniferumError, match="cannot be written"):
        run_search(elsewhere, lambda _: None, mlflow=False)


# -- MLflow: spooled lines --------------------------------------------------------------------------------------------


def _sync(search: Search) -> SearchSync:
    return SearchSync(search, search.grid.replace(name="s", root=search.root), lambda _: None)


def _spool_lines(record: CellFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in record.spool.read_text().splitlines()]


def test_a_trial_that_died_before_its_first_line_is_spooled_with_its_params(tmp_path: Path, store: str) -> None:
    search = tiny_search(tmp_path, store)
    _sync(search).trial_ended(VALUES, RunStatus.FAILED)
    first, last = _spool_lines(trial_cell(search, VALUES).record)
    assert first["params"]["optim.lr"] == "0.003"
    assert last == {"status": "FAILED"}


def test_the_mlflow_status_of_a_trial_is_how_it_ended(tmp_path: Path, store: str) -> None:
    search = tiny_search(tmp_path, store)
    stopped, full = {"optim.lr": 0.001}, VALUES

    def cut(_: dict[str, Any]) -> None:
        raise SystemExit  # as Tune ends the thread of a trial that ASHA stops

    with pytest.raises(SystemExit):
        run_trial(stopped, search, cut)
    run_trial(full, search, lambda _: None)
    for values in (stopped, full):
        _sync(search).trial_ended(values, RunStatus.KILLED)

    assert _spool_lines(trial_cell(search, stopped).record)[-1] == {"status": "KILLED"}
    assert _spool_lines(trial_cell(search, full).record)[-1]["status"] == "FINISHED"


def test_a_call_with_no_trials_left_finds_unsent_lines(tmp_path: Path, store: str) -> None:
    search = tiny_search(tmp_path, store)
    run_trial(VALUES, search, lambda _: None)  # no search is running when it ends
    assert _sync(search).catch_up()
    assert _spool_lines(trial_cell(search, VALUES).record)[-1]["status"] == "FINISHED"
