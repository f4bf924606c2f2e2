"""The first section: best cells, what added data changed, and the differences to published values."""

import dataclasses
import math
import re

import pytest

from tests.support.written_cells import write_cell
from uniferum.report.checks.verdict import Verdict
from uniferum.report.read_records import from_folders
from uniferum.report.site.added_data import added_data
from uniferum.report.site.overview import best_cells, facts, overview, published
from uniferum.report.site.ranking import ranked


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


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    root = tmp_path_factory.mktemp("seeds")
    for seed in (0, 1):
        write_cell(root, "CTRATE", seed=seed, strength=0.5, draws=0)
        write_cell(root, "CTRATE+SEG", seed=seed, strength=3.0, draws=0)
    write_cell(root, "CTRATE", encoder="gatortron", strength=0.5, draws=0)
    write_cell(root, "CTRATE+SEG", encoder="gatortron", strength=3.0, draws=0)
    return from_folders(root)


def test_seeds_of_a_configuration_do_not_compete_with_each_other(seeds):
    best = {column: of[0] for column, of in ranked(seeds).items()}
    assert all(len({cell.row for cell in of.cells}) == 1 for of in best.values())
    text = best_cells([one for one in seeds if "gatortron" not in one.text_encoder])
    line = next(row for row in text.split("<tr>") if "CTRATE all" in row)
    assert line.count("(mean of 2)") == 2
    assert "mean of seeds" in text


def test_the_effect_of_masks_is_the_mean_over_all_pairs_and_each_pair_can_be_opened(seeds):
    summary, every = added_data(seeds).split("<details>")
    assert "2 pairs" in summary
    assert summary.count("<td>+SEG</td>") == 5  # one line for each column
    assert every.count("<td>+SEG</td>") == 10
    values = {(one.text_encoder, one.mix, one.seed): score_of(one, ("CTRATE", "all")) for one in seeds}
    changes = [value - values[e, "CTRATE", seed] for (e, mix, seed), value in values.items() if mix == "CTRATE+SEG"]
    line = next(row for row in summary.split("<tr>") if "CTRATE all" in row)
    assert f"{sum(changes) / len(changes):+.4f}" in line


def score_of(record, column):
    return next(one.value for one in record.groups if (one.cohort, one.group) == column and one.metric == "auroc")
