"""One trial without Ray: its reports after a kill, from a finished folder, of a repeat, and after faults."""

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestration.attempt import failures
from orchestration.grid.cells import expand
from orchestration.grid.config import load_grid
from orchestration.grid.records import CellFolder
from orchestration.search.best import best_grid
from orchestration.search.config import Search
from orchestration.search.trial import FAULT, METRIC, STEP, run_trial, trial_cell
from tests.support.small_searches import SPLITS, noise_store, tiny_search
from uniferum.errors import UniferumError
from uniferum.run import train_run, training_fingerprint
from uniferum.run.identity_keys import identity_of
from uniferum.training.errors import NonFiniteLoss

VALUES = {"optim.lr": 0.003}


class Killed(BaseException):
    """An exception that no handler catches, in place of a kill."""


class Reports(list[dict[str, Any]]):
    """Collects the reports of a trial, and kills it when it reports step ``kill_at``."""

    def __init__(self, kill_at: int | None = None) -> None:
        super().__init__()
        self.kill_at = kill_at

    def __call__(self, result: dict[str, Any]) -> None:
        self.append(result)
        if result[STEP] == self.kill_at:
            raise Killed


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return noise_store(tmp_path_factory.mktemp("noise") / "CTRATE")


@pytest.fixture
def search(tmp_path: Path, store: str) -> Search:
    return tiny_search(tmp_path, store)


def _replace_training(monkeypatch: pytest.MonkeyPatch, train: Any) -> None:
    monkeypatch.setattr("uniferum.run.train_run", train)


def _validating(monkeypatch: pytest.MonkeyPatch, values: dict[int, float]) -> None:
    """Set the value of each validation by its step, so that any of them can be the best."""
    steps = iter(values.values())
    monkeypatch.setattr("uniferum.run.train._validate", lambda *_, **__: {"validation/auroc": next(steps)})


def test_a_killed_trial_counts_the_validations_before_its_checkpoint(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    _validating(monkeypatch, {2: 0.9, 4: 0.6})
    with pytest.raises(Killed):
        run_trial(VALUES, search, Reports(kill_at=4))

    _validating(monkeypatch, {4: 0.6, 6: 0.7})
    reports = Reports()
    run_trial(VALUES, search, reports)

    assert reports[0] == {METRIC: 0.9, STEP: 4}
    assert reports[-1] == {METRIC: 0.9, STEP: 6}


def test_a_killed_trial_reports_the_same_as_an_undisturbed_one(search: Search, tmp_path: Path, store: str) -> None:
    (tmp_path / "undisturbed").mkdir()
    reports, undisturbed = Reports(), Reports()
    run_trial(VALUES, tiny_search(tmp_path / "undisturbed", store), undisturbed)

    for step in (2, 4):
        with pytest.raises(Killed):
            run_trial(VALUES, search, Reports(kill_at=step))
    run_trial(VALUES, search, reports)

    assert [result[STEP] for result in undisturbed] == [2, 4, 6]
    assert reports[-1] == undisturbed[-1]
    record = trial_cell(search, VALUES).record.result() or {}
    assert reports[-1][METRIC] == record["selection"]["value"]


def test_a_finished_trial_that_was_not_reported_reports_its_record(search: Search) -> None:
    with pytest.raises(Killed):
        run_trial(VALUES, search, Reports(kill_at=6))
    cell, reports = trial_cell(search, VALUES), Reports()
    assert cell.done, "the last value is reported only after the record is written"

    run_trial(VALUES, search, reports)

    assert [result[STEP] for result in reports] == [6]
    assert cell.record.log.read_text().count("attempt 1 of trial") == 1


def test_a_repeat_waits_for_the_running_trial_and_reports_the_same(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once, most = [0], [0]

    def train(*given: Any, **options: Any) -> Any:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        time.sleep(0.2)
        train_run(*given, **options)
        at_once[0] -= 1

    _replace_training(monkeypatch, train)
    reports = [Reports(), Reports()]
    threads = [threading.Thread(target=run_trial, args=(VALUES, search, one)) for one in reports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == [1]
    assert reports[0][-1] == reports[1][-1]
    assert CellFolder(trial_cell(search, VALUES).folder).log.read_text().count("attempt 1 of trial") == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NonFiniteLoss("loss of step 3", float("nan"), must="be finite"), failures.NAN),
        (UniferumError("x", must="be y"), failures.USER),
        (TypeError("oops"), failures.BUG),
    ],
)
def test_a_user_error_is_reported_and_not_raised_so_that_it_is_not_retried(
    search: Search, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str
) -> None:
    def train(*_: Any, **__: Any) -> None:
        raise error

    _replace_training(monkeypatch, train)
    reports = Reports()
    run_trial(VALUES, search, reports)

    (result,) = reports
    assert result[FAULT].startswith(f"{kind}: ")
    assert (failure := trial_cell(search, VALUES).record.failure()) is not None
    assert failure.kind == kind


