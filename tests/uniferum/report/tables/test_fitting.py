"""Sheets that fit into a width: on a terminal of 80 columns, and on a page of LaTeX."""

import re

import pytest

from uniferum.report.tables import sheet
from uniferum.report.tables.fitting import fitted, wrapped
from uniferum.report.tables.sheet import Sheet

MIXES = ["CTRATE", "CTRATE+RADCHEST+SEG", "CTRATE+INSPECT+SEG"]


def wide(columns: int) -> Sheet:
    heads = ["Model", "Text encoder", "Training data", *(f"COHORT{n} unique (29/32 labels)" for n in range(columns))]
    rows = [
        ["Uniferum", "microsoft/BiomedNLP-BiomedBERT-base", mix, *["0.8123 [0.7801, 0.8450]"] * columns]
        for mix in MIXES
    ]
    return Sheet("A title", heads, rows, ["A note that is long enough to be wrapped. " * 5], words=3)


@pytest.mark.parametrize("columns", [1, 5, 16])
def test_the_terminal_form_fits_80_columns_and_keeps_every_number(columns: int) -> None:
    text = sheet.terminal(wide(columns), width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("[0.7801, 0.8450]") == columns * len(MIXES)
    assert all(f"COHORT{n}" in text for n in range(columns))


def test_what_fits_is_printed_as_it_is() -> None:
    small = Sheet("T", ["Model", "A"], [["CNN", "0.5"]])
    assert sheet.terminal(small, width=80) == sheet.terminal(small)


def test_every_block_names_its_rows() -> None:
    blocks = fitted(wide(9).headings, wide(9).rows, 3, 80)
    assert all(block.columns[:3] == (0, 1, 2) for block in blocks)
    assert sorted(at for block in blocks for at in block.columns[3:]) == list(range(3, 12))


def test_words_break_at_their_joints_and_lose_nothing() -> None:
    lines = wrapped("CTRATE+RADCHEST+SEG", 10)
    assert lines == ["CTRATE+", "RADCHEST+", "SEG"]


def test_latex_tables_fit_the_text_width_and_say_what_they_are() -> None:
    text = sheet.latex(wide(16))
    parts = text.split(r"\begin{table}")[1:]
    assert len(parts) > 1
    for part in parts:
        assert "A title. Part" in part
        rows = [line[:-2].split("&") for line in part.splitlines() if line.endswith(r"\\") and "&" in line]
        widths = [max(map(widest_line, column)) for column in zip(*rows, strict=True)]
        assert sum(widths) + sheet.GAP_PT * len(widths) < sheet.TEXT_WIDTH_PT * 1.1


def widest_line(cell: str) -> float:
    lines = re.sub(r"\\shortstack\[.\]|[{}]", "", cell).split(r"\\")
    return max(sheet.printed_pt(line.strip()) for line in lines)


def test_long_latex_tables_are_divided_into_pages() -> None:
    long = Sheet("T", ["Label", "A"], [[f"label {n}", "0.5"] for n in range(100)])
    assert sheet.latex(long).count(r"\begin{table}") == 3
