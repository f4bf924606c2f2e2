"""Whether the answers about one volume differ between prompts."""

import math

import numpy as np
import pandas as pd
import pytest

from uniferum.evaluation.spread import prompt_spread


def _predictions(logits: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"volume_id": f"v{volume}", "label": f"l{label}", "score": score}
            for volume, row in enumerate(logits)
            for label, score in enumerate(row)
        ]
    )


def test_the_same_answer_for_every_prompt_is_no_spread() -> None:
    assert prompt_spread(_predictions(np.repeat([[-1.0], [0.5], [2.0]], 3, axis=1))) == pytest.approx(0)


def test_how_frequent_a_finding_is_makes_no_spread() -> None:
    volume, prompt = np.array([[-1.0], [0.5], [2.0]]), np.array([[3.0, 0.0, -5.0]])
    assert prompt_spread(_predictions(volume + prompt)) == pytest.approx(0)


def test_answers_that_depend_on_volume_and_prompt_together_do() -> None:
    assert prompt_spread(_predictions(np.array([[1.0, -1.0], [-1.0, 1.0]]))) == pytest.approx(1.0)


def test_a_label_that_is_unknown_for_a_volume_is_left_out() -> None:
    table = _predictions(np.array([[1.0, -1.0], [-1.0, 1.0]]))
    assert math.isfinite(prompt_spread(table.iloc[:-1]))


def test_one_prompt_a_volume_has_no_spread_to_measure() -> None:
    assert math.isnan(prompt_spread(_predictions(np.array([[1.0], [2.0]]))))


def test_the_order_of_the_rows_plays_no_role() -> None:
    table = _predictions(np.array([[1.0, -1.0], [-1.0, 1.0]]))
    assert prompt_spread(table.sample(frac=1, random_state=0)) == pytest.approx(1.0)
