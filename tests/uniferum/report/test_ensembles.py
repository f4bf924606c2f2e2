"""Ensembles: the mean of the logits of cells, in every table, test, trace and page."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.support.written_cells import write_cell
from uniferum.errors import UniferumError
from uniferum.evaluation.mask_words import METRICS as MASK_METRICS
from uniferum.report.checks.compare import compare_sheet
from uniferum.report.checks.lineage import trace
from uniferum.report.ensembles import average_logits, ensemble, incomplete
from uniferum.report.read_records import from_folders
from uniferum.report.recompute import recomputed
from uniferum.report.records import CellRecord, PendingCell
from uniferum.report.site.cells import cell_details, glance
from uniferum.report.tables.catalogue import TABLES, make_table
from uniferum.report.tables.pivot import Layout, pivot_table
from uniferum.report.tables.rendering import Style, render

ROW = ("ens", "pubmedbert", "CTRATE")
NAME = "uniferum-pubmedbert-CTRATE"


def write(root: Path, *, draws: int = 0) -> list[CellRecord]:
    """Write three seeds."""
    for seed in (0, 1, 2):
        write_cell(root, seed=seed, draws=draws)
    return from_folders(root)


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[CellRecord]:
    """Three seeds, for tests that change no file."""
    return write(tmp_path_factory.mktemp("members"), draws=4)


@pytest.fixture(scope="module")
def made(members: list[CellRecord], tmp_path_factory: pytest.TempPathFactory) -> CellRecord:
    """An ensemble of them."""
    return ensemble("ens", members, tmp_path_factory.mktemp("ensembles") / "ens", draws=20)


def change(record: CellRecord, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    edit(record.predictions()).to_parquet(record.files.predictions)


def test_areas_are_those_of_the_mean_logits_by_another_library(made: CellRecord, members: list[CellRecord]) -> None:
    tables = [one.predictions().set_index(["cohort", "label", "volume_id"]) for one in members]
    logits = np.mean([table["score"].to_numpy() for table in tables], axis=0)
    checked = 0
    for row in made.labels.to_dict("records"):
        if row["reason"]:
            continue
        wanted = tables[0].index.get_level_values("cohort") == row["cohort"]
        wanted &= tables[0].index.get_level_values("label") == row["label"]
        target = tables[0]["target"].to_numpy()[wanted]
        assert row["auroc"] == pytest.approx(roc_auc_score(target, logits[wanted]), abs=1e-12)
        assert row["aupr"] == pytest.approx(average_precision_score(target, logits[wanted]), abs=1e-12)
        checked += 1
    assert checked == 6
    group = next(one for one in made.groups if (one.cohort, one.metric) == ("CTRATE", "auroc"))
    own = [row["auroc"] for row in made.labels.to_dict("records") if row["cohort"] == "CTRATE"]
    assert group.value == pytest.approx(np.mean(own))
    assert group.lo < group.value < group.hi
    assert group.value > max(one.value for cell in members for one in cell.groups[:1]), "noise averages out"


def test_logits_are_averaged_and_not_probabilities(tmp_path: Path) -> None:
    members = write(tmp_path)
    for at, record in enumerate(members):
        change(record, lambda table, at=at: table.assign(score=float(2**at)))
    assert average_logits(members)["score"].unique().tolist() == [pytest.approx(7 / 3)]


def test_the_order_of_the_cases_in_a_file_plays_no_part(tmp_path: Path) -> None:
    members = write(tmp_path)
    before = average_logits(members)
    change(members[1], lambda table: table.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(average_logits(members), before)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda table: table.iloc[1:], "cases of CTRATE/all/lung_nodule (1 such as CTRATE/0) must be those of all"),
        (lambda table: table[table["label"] != "pe_positive"], "label (INSPECT/unique/pe_positive and 0 more)"),
        (lambda table: table.assign(target=1 - table["target"]), f"{NAME}-seed1: target of CTRATE/all/lung_nodule"),
    ],
)
def test_members_with_other_cases_or_labels_are_refused_with_names(
    tmp_path: Path, edit: Callable[[pd.DataFrame], pd.DataFrame], said: str
) -> None:
    members = write(tmp_path)
    change(members[1], edit)
    with pytest.raises(UniferumError) as caught:
        ensemble("ens", members, tmp_path / "ens", draws=0)
    message = str(caught.value)
    assert message.startswith(f"ensemble of {NAME}, {NAME}-seed1, {NAME}-seed2: {NAME}")
    assert said in message
    assert "\n" not in message
    assert not (tmp_path / "ens" / "result.json").exists()


def test_it_is_made_again_only_if_a_member_has_other_predictions(tmp_path: Path) -> None:
    members = write(tmp_path)
    made = ensemble("ens", members, tmp_path / "ens", draws=0)
    written = made.files.predictions.stat().st_mtime_ns
    again = ensemble("ens", members, made.folder, draws=0)
    assert again == made
    assert made.files.predictions.stat().st_mtime_ns == written
    change(members[0], lambda table: table.assign(score=table["score"] + 5 * table["target"]))
    better = ensemble("ens", members, made.folder, draws=0)
    assert better.groups[0].value > made.groups[0].value
    made.files.result.write_text("[]")
    assert ensemble("ens", members, made.folder, draws=0).groups == better.groups


def test_a_missing_prediction_file_is_named(tmp_path: Path) -> None:
    members = write(tmp_path)
    members[2].files.predictions.unlink()
    with pytest.raises(UniferumError, match=rf"must be a readable file; evaluate {NAME}-seed2 again"):
        ensemble("ens", members, tmp_path / "ens")


def test_it_has_a_row_of_its_own_in_every_table_that_its_members_are_in(
    made: CellRecord, members: list[CellRecord]
) -> None:
    for name, listed in TABLES.items():
        text = render(make_table(name, [*members, made], []), "csv")
        assert (",ens," in text) == (",uniferum," in text), name
        assert (",ens," in text) == (listed.metric not in MASK_METRICS and name not in ("appendix4", "wording")), name
    assert "ens: the mean of the logits of 3 cells, case by case" in render(
        make_table("labels", [*members, made], []), "terminal"
    )


def test_masks_are_not_averaged(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_cell(tmp_path, "CTRATE+SEG", seed=seed, draws=0)
    made = ensemble("ens", from_folders(tmp_path), tmp_path / "ensembles" / "ens", draws=0)
    table = make_table("segmentation", [*from_folders(tmp_path), made], [])
    assert "ens" not in render(table, "terminal")


def test_the_rows_of_its_members_stay_as_they_are(made: CellRecord, members: list[CellRecord]) -> None:
    alone, both = (make_table("auroc", records, []) for records in (members, [*members, made]))
    row = members[0].row
    for column in alone.columns:
        assert replace(both.entries[row, column], best=False) == replace(alone.entries[row, column], best=False)
    assert both.rows == (row, ROW)
    assert "Seeds: 0, 1, 2." in render(both, "terminal")
    assert "DIFFERENT" not in render(both, "terminal")


def test_no_published_value_stands_beside_it(made: CellRecord, members: list[CellRecord]) -> None:
    table = make_table("auroc", [*members, made], [], published_rows=True)
    text = render(table, "terminal", Style(published=True))
    assert "beside ens pubmedbert: another system than the paper's (an ensemble of cells)" in text
    assert all(np.isnan(table.entries[ROW, column].published) for column in table.columns)


def test_it_is_compared_with_a_cell_on_the_same_cases(made: CellRecord, members: list[CellRecord]) -> None:
    sheet = compare_sheet([*members, made], ["ens", NAME])
    assert {row[0] for row in sheet.rows} == {"ens"}
    assert "ens: ens pubmedbert CTRATE." in sheet.below


def test_a_number_is_traced_to_its_members(tmp_path: Path) -> None:
    members = write(tmp_path)
    records = [*members, ensemble("ens", members, tmp_path / "ens", draws=0)]
    text = trace(make_table("auroc", records, []), "ens", "CTRATE all", records)
    assert "ensemble: ens, the mean of the logits of 3 cells" in text
    assert text.count("(equal)") == 1
    for one in members:
        assert f"run: {one.name}\n" in text
        assert f"predictions: {one.files.predictions}, sha256" in text
    change(members[0], lambda table: table.assign(score=0.0))
    assert "NOT EQUAL" in trace(make_table("auroc", records, []), "ens", "CTRATE all", records)


def test_its_scores_can_be_computed_again(made: CellRecord) -> None:
    (again,) = recomputed([made])
    assert [one.value for one in again.groups] == pytest.approx([one.value for one in made.groups], nan_ok=True)
    assert again.members == made.members


def test_the_page_lists_it_with_its_members(made: CellRecord, members: list[CellRecord]) -> None:
    page = glance([*members, made], []) + cell_details(made)
    assert ">ens</a></td><td>mean of 3 cells</td>" in page
    assert f'<td>mean of the logits of</td><td class="words">{NAME}, {NAME}-seed1' in page


def test_an_ensemble_of_different_systems_has_what_they_have_in_common(tmp_path: Path) -> None:
    for mix, model, encoder in (("CTRATE", "uniferum", "pubmedbert"), ("CTRATE+INSPECT", "cnn", "")):
        write_cell(tmp_path, mix, model=model, encoder=encoder, draws=0)
    made = ensemble("two", from_folders(tmp_path), tmp_path / "two", draws=0)
    assert made.row == ("two", "", "CTRATE+INSPECT")
    table = make_table("appendix5", [*from_folders(tmp_path), made], [])
    assert made.row not in table.rows, "not all of its members are in this table"


def test_an_incomplete_ensemble_is_a_row_with_how_many_of_how_many(members: list[CellRecord]) -> None:
    waiting = PendingCell(f"{NAME}-seed3", "uniferum", "pubmedbert", "CTRATE", 3, "due: never ran")
    pending = incomplete("ens", [*members, waiting], members, f"{waiting.name} not done", "do it")
    assert pending.row == ROW
    table = make_table("auroc", members, [waiting, pending])
    entry = table.entries[ROW, ("CTRATE", "all")]
    assert (entry.missing, entry.command) == (f"3 of 4 members: {waiting.name} not done", "do it")
    text = render(table, "terminal")
    assert "3 of 4 members  " in text
    assert "3 of 4 cells are done." in text
    assert "ens" in render(make_table("appendix5", members, [pending]), "csv")


def test_the_description_of_the_test_split_is_kept(tmp_path: Path) -> None:
    members = write(tmp_path)
    word = {"kind": "official", "papers": True, "expected": 3002, "found": 40}
    result = members[0].files.result
    result.write_text(json.dumps(json.loads(result.read_text()) | {"test_splits": {"CTRATE": word}}))
    made = ensemble("ens", from_folders(tmp_path), tmp_path / "ens", draws=0)
    assert made.test_splits["CTRATE"].expected == 3002
    assert json.loads(made.files.result.read_text())["members"] == [one.name for one in members]


def test_a_table_that_does_not_name_ensembles_leaves_them_out_and_says_so(
    made: CellRecord, members: list[CellRecord]
) -> None:
    second = replace(made, name="other", model="other")
    everything = [*members, made, second]
    layouts = [Layout(("train_on",), ("cohort", "group")), Layout(("model", "train_on"), ("cohort", "group"))]
    mixed, named = (pivot_table("own", everything, [], layout) for layout in layouts)
    alone = pivot_table("own", members, [], layouts[0])
    assert mixed.entries == alone.entries
    said = "Ensembles are not in this table: ens, other. Add them with --rows model,train_on."
    assert said in mixed.protocol
    assert said in render(mixed, "terminal")
    assert [row[0] for row in named.rows] == ["uniferum", "ens", "other"]
