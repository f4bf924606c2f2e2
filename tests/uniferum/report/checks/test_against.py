"""Published values beside comparable cells, and the reasons for the other values."""

import json
from dataclasses import replace

import pytest
import yaml

from tests.support.recorded_cells import DRAWN, REASON, SHARED, ct_rate, record_cell, small
from uniferum.config import parse
from uniferum.errors import UniferumError
from uniferum.report import published as published_module
from uniferum.report.checks.against import HEADINGS, against_sheet, own_fault
from uniferum.report.checks.margins import Margins
from uniferum.report.read_records import from_folders
from uniferum.report.registry import PATH, RegistryFile, registry
from uniferum.report.tables.catalogue import make_table

SYSTEM, PUBLISHED, DIFFERENCE, REMARKS = (
    HEADINGS.index(name) for name in ("Published system", "Published", "Difference", "Remarks")
)


def sheet(root, scope="all", agreement=None, table="auroc", **options):
    records = from_folders(root)
    return against_sheet(make_table(table, records, []), records, agreement or Margins(), scope, **options)


def line_of(made, start):
    (line,) = [line for line in made.below if line.startswith(start)]
    return line


def test_values_of_the_same_test_set_stand_beside_a_cell_and_the_others_say_why_not(tmp_path):
    record_cell(tmp_path, "CTRATE", "all", 3002, ct_rate(3002, 0))
    made = sheet(tmp_path)
    assert [(row[SYSTEM].split(" (")[0], row[PUBLISHED]) for row in made.rows] == [
        ("Uniferum", "0.8296"),
        ("RevCT v0.3.2", "0.8715"),
    ]
    ours = from_folders(tmp_path)[0].groups[0].value
    assert float(made.rows[1][DIFFERENCE]) == pytest.approx(ours - 0.8715, abs=1e-4)
    assert "3039 volumes" in line_of(made, "CT-CLIP (zero-shot), AUROC 0.7311")
    assert "not known of its test set: N, the unit, the split" in line_of(made, "GreenRFM (zero-shot), AUROC 0.8480")
    assert "another test set: N unknown, the hidden test set" in line_of(
        made, "Beyond Normals (ensemble of three models), AUROC 0.8764"
    )
    assert "the report has no macro F1" in line_of(made, "RevCT v0.3.2 (frozen COLIPRI with learnt heads), macro F1")
    assert not any("RADCHEST" in line for line in made.below), "no number of that cohort is shown"
    values = [one for one in registry() if one.metric == "auroc"]
    shown = [one for one in values if one.test_set.cohort == "CTRATE" and one.group == "all" and not one.label]
    others = [one for one in shown if one.row and one.row[0] == "uniferum" and one.row[1:] != ("pubmedbert", "CTRATE")]
    more = len(values) - len(shown) + len(others)
    assert made.below[-1] == f"{more} more are of rows, columns or cohorts that this table does not have."


def test_against_the_paper_shows_what_the_paper_prints_alone(tmp_path):
    record_cell(tmp_path, "CTRATE", "all", 3002, ct_rate(3002, 0))
    made = sheet(tmp_path, "paper")
    assert [row[PUBLISHED] for row in made.rows] == ["0.8296"]
    assert line_of(made, "CT-NET, AUROC 0.6291")
    assert not any("GreenRFM" in line for line in made.below)


@pytest.mark.parametrize("scope", ["paper", "all"])
def test_a_metric_that_nobody_published_is_one_plain_line(tmp_path, scope):
    record_cell(tmp_path, "CTRATE", "all", 3002, ct_rate(3002, 0))
    made = sheet(tmp_path, scope, table="segmentation")
    assert made.rows == []
    assert made.below == ["There are no published values to compare with: the registry has none of this metric (dice)."]


def test_a_value_whose_labels_are_unknown_is_beside_no_cell_and_says_so(tmp_path):
    record_cell(tmp_path, *SHARED, small(360, 0))
    (mapped,) = [one for one in registry() if one.system.startswith("More performant") and one.value == 0.773]
    assert own_fault(mapped) == "which labels it is of is not known"
    own_set = next(one.test_set for one in registry() if one.test_set.cohort == "RADCHEST" and one.test_set.papers)
    made = sheet(tmp_path, values=[replace(mapped, test_set=own_set)])
    assert made.rows == []
    assert "not comparable: which labels it is of is not known" in line_of(made, "More performant")


def test_a_split_of_ours_makes_the_papers_values_of_a_column_one_line(tmp_path):
    record_cell(tmp_path, *SHARED, {**DRAWN, "expected": 360, "found": 360})
    reason = "not the paper's split (paper_sized, seed 7)"
    made = sheet(tmp_path)
    assert made.rows == []
    assert f"The paper's 1 on RADCHEST shared: not comparable: {reason}." in made.below
    assert "ten times the public release" in line_of(made, "CNN (Draelos), AUROC 0.8353")
    reasoned = sheet(tmp_path, agreement=Margins(comparable={"RADCHEST": REASON}))
    assert [row[PUBLISHED] for row in reasoned.rows] == ["0.7960"]
    assert f"compared because: {REASON}" in reasoned.rows[0][REMARKS]


def test_phantoms_have_nothing_beside_them(tmp_path):
    record_cell(tmp_path, *SHARED, small(360, 0))
    made = sheet(tmp_path, agreement=Margins(synthetic=True, comparable={"RADCHEST": REASON}))
    assert made.rows == []
    assert "The paper's 1 on RADCHEST shared: not comparable: phantoms." in made.below


