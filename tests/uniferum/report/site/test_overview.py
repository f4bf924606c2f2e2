"""The first section: best cells, what added data changed, and the differences to published values."""

import dataclasses
import math
import re

import pytest

from tests.support.written_cells import write_cell
from uniferum.report.checks.verdict import Verdict
from uniferum.report.records import from_folders
from uniferum.report.site.overview import added_data, best_cells, facts, overview, published


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    root = tmp_path_factory.mktemp("cells")
    write_cell(root, "CTRATE", strength=0.2)
    write_cell(root, "CTRATE+SEG", strength=2.5)
    return from_folders(root)


def test_the_best_cell_has_its_interval_and_is_compared_with_the_next(records):
    text = best_cells(records)
    line = next(row for row in text.split("<tr>") if "CTRATE all" in row)
    assert line.index("CTRATE+SEG") < line.index("pubmedbert-CTRATE<")
    assert re.search(r"0\.\d{4} \[0\.\d{4}, [01]\.\d{4}\]", line)
    assert "<td>better</td>" in line
    assert "<td>in-distribution</td>" in line


def test_added_masks_are_a_line_of_the_forest_plot_with_the_sign_of_their_effect(records):
    text = added_data(records)
    assert "+SEG" in text
    line = next(row for row in text.split("<tr>") if "CTRATE all" in row)
    assert "raises" in line
    assert 'class="bar up"' in line


def test_a_single_cell_has_no_effect_of_added_data(records):
    assert "No two cells" in added_data(records[:1])


def test_differences_to_published_values_are_ranked_and_those_that_cannot_be_compared_are_counted():
    row, column = ("uniferum", "pubmedbert", "CTRATE"), ("CTRATE", "all")
    made = [Verdict(row, column, 0.8, value, value - 0.01, value + 0.01, 0.02, "differs", "") for value in (0.9, 0.7)]
    made.append(Verdict(row, column, 0.8, 0.8, math.nan, math.nan, 0.02, "not comparable", "phantoms"))
    text = published(made)
    assert text.index("-0.1000") < text.index("+0.1000")
    assert "1 published numbers are not compared" in text


def test_phantoms_have_a_banner_and_the_grid_its_name_and_commit(records):
    assert "The data are phantoms" not in overview(records, [], [], "demo")
    marked = [dataclasses.replace(record, phantoms=True) for record in records]
    text = overview(marked, [], [], "demo")
    assert "The data are phantoms" in text
    assert "abc1234" in facts(records, [], "demo")
    assert "2 of 2 cells are done" in text
