"""The section `evaluation`: what it refuses, and ranges without a flip."""

from typing import Any

import pytest

from uniferum.config import parse
from uniferum.data.settings import AugmentationConfig
from uniferum.errors import UniferumError
from uniferum.evaluation.config import STRENGTHS, EvaluationConfig, worded


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({"augmentations": -1}, "augmentations"),
        ({"strength": "wild"}, "strength"),
        ({"prompts": ["Is it there?"]}, r"prompts.*contain \{name\} or \{prompt\}"),
        ({"prompts": ["Is {label} there?"]}, r"contain \{name\} or \{prompt\} and no other field"),
        ({"prompts": ["Is {name there?"]}, "be texts with"),
        ({"prompts": ["{name}?", "{name}?"]}, "be distinct"),
        ({"labels": {"CTRATE": {"a [b]": "x.csv"}}}, r"name label sets .*'a \[b\]' of CTRATE"),
        ({"label": {}}, "did you mean 'labels'"),
    ],
)
def test_a_bad_key_is_one_line(keys: dict[str, Any], fault: str) -> None:
    with pytest.raises(UniferumError, match=fault) as caught:
        parse(EvaluationConfig, keys, source="run.yaml")
    assert "\n" not in str(caught.value)


def test_names_are_written_as_within_a_sentence() -> None:
    assert worded("Is there {name}?", "Lung nodule", "") == "Is there lung nodule?"
    assert worded("Is there {name}?", "CABG", "") == "Is there CABG?"
    assert worded("{prompt}, please", "", "Diagnose it") == "Diagnose it, please"


def test_the_strength_of_training_has_the_ranges_of_training() -> None:
    assert STRENGTHS["training"] == AugmentationConfig(probability=1)
    assert EvaluationConfig(labels={"A": {"b": "c.csv"}}) in {EvaluationConfig(labels={"A": {"b": "c.csv"}})}  # pyright: ignore[reportArgumentType]
