"""Figures: their content, their notes on missing data, and that they are readable in grey."""

import re

import pytest
from matplotlib.colors import to_rgb

from uniferum.errors import UniferumError
from uniferum.report.figures import catalogue, style
from uniferum.report.records import from_folders


@pytest.fixture
def records(cells, tmp_path):
    cells("CTRATE", strength=0.0)
    cells("CTRATE+SEG", strength=3.0)
    return from_folders(tmp_path)


def drawn(records, name):
    with style.look():
        return style.as_bytes(catalogue.figures(records)[name](records), "svg").decode()


def test_figure_1_draws_our_values_and_says_what_no_table_publishes(records):
    text = drawn(records, "figure1")
    assert "pleural effusion" in text
    assert "no table publishes" in " ".join(re.sub(r"<[^>]+>", " ", text).split())


def test_zero_shot_figures_star_a_significant_difference(records):
    assert "honeycombing (16/40) *" in drawn(records, "figure4")


def test_a_figure_without_its_cells_says_so(records):
    assert "missing: no cell" in drawn([one for one in records if one.mix != "CTRATE"], "figure1")


def test_a_heat_map_writes_the_value_of_each_field(records):
    text = drawn(records, "heatmap-radchest")
    value = records[0].labels.set_index(["cohort", "label"]).loc[("RADCHEST", "honeycombing"), "auroc"]
    assert f"{value:.2f}" in text
    assert "never positive (unique)" in text


@pytest.mark.parametrize("name", ["roc-ctrate", "pr-inspect", "calibration-radchest", "learning"])
def test_curves_name_every_cell_by_what_it_is(records, name):
    text = drawn(records, name)
    assert all(f"uniferum pubmedbert {record.mix}" in text for record in records)
    assert "pubmedbert: microsoft/BiomedNLP-BiomedBERT" in " ".join(re.sub(r"<[^>]+>", " ", text).split())


def test_the_same_numbers_give_the_same_bytes(records):
    assert drawn(records, "figure3") == drawn(records, "figure3")


def test_series_differ_without_colour():
    looks = [style.series(at) for at in range(24)]
    assert len({(look.marker, look.line, look.colour) for look in looks}) == 24
    for first, second in zip(style.SERIES[:4], style.SERIES[1:4], strict=False):
        assert (first.marker, first.line) != (second.marker, second.line)


def test_the_first_two_series_differ_in_lightness_or_line_in_grey():
    def grey(colour):
        red, green, blue = to_rgb(colour)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    first, second = style.SERIES[:2]
    assert abs(grey(first.colour) - grey(second.colour)) > 0.05
    assert first.line != second.line


def test_files_of_every_format_are_written(records, tmp_path):
    written = catalogue.draw_all(records, tmp_path / "figures", names=["figure3"])
    starts = {path.suffix: path.read_bytes()[:5] for path in written}
    assert starts[".png"].startswith(b"\x89PNG")
    assert starts[".pdf"].startswith(b"%PDF")
    assert starts[".svg"].startswith(b"<?xml")


def test_an_unknown_figure_or_format_names_the_near_one(records, tmp_path):
    with pytest.raises(UniferumError, match="figure3"):
        catalogue.draw_all(records, tmp_path, names=["figur3"])
    with pytest.raises(UniferumError, match="png"):
        catalogue.draw_all(records, tmp_path, kinds=["jpng"])
