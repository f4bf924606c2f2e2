"""Short texts for the values of keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uniferum.value_labels import label_of, label_order


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_label_of_a_number_is_the_number(value: float) -> None:
    assert float(label_of(value)) == value
    assert label_of(label_of(value)) == label_of(value)


@pytest.mark.parametrize(
    ("value", "label"),
    [(1e-4, "1e-4"), (0.00123, "0.00123"), (1.5e-7, "1.5e-7"), (100, "100"), (True, "true"), ([48, 40, 32], "48x40x32"),
     (["a", "b"], "a+b"), ([], "empty"), (None, "null"), (2.0, "2"), (-0.5, "-0.5")],
)  # fmt: skip
def test_values_are_written_shortly(value: object, label: str) -> None:
    assert label_of(value) == label


def test_labels_are_sorted_as_numbers_where_they_are_numbers() -> None:
    assert sorted(["1e-4", "5e-5", "10", "9", "-1"], key=label_order) == ["-1", "5e-5", "1e-4", "9", "10"]
    assert sorted(["null", "b10", "b9", "2"], key=label_order) == ["2", "b9", "b10", "null"]
