"""Printed numbers have four digits, and all of them for machines."""

import math

import pytest

from uniferum.report.tables import sheet
from uniferum.report.tables.rounded import bounds, rounded, shown_p, signed
from uniferum.report.tables.sheet import Sheet


@pytest.mark.parametrize(("p", "text"), [(3.2e-17, "<0.0001"), (0.0, "<0.0001"), (0.012345, "0.01235"), (1.0, "1")])
def test_a_p_value_never_prints_as_0_and_machines_get_all_of_it(p: float, text: str) -> None:
    one = Sheet("Tests", ["What", "p"], [["a", shown_p(p)]])
    assert text in sheet.terminal(one)
    assert sheet.as_csv(one).splitlines()[1] == f"a,{p!r}"
    assert f'"p": "{p!r}"' in sheet.as_json(one)
    assert f"Tests,a,{p!r}" in sheet.joined_csv([one, one])


def test_numbers_and_intervals_have_all_digits_for_machines() -> None:
    third = 1 / 3
    one = Sheet("Tests", ["x", "y", "z"], [[rounded(third), signed(third), bounds(-third, third, "+.4f")]])
    assert "0.3333  +0.3333  [-0.3333, +0.3333]" in sheet.terminal(one)
    assert sheet.as_csv(one).splitlines()[1] == f'{third!r},{third!r},"[{-third!r}, {third!r}]"'


def test_no_number_is_a_hyphen() -> None:
    assert [rounded(math.nan), signed(math.inf), shown_p(math.nan), bounds(math.nan, math.nan)] == ["-"] * 4
