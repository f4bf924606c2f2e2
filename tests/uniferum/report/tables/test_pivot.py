"""Tables by label and tables of the user's own."""

import pytest

from tests.support.written_cells import write_cell
from uniferum.errors import UniferumError
from uniferum.report.axes import GridAxis
from uniferum.report.read_records import from_folders, read_cell
from uniferum.report.records import PendingCell
from uniferum.report.tables.catalogue import make_table
from uniferum.report.tables.pivot import Layout, pivot_table
from uniferum.report.tables.rendering import Style, render, row_names


@pytest.fixture
def records(cells, tmp_path):
    cells("CTRATE")
    cells("CTRATE", encoder="gatortron")
    cells("CTRATE+SEG", strength=2.0)
    return from_folders(tmp_path)


def test_a_label_table_prints_the_stored_values_of_each_cell(records):
    table = make_table("labels", records, [])
    record = records[0]
    row = record.labels.set_index(["cohort", "label"]).loc[("INSPECT", "pe_positive")]
    entry = table.entries[("INSPECT", "unique", "pe_positive"), record.row]
    assert (entry.value, entry.lo, entry.hi) == (row["auroc"], row["auroc_lo"], row["auroc_hi"])
    assert entry.n_cases == row["n"]


def test_a_label_with_one_class_is_not_a_number(records):
    entry = make_table("labels", records, []).entries[("RADCHEST", "unique", "never_positive"), records[0].row]
    assert not entry.known
    assert entry.missing.startswith("n/a")


def test_the_table_of_lung_nodules_stands_beside_the_papers(records):
    table = make_table("appendix3", records, [])
    assert table.columns == (("CTRATE", "lung_nodule"),)
    published = {row: entry.published for (row, _), entry in table.entries.items()}
    assert published == {
        ("uniferum", "pubmedbert", "CTRATE"): 0.6915,
        ("uniferum", "pubmedbert", "CTRATE+SEG"): 0.6791,
    }


def test_any_facts_make_rows_and_columns(records):
    layout = Layout(("train_on",), ("text_encoder",), "brier", {"cohort": "RADCHEST", "group": "shared"})
    table = pivot_table("own", records, [], layout)
    assert table.rows == (("CTRATE",), ("CTRATE+SEG",))
    assert table.columns == (("pubmedbert",), ("gatortron",))
    labels = records[0].labels
    expected = labels[(labels["cohort"] == "RADCHEST") & (labels["group"] == "shared")]["brier"].mean()
    assert table.entries[("CTRATE",), ("pubmedbert",)].value == pytest.approx(expected)
    assert not table.entries[("CTRATE+SEG",), ("gatortron",)].known


def test_less_is_better_for_errors(records):
    table = pivot_table("own", records, [], Layout(("name",), ("cohort", "group"), "ece"))
    column = ("CTRATE", "all")
    known = {row: entry for (row, at), entry in table.entries.items() if at == column}
    assert min(known.values(), key=lambda entry: entry.value).best


def test_what_a_number_averages_over_is_said(records):
    table = pivot_table("own", records, [], Layout(("train_on",), ("cohort", "group")))
    assert any("means over text encoder: gatortron, pubmedbert" in line for line in table.protocol)


def test_a_cell_that_waits_shows_its_reason_at_its_own_place_only(records):
    waiting = PendingCell("g", "uniferum", "gatortron", "CTRATE+SEG", 0, "failed: x", "run it")
    table = pivot_table("own", records, [waiting], Layout(("train_on",), ("text_encoder", "cohort"), "ece"))
    assert table.entries[("CTRATE+SEG",), ("gatortron", "CTRATE")].missing == "failed: x"
    assert table.entries[("CTRATE+SEG",), ("pubmedbert", "CTRATE")].known


def test_the_protocol_lists_labels_scored_and_left_out(records):
    line = next(line for line in make_table("auroc", records, []).protocol if line.startswith("RADCHEST unique"))
    assert "honeycombing" in line
    assert "never_positive (no positive case)" in line


@pytest.mark.parametrize(
    ("layout", "word"),
    [
        (Layout(("modell",), ("cohort",)), "model"),
        (Layout(("model",), ("model",)), "rows"),
        (Layout(("model",), ("cohort",), "auc"), "auroc"),
        (Layout((), ("cohort",)), "at least one"),
    ],
)
def test_a_layout_that_makes_no_table_is_refused(records, layout, word):
    with pytest.raises(UniferumError, match=word):
        pivot_table("own", records, [], layout)


def test_a_limit_to_what_was_not_scored_names_what_was(records):
    with pytest.raises(UniferumError, match="allowed: CTRATE, INSPECT"):
        make_table("auroc", records, [], where={"cohort": "LUNA"})


def test_a_mean_over_labels_has_no_interval_for_they_are_no_repetitions(records):
    layout = Layout(("train_on",), ("cohort",), "auroc", {"text_encoder": "pubmedbert", "cohort": "INSPECT"})
    entry = pivot_table("own", records, [], layout).entries[("CTRATE",), ("INSPECT",)]
    assert entry.known
    assert str(entry.lo) == str(entry.spread) == "nan"
    assert entry.seeds == 1


