"""Verdicts on numbers whose distance from the paper's is known."""

import math
from pathlib import Path

import pytest

from uniferum.report.checks.margins import Margins
from uniferum.report.checks.uncertainty import Z95
from uniferum.report.checks.verdict import judge, uncertainty
from uniferum.report.checks.verdict_table import verdict_sheet
from uniferum.report.records import CellRecord
from uniferum.report.tables.entries import Entry, ReportTable
from uniferum.report.tables.seed_spread import SeedSpread

ROW, COLUMN = ("uniferum", "pubmedbert", "CTRATE"), ("CTRATE", "all")
MARGINS = Margins({"auroc": 0.02})
WHOLE = {"kind": "official", "papers": True, "expected": 3002, "found": 3002}
CELL = CellRecord("cell", *ROW[:2], ("CTRATE",), 0, Path(), {"test_splits": {"CTRATE": WHOLE}, "groups": []})


def judged(agreement=MARGINS, **facts):
    known = {"value": 0.83, "lo": 0.82, "hi": 0.84, "seeds": 1, "n_labels": 18, "n_labels_total": 18, "n_cases": 3002}
    entry = Entry(published=0.8296, cells=("cell",), **{**known, **facts})
    (one,) = judge(ReportTable("auroc", "t", "auroc", (ROW,), (COLUMN,), {(ROW, COLUMN): entry}), agreement, [CELL])
    return one


def test_an_interval_inside_the_margin_is_a_reproduction():
    assert judged().word == "reproduced"


@pytest.mark.parametrize(("value", "lo", "hi"), [(0.75, 0.74, 0.76), (0.90, 0.89, 0.91)])
def test_an_interval_outside_the_margin_differs(value, lo, hi):
    assert judged(value=value, lo=lo, hi=hi).word == "differs"


def test_an_interval_across_the_margin_says_how_many_cases_would_decide():
    # Distance from 0.8296 to the edge: 0.02 - 0.01 = 0.01. Half width: 0.02 over cases, Student's t (5) times the
    # spread over seeds, 0.0021 (the paper's six pairs of encoders).
    half_squared = 0.02**2 + (2.5706 * 0.0021179) ** 2
    one = judged(value=0.8396, lo=0.8196, hi=0.8596, n_cases=3002)
    assert one.word == "inconclusive"
    assert f"about {math.ceil(3002 * half_squared / 0.01**2)} test volumes" in one.because
    assert "one seed" in one.because


def test_several_seeds_are_counted():
    assert "seeds (there are 3)" in judged(value=0.8396, lo=0.8196, hi=0.8596, seeds=3, spread=0.01).because


def test_synthetic_data_never_compares():
    assert judged(Margins({"auroc": 0.02}, synthetic=True)).word == "not comparable"
    assert judged(Margins({"auroc": 0.02}, True, {"CTRATE": "because"})).word == "not comparable"


@pytest.mark.parametrize("facts", [{"n_cases": 100}, {"n_labels": 17, "n_labels_total": 17}])
def test_another_split_or_label_list_compares_only_with_a_reason_in_the_grid_file(facts):
    assert judged(**facts).word == "not comparable"
    one = judged(Margins({"auroc": 0.02}, comparable={"CTRATE": "a random half of it"}), **facts)
    assert one.word == "reproduced"
    assert "a random half of it" in one.because


def test_without_a_margin_given_beforehand_nothing_is_reproduced():
    assert judged(Margins()).word == "inconclusive"


def test_the_most_specific_margin_counts():
    margins = {"auroc": 0.001, "CTRATE all": 0.002, "auroc CTRATE all": 0.05}
    assert judged(Margins(margins)).margin == 0.05
    assert Margins({"auroc": 0.1, "CTRATE all": 0.2}).margin("auroc", "CTRATE", "all") == 0.2
    assert Margins({"auroc": 0.1}).margin("aupr", "CTRATE", "all") is None


def test_a_place_without_a_number_is_missing():
    one = judged(value=math.nan, missing="failed: no memory")
    assert (one.word, one.because) == ("missing", "failed: no memory")


def test_verdicts_are_counted():
    sheet = verdict_sheet([judged(), judged(value=0.7, lo=0.69, hi=0.71)], "auroc")
    assert sheet.below[0] == "Of 2 published numbers: 1 reproduced, 1 differs."
    assert "Of chance alone, over 2 tests" in sheet.below[1]
    assert "own errors of the paper's means are unknown" in sheet.below[-1]


def test_a_label_is_judged_beside_the_papers_number_of_it():
    entry = Entry(value=0.75, lo=0.74, hi=0.76, seeds=1, n_labels=1, n_labels_total=1, n_cases=360, published=0.748)
    row, column = ("RADCHEST", "unique", "cabg"), ROW
    facts = {"row_facts": ("cohort", "group", "label"), "column_facts": ("model", "text_encoder", "train_on")}
    table = ReportTable("labels", "t", "auroc", (row,), (column,), {(row, column): entry}, **facts)
    reasons = {"RADCHEST": "the paper gives sizes alone"}
    (wide,) = judge(table, Margins({"auroc": 0.001, "RADCHEST cabg": 0.08}, comparable=reasons), [])
    assert (wide.row, wide.column, wide.word) == (ROW, ("RADCHEST", "cabg"), "reproduced")
    (one,) = judge(table, Margins({"auroc": 0.001, "RADCHEST cabg": 0.02}, comparable=reasons), [])
    assert one.word == "inconclusive", "the paper's own interval is ±0.091"
    assert "the paper's own interval ±0.091 is counted" in one.because


def test_an_interval_of_average_precision_is_measured_from_its_corrected_centre():
    entry = Entry(value=0.80, corrected=0.75, lo=0.70, hi=0.80, seeds=1, n_cases=40)
    facts = dict(zip(("model", "text_encoder", "train_on", "cohort", "group"), (*ROW, *COLUMN), strict=True))
    error, _ = uncertainty(entry, facts, "aupr", SeedSpread(), [])
    assert (error.below * Z95, error.above * Z95) == pytest.approx((0.05, 0.05))


def test_a_label_with_few_positives_is_inconclusive_and_says_so():
    one = judged(lo=math.nan, hi=math.nan, reason="too few positives (3)")
    assert (one.word, one.because.split(";")[0]) == ("inconclusive", "no interval: too few positives (3)")