def test_values_that_contradict_each_other_are_a_user_error(search: Search) -> None:
    reports = Reports()
    run_trial({"optim.lr": -1.0}, search, reports)
    assert "optim.lr (-1.0) must be greater than 0" in reports[0][FAULT]


def test_an_infrastructure_failure_is_raised_so_that_it_is_retried(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: Any, **__: Any) -> None:
        raise ConnectionResetError("gone")

    _replace_training(monkeypatch, train)
    with pytest.raises(RuntimeError, match="network: ConnectionResetError"):
        run_trial(VALUES, search, Reports())


def test_a_trial_without_an_auroc_has_failed(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    _validating(monkeypatch, {2: float("nan"), 4: float("nan"), 6: float("nan")})
    reports = Reports()
    run_trial(VALUES, search, reports)
    assert [FAULT in result for result in reports] == [True]
    assert "so a trial has no AUROC" in reports[0][FAULT]


def test_the_cell_of_the_best_grid_is_the_trial_and_runs(tmp_path: Path, store: str) -> None:
    rule = {"when": {"text_encoder": "small"}, "set": {"training": {"steps": 4}}}
    group = {"text_encoder": "small", "train_on": "CTRATE", "set": {"optim": {"weight_decay": 0.5}}}
    search = tiny_search(tmp_path, store, {"overrides": [rule], "cells": [group]})
    reports = Reports()
    run_trial(VALUES, search, reports)
    path = tmp_path / "best.yaml"
    path.write_text(yaml.safe_dump(best_grid(search, VALUES)))

    grid = load_grid(path)
    (cell,) = expand(grid)
    trial = trial_cell(search, VALUES)
    assert identity_of(cell.config) == identity_of(trial.config)
    assert training_fingerprint(cell.config, grid.store_addresses) == trial.fingerprint
    result = train_run(cell.config, grid.store_addresses, tmp_path / "best")
    assert (result.record["steps"], result.record["selection"]["value"]) == (4, reports[-1][METRIC])
    assert result.record["evaluate_on"] == ["CTRATE"]
    assert result.record["groups"], "it is scored on the test set, which no trial saw"


def test_a_trial_never_reads_a_scan_of_the_test_split(tmp_path: Path, store: str) -> None:
    own = tmp_path / "CTRATE"
    shutil.copytree(store, own)
    tests = SPLITS.index("test"), len(SPLITS)
    for number in range(*tests):
        (own / "scans" / f"s{number:03d}.ufs").write_bytes(b"unreadable")
    reports = Reports()
    run_trial(VALUES, tiny_search(tmp_path, str(own)), reports)
    assert reports[-1].keys() == {METRIC, STEP}

    cell = trial_cell(tiny_search(tmp_path, str(own)), VALUES)
    record = cell.record.result() or {}
    assert cell.done
    assert cell.config.evaluate_on == ()
    assert (record["groups"], record["selection"]["metric"]) == ([], "auroc")
    assert reports[-1][METRIC] == record["selection"]["value"]
    assert not list(cell.folder.glob("predictions*"))