def test_the_papers_numbers_of_labels_stand_beside_ours_and_get_a_place_without_ours(records):
    table = make_table("labels", records, [], published_rows=True)
    row = ("uniferum", "pubmedbert", "CTRATE+SEG")
    nodule = table.entries[("CTRATE", "all", "lung_nodule"), row]
    assert nodule.known
    assert nodule.published == 0.6791
    mortality = table.entries[("INSPECT", "unique", "1_month_mortality"), row]
    assert not mortality.known
    assert (mortality.published, mortality.published_half_width) == (0.756, 0.038)
    assert ("uniferum", "pubmedbert", "RADCHEST") in table.columns  # only the paper has it
    text = render(table, "terminal", Style(published=True, intervals=True))
    assert "(0.7560 ±0.0380)" in text


def test_without_being_asked_the_table_of_labels_has_our_places_alone(records):
    table = make_table("labels", records, [])
    assert {column for column in table.columns} == {record.row for record in records}
    assert ("INSPECT", "unique", "1_month_mortality") not in table.rows


def test_the_papers_labels_are_limited_as_the_table_is(records):
    table = make_table("labels", records, [], published_rows=True, where={"cohort": "RADCHEST"})
    assert {row[0] for row in table.rows} == {"RADCHEST"}
    assert (
        table.entries[("RADCHEST", "unique", "honeycombing"), ("uniferum", "pubmedbert", "CTRATE")].published == 0.692
    )


@pytest.fixture(scope="module")
def ablation(ablation_root):
    return from_folders(ablation_root)


def test_axes_and_config_keys_are_rows_and_columns(ablation):
    layout = Layout(("model", "lr"), ("cohort", "freeze"), "auroc", {"group": "all"})
    table = pivot_table("own", ablation, [], layout)
    assert table.rows == (("uniferum", "5e-5"), ("uniferum", "1e-4"), ("uniferum", "3e-4"))
    assert table.columns == (("CTRATE", "false"), ("CTRATE", "true"))
    assert table.heading(("CTRATE", "true")) == "CTRATE freeze=true"
    cells = [one for one in ablation if one.axes == {"lr": "3e-4", "freeze": "true"}]
    values = [s.value for one in cells for s in one.groups if (s.cohort, s.metric) == ("CTRATE", "auroc")]
    entry = table.entries[("uniferum", "3e-4"), ("CTRATE", "true")]
    assert (entry.value, entry.seeds) == (pytest.approx(sum(values) / 3), 3)
    keys = pivot_table(
        "own", ablation, [], Layout(("optim.lr",), ("cohort", "model.text.freeze"), where={"group": "all"})
    )
    assert keys.rows == (("5e-5",), ("1e-4",), ("3e-4",))
    assert keys.entries[("3e-4",), ("CTRATE", "true")].value == entry.value


def test_values_are_in_the_order_of_the_grid_file(ablation):
    axes = {"lr": GridAxis(("3e-4", "5e-5", "1e-4")), "freeze": GridAxis(("true", "false"))}
    table = pivot_table("own", ablation, [], Layout(("lr",), ("cohort", "freeze"), axes=axes))
    assert table.rows == (("3e-4",), ("5e-5",), ("1e-4",))
    assert table.columns[0] == ("CTRATE", "true")


def test_a_mean_over_an_axis_says_so_and_has_no_interval(ablation):
    table = pivot_table("own", ablation, [], Layout(("lr",), ("cohort",), where={"cohort": "CTRATE"}))
    assert "Numbers are means over freeze: false, true." in table.protocol
    assert all(entry.spread != entry.spread for entry in table.entries.values())


def test_a_cell_without_a_result_has_its_row(ablation):
    waiting = PendingCell("x", "uniferum", "pubmedbert", "CTRATE", 0, "due", axes={"lr": "1e-3", "freeze": "true"})
    table = pivot_table("own", ablation, [waiting], Layout(("lr",), ("freeze", "cohort")))
    assert table.rows[-1] == ("1e-3",)
    assert table.entries[("1e-3",), ("true", "CTRATE")].missing == "due"


def test_a_cell_that_does_not_vary_an_axis_stands_below_a_dash(ablation, tmp_path):
    plain = read_cell(write_cell(tmp_path, "INSPECT", draws=2))
    table = pivot_table("own", [*ablation, plain], [], Layout(("lr", "train_on"), ("cohort",)))
    assert table.rows[0] == ("", "INSPECT")
    assert row_names(table.rows[0])[0] == "-"


@pytest.mark.parametrize(("word", "cure"), [("lrr", "did you mean 'lr'"), ("optim.rl", "did you mean 'optim.lr'")])
def test_an_unknown_axis_is_refused_with_what_there_is(ablation, word, cure):
    with pytest.raises(UniferumError, match=f"{cure}.*words: model, .*axes: lr, freeze"):
        pivot_table("own", ablation, [], Layout((word,), ("cohort",)))
