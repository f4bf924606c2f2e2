"""Trials read from a search's study."""

from pathlib import Path

import optuna
import pytest

from orchestration.search.config import load_search
from orchestration.search.study import open_study
from orchestration.search.trials import read_trials
from tests.support.small_searches import search_file
from uniferum.errors import UniferumError


def test_the_trials_of_a_search_are_read_from_its_file_its_folder_or_its_study(tmp_path: Path) -> None:
    path = search_file(tmp_path)
    search = load_search(path)
    search.root.mkdir(parents=True)
    study = open_study(search)
    for value in (0.6, 0.7):
        trial = study.ask()
        search.space(trial)
        study.tell(trial, value)
    failed = study.ask()
    search.space(failed)
    study.tell(failed, state=optuna.trial.TrialState.FAIL)
    running = study.ask()
    search.space(running)
    for given in (path, search.root, search.root / "study.db"):
        read = read_trials(given)
        assert [(one.number, one.value, one.state) for one in read.ranked[:2]] == [
            (1, 0.7, "complete"),
            (0, 0.6, "complete"),
        ]
        assert [one.state for one in read.trials[2:]] == ["fail", "running"]
        assert (read.name, read.keys, read.log) == ("s", ["optim.lr"], {"optim.lr"})


def test_a_search_that_has_not_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UniferumError, match="must exist; run the search first: uniferum tune"):
        read_trials(search_file(tmp_path))