def test_single_labels_stand_beside_the_papers_with_its_interval(tmp_path):
    record_cell(tmp_path, "RADCHEST", "unique", 360, {**DRAWN, "expected": 360, "found": 360})
    made = sheet(tmp_path, agreement=Margins(comparable={"RADCHEST": REASON}), table="labels")
    shown = {row[3]: row[HEADINGS.index("Its 95 %")] for row in made.rows}
    assert shown["RADCHEST cabg"] == "[0.6570, 0.8390]"
    assert set(shown) == {"RADCHEST cabg", "RADCHEST honeycombing", "RADCHEST pacemaker_or_defib"}


def test_an_unknown_scope_is_refused(tmp_path):
    record_cell(tmp_path, *SHARED, small(360, 0))
    with pytest.raises(UniferumError, match=r"--against .papers. must be a known set of values; did you mean 'paper'"):
        sheet(tmp_path, "papers")


def test_the_registry_holds_the_papers_values_once_and_the_others_with_what_is_known():
    values = registry()
    paper = [one for one in values if one.row is not None]
    assert len(paper) == 141
    assert len({(one.row, one.test_set.cohort, one.group, one.label, one.metric) for one in paper}) == 141
    by_p = {one.label: one.p for one in paper if one.p is not None}
    assert by_p == {"1_month_mortality": 0.20, "6_month_mortality": 0.03, "12_month_mortality": 0.02}
    embolism = {one.system: one.value for one in paper if one.label == "pulmonary_embolism"}
    assert embolism == {"Uniferum (PubMedBERT)": 0.648, "CNN+Transformer": 0.721}
    newer = {(one.system.split(" (")[0], one.test_set.cohort, one.metric): one.value for one in values[141:]}
    assert newer["RevCT v0.3.2", "CTRATE", "auroc"] == 0.8715
    assert newer["RevCT v0.3.2", "CTRATE", "macro F1"] == 0.6154
    assert newer["GreenRFM", "CTRATE", "auroc"] == 0.848
    assert newer["More performant and scalable", "CTRATE", "auroc"] == 0.838
    assert newer["More performant and scalable", "RADCHEST", "auroc"] == 0.773
    assert newer["ORACLE-CT", "CTRATE", "auroc"] == 0.86
    sets = {one.system: one.test_set.n for one in paper if one.row[0].startswith("ct_")}
    assert set(sets.values()) == {3039}


@pytest.fixture(scope="module")
def content():
    return yaml.safe_load(PATH.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"test_set": "ctrate-3003"}, "name a test set of test_sets, not 'ctrate-3003'"),
        ({"group": "unique"}, "name a group of CTRATE"),
        ({"group": None, "label": "honeycombing"}, "name a label of CTRATE"),
        ({"label": "emphysema"}, "one of group, label and other_labels"),
        ({"value": 83.8}, "less than 1"),
        ({"date": "March 2026"}, "match pattern"),
        ({"interval": [0.9, 0.95]}, "lie within its interval"),
        ({"n": 3002}, "known key"),
    ],
)
def test_a_damaged_row_of_the_registry_is_refused(content, change, said):
    rows = [{**content["rows"][0], **change}, *content["rows"][1:]]
    with pytest.raises(UniferumError, match=said):
        parse(RegistryFile, {**content, "rows": rows}, source="registry.yaml")


def test_a_row_without_labels_may_be_written_and_counts_as_unknown(tmp_path):
    path = tmp_path / "registry.yaml"
    path.write_text(PATH.read_text(encoding="utf-8").replace("    group: all\n", "", 1))
    (value,) = [one for one in registry(path) if one.value == 0.8715]
    assert not value.labels_known
    assert own_fault(value) == "which labels it is of is not known"


def test_a_line_of_the_papers_numbers_without_labels_is_never_judged(tmp_path, monkeypatch):
    text = published_module.PATH.read_text(encoding="utf-8").replace(
        "CTRATE,CTRATE,all,0.8296", "CTRATE,CTRATE,,0.8296", 1
    )
    (tmp_path / "numbers.csv").write_text(text)
    lines = published_module.published(tmp_path / "numbers.csv")
    monkeypatch.setattr("uniferum.report.registry.published", lambda: lines)
    content = tmp_path / "registry.yaml"
    content.write_text(PATH.read_text(encoding="utf-8"))
    values = registry(content)
    record_cell(tmp_path, "CTRATE", "all", 3002, ct_rate(3002, 0))
    made = sheet(tmp_path, "paper", values=values)
    assert made.rows == []
    assert "The paper's 1 on CTRATE: not comparable: which labels it is of is not known." in made.below


def test_a_value_that_compares_with_one_cell_alone_has_a_place_and_a_line(tmp_path):
    record_cell(tmp_path, "CTRATE", "all", 3002, ct_rate(3002, 0))
    other = record_cell(tmp_path, "CTRATE", "all", 3002, {"kind": "own", "seed": 3, "found": 3002}, seed=1)
    result = json.loads((other / "result.json").read_text())
    result |= {"name": "uniferum-pubmedbert-CTRATE+SEG-seed1", "train_on": ["CTRATE", "SEG"]}
    (other / "result.json").write_text(json.dumps(result))
    made = sheet(tmp_path)
    assert [row[2] for row in made.rows if row[SYSTEM].startswith("RevCT")] == ["CTRATE"]
    assert "AUROC 0.8715 on CTRATE all: not comparable: not the paper's split (own, seed 3)." in line_of(
        made, "RevCT v0.3.2 (frozen COLIPRI with learnt heads), AUROC"
    )
