"""Figures: their content, their notes on missing data, and that they are readable in grey."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from tests.support.ablation_cells import write_ablation
from tests.support.written_cells import write_cell
from uniferum.errors import UniferumError
from uniferum.evaluation.net_benefit import net_benefit
from uniferum.report.axes import find_varied
from uniferum.report.checks.effects import Wanted, effects
from uniferum.report.figures import catalogue, style
from uniferum.report.figures.flow import flow_diagram
from uniferum.report.figures.parallel import parallel_coordinates
from uniferum.report.read_records import from_folders
from uniferum.report.tables.trials import Trial, Trials
from uniferum.report.unfinished import unfinished


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
    assert "Pleural effusion" in text
    assert "no table publishes" in " ".join(re.sub(r"<[^>]+>", " ", text).split())


def test_zero_shot_figures_star_a_significant_difference(records):
    assert "Honeycombing (16/40) *" in drawn(records, "figure4")


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


@pytest.fixture(scope="module")
def ablation(tmp_path_factory):
    root = tmp_path_factory.mktemp("ablation")
    write_ablation(root, seeds=2, half_way=("3e-4 false 0", "3e-4 false 1"))
    for path in root.glob("cells/*/steps.jsonl"):
        seed, end = int("seed1" in str(path)), 30 if "lr1e-4" in str(path) else 20
        lines = [
            {"step": step, "validation/auroc": 0.5 + step / 100 + seed / 10} for step in (10, end - seed * 10, end)
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return from_folders(root), unfinished(root)


def words(text):
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def axis_figure(ablation, name, **facts):
    records, pending = ablation
    draw = catalogue.figures(records, catalogue.ByAxis(pending, **facts))[name]
    with style.look():
        return draw(records)


def test_each_axis_has_its_figures(ablation):
    names = [name for name in catalogue.figures(ablation[0]) if "-lr" in name or "-freeze" in name]
    assert names == ["learning-curves-lr", "effects-lr", "learning-curves-freeze", "effects-freeze"]
    keys = catalogue.figures(ablation[0], catalogue.ByAxis(keys=["optim.lr"]))
    assert "effects-optim.lr" in keys


def test_effects_are_drawn_with_the_base_and_what_is_missing(ablation):
    figure = axis_figure(ablation, "effects-lr", keys=["lr"], wanted=Wanted(base="1e-4"))
    assert [axes.get_title() for axes in figure.axes[:2]] == ["CTRATE all", "INSPECT shared"]
    text = words(style.as_bytes(figure, "svg").decode())
    assert "AUROC minus that of lr=1e-4" in text
    assert "missing: seed 0 unfinished at" in text
    assert "with the 95 % interval over the test cases" in text
    marks = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() in "o^"]
    varied = find_varied("lr", [*ablation[0], *ablation[1]])
    computed = [
        e for e in effects(varied, Wanted(base="1e-4")) if e.column[0] == "CTRATE" and e.difference == e.difference
    ]
    assert sorted(marks) == pytest.approx(sorted(e.difference for e in computed))


def test_a_base_belongs_to_the_axis_that_is_asked_for(ablation):
    figure = axis_figure(ablation, "effects-freeze", keys=["lr"], wanted=Wanted(base="1e-4"))
    assert "AUROC minus that of freeze=false" in words(style.as_bytes(figure, "svg").decode())


def test_learning_curves_are_the_mean_and_range_over_seeds_by_rows_seen(ablation):
    figure = axis_figure(ablation, "learning-curves-lr")
    panel = next(axes for axes in figure.axes if axes.get_title().endswith("freeze=true"))
    lines = {line.get_label(): line for line in panel.lines}
    assert list(lines) == ["lr=5e-5", "lr=1e-4", "lr=3e-4"]
    assert list(lines["lr=5e-5"].get_xdata()) == [80, 160]  # steps 10 and 20, 8 rows each
    assert list(lines["lr=5e-5"].get_ydata()) == pytest.approx([0.65, 0.75])
    assert list(lines["lr=1e-4"].get_xdata()) == [80, 240]
    band = np.asarray(panel.collections[0].get_paths()[0].vertices)[:, 1]
    assert (min(band), max(band)) == pytest.approx((0.6, 0.8))
    text = words(style.as_bytes(figure, "svg").decode())
    assert "missing: no finished cell of uniferum pubmedbert CTRATE, freeze=false: lr=3e-4" in text


def test_parallel_coordinates_colour_each_trial_by_its_objective():
    trials = [
        Trial(0, {"optim.lr": 1e-4, "model.text.freeze": True, "depth": None}, 0.7, "complete"),
        Trial(1, {"optim.lr": 1e-2, "model.text.freeze": False, "depth": 2}, 0.8, "complete"),
        Trial(2, {"optim.lr": 1e-3}, 0.75, "complete"),
        Trial(3, {"optim.lr": 1e-3}, float("nan"), "fail"),
    ]
    with style.look():
        figure = parallel_coordinates(Trials("s", trials, frozenset({"optim.lr"})))
    (lines,) = figure.axes[0].collections
    assert isinstance(lines, LineCollection)
    ends = {
        tuple(map(tuple, line.tolist())): value
        for line, value in zip(lines.get_segments(), np.asarray(lines.get_array()), strict=True)
    }
    assert ends[(0.0, 1.0), (1.0, 0.0)] == 0.8  # the largest rate, then false
    assert ends[(0.0, 0.0), (1.0, 1.0)] == 0.7
    assert len(ends) == 3 + 1  # a trial with a gap has fewer lines, and the last one none
    assert "1 trials without a value are not drawn." in words(style.as_bytes(figure, "svg").decode())
    with style.look():
        empty = parallel_coordinates(Trials("s", trials[3:]))
    assert "no trial has a value" in words(style.as_bytes(empty, "svg").decode())


def test_more_cells_than_a_panel_holds_have_figures_of_their_own(tmp_path):
    for seed in range(catalogue.CURVES + 1):
        write_cell(tmp_path, seed=seed, draws=0)
    records = from_folders(tmp_path)
    first, second = (words(drawn(records, name)) for name in ("calibration-ctrate", "calibration-ctrate-2"))
    assert "Cells 1 to 8 of 9; the others are in calibration-ctrate-2." in first
    assert "Cells 9 to 9 of 9; the others are in calibration-ctrate." in second
    assert "Cells 9 to 9 of 9; the others are in learning." in words(drawn(records, "learning-2"))


def test_decision_curves_have_the_numbers_of_the_table(records):
    with style.look():
        figure = catalogue.figures(records)["decision-ctrate"](records)
    table = pd.read_parquet(records[0].files.predictions)
    cases = table.loc[(table["cohort"] == "CTRATE") & (table["label"] == "lung_nodule")]
    (panel,) = [axes for axes in figure.axes if axes.get_title() == "Lung nodule"]
    line = next(one for one in panel.lines if "CTRATE" in str(one.get_label()))
    at = dict(zip(np.round(line.get_xdata(), 2), line.get_ydata(), strict=True))
    for threshold in (0.05, 0.3, 0.5):
        measured = net_benefit(cases["target"], cases["score"], cases["patient_id"], threshold)
        assert at[threshold] == pytest.approx(measured.model.value, abs=1e-12)


def test_the_flow_diagram_has_what_was_found_left_out_and_scored(records):
    rows = [
        ["CTRATE", "train", "found", "900", "", ""],
        ["CTRATE", "test", "found", "42", "", ""],
        ["CTRATE", "test", "excluded", "2", "", "fewer than 20 slices"],
        ["CTRATE", "test", "prepared", "40", "20", ""],
        ["CTRATE", "test", "scored", "40", "20", "80 labels of scans, in 2 of 2 cells"],
    ]
    with style.look():
        figure = flow_diagram(rows)
    (axes,) = figure.axes
    texts = [one.get_text() for one in axes.texts if one.get_text()]
    assert texts[:3] == [
        "found: 42 scans",
        "excluded: 2 scans\nfewer than 20 slices",
        "prepared: 40 scans of 20 patients",
    ]
    assert len([one for one in axes.texts if not one.get_text()]) == 3  # an arrow between each two steps
    assert "scored: 40 scans of 20 patients" in words(drawn(records, "flow"))


def test_a_cell_without_a_label_removes_it_from_no_other(records):
    table = pd.read_parquet(records[0].files.predictions)
    table.loc[table["label"] != "lung_nodule"].to_parquet(records[0].files.predictions)
    text = words(drawn(records, "roc-ctrate"))
    assert "Lung nodule" in text
    assert "Pleural effusion" in text
    assert "1 of 2 labels not drawn" in text


def test_figure_4_is_the_mean_over_all_seeds(tmp_path):
    for seed in (0, 1, 2):
        write_cell(tmp_path, seed=seed)
    records = from_folders(tmp_path)
    with style.look():
        figure = catalogue.figures(records)["figure4"](records)
    (mean,) = [sum(float(one.labels.set_index("label").loc["honeycombing", "auroc"]) for one in records) / len(records)]
    marks = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert marks == pytest.approx([mean])
    said = "Means over seeds and folds, cells: uniferum pubmedbert CTRATE 3."
    assert said in words(drawn(records, "figure4"))


def test_labels_are_written_in_words():
    assert style.label_words("cabg") == "CABG"
    assert style.label_words("12_month_ph") == "12-month pulmonary hypertension"
    assert style.label_words("of_my_own") == "of my own"


@pytest.mark.parametrize("journal", ["nature", "ieee"])
def test_a_journal_has_its_column_width_and_embedded_truetype(records, tmp_path, journal):
    (pdf,) = catalogue.draw_all(records, tmp_path, names=["figure4"], kinds=["pdf"], style=journal)
    assert b"/FontFile2" in pdf.read_bytes()
    assert b"/Type3" not in pdf.read_bytes()
    with style.look():
        figure = style.restyled(catalogue.figures(records)["figure4"](records), journal)
    assert figure.get_figwidth() in style.JOURNALS[journal].widths


def test_an_unknown_style_names_the_near_one(records, tmp_path):
    with pytest.raises(UniferumError, match="nature"):
        catalogue.draw_all(records, tmp_path, names=["figure4"], style="natur")


@pytest.mark.parametrize("name", ["figure1", "figure4", "roc-ctrate", "heatmap-radchest", "learning", "flow"])
def test_no_text_is_cut_or_covers_another(records, name):
    with style.look():
        figure = catalogue.figures(records)[name](records)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        texts = [one for one in figure.findobj(Text) if one.get_text().strip() and one.get_visible()]
        texts = [one for one in texts if not re.fullmatch(r"[−\d.]+", one.get_text())]  # marks beyond an axis
        boxes = [(one.get_text(), one.get_window_extent(renderer)) for one in texts]
        level = {one.get_text() for one in texts if not one.get_rotation()}
    whole = figure.bbox.padded(2)
    cut = [text for text, box in boxes if not (whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0)]
    assert cut == []
    notes = [(text, box) for text, box in boxes if len(text) > 25 and text in level]
    assert [(a, b) for n, (a, one) in enumerate(notes) for b, two in notes[n + 1 :] if one.overlaps(two)] == []
