"""Trials of a search as a table."""

import math

import pytest

from uniferum.errors import UniferumError
from uniferum.report.tables.trials import Trial, Trials, trials_sheet, values_sheet

SEARCH = Trials(
    "s",
    [
        Trial(0, {"optim.lr": 1e-4, "model.text.freeze": True}, 0.70, "complete"),
        Trial(1, {"optim.lr": 1e-3, "model.text.freeze": False}, 0.80, "complete"),
        Trial(2, {"optim.lr": 1e-3}, 0.60, "complete"),
        Trial(3, {"optim.lr": 5e-5, "model.text.freeze": True}, math.nan, "fail"),
    ],
    frozenset({"optim.lr"}),
)


def test_the_best_trial_comes_first_and_one_without_a_value_last() -> None:
    sheet = trials_sheet(SEARCH)
    assert sheet.headings == ["Trial", "State", "optim.lr", "model.text.freeze", "validation AUROC"]
    assert [row[0] for row in sheet.rows] == ["1", "0", "2", "3"]
    assert sheet.rows[2] == ["2", "complete", "1e-3", "-", "0.6000"]
    assert sheet.rows[3][-1] == "-"
    assert sheet.below[0] == "Trials: 3 complete, 1 fail."


def test_the_values_of_a_key_are_compared_with_the_base() -> None:
    assert values_sheet(SEARCH, "optim.lr").rows == [
        ["1e-4", "1", "0.7000", "0.7000", "base"],
        ["1e-3", "2", "0.7000", "0.8000", "+0.0000"],
    ]
    rows = values_sheet(SEARCH, "model.text.freeze", "true").rows
    assert [row[-1] for row in rows] == ["-0.1000", "+0.1000", "base"]


@pytest.mark.parametrize(
    ("key", "base", "message"),
    [("optim.rl", None, "did you mean 'optim.lr'"), ("optim.lr", "2", "the trials have 1e-4, 1e-3")],
)
def test_an_unknown_key_or_base_is_refused(key: str, base: str | None, message: str) -> None:
    with pytest.raises(UniferumError, match=message):
        values_sheet(SEARCH, key, base)
