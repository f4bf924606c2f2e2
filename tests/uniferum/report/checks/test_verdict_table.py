"""Verdicts by the split, scans and labels in the files of a recorded cell."""

import json

import pytest

from tests.support.recorded_cells import DRAWN, GONE, OFFICIAL, REASON, SHARED, ct_rate, record_cell, small
from uniferum.errors import UniferumError
from uniferum.report.checks.examine import examine
from uniferum.report.checks.margins import Margins
from uniferum.report.checks.verdict import judge
from uniferum.report.read_records import from_folders
from uniferum.report.tables.catalogue import make_table

MARGINS = {"auroc": 0.3}


def verdict(root, agreement=None):
    records = from_folders(root)
    (one,) = judge(make_table("auroc", records, []), agreement or Margins(MARGINS), records)
    return one


JUDGED = "reproduced"
NOT = "not comparable"


@pytest.mark.parametrize(
    ("group", "word", "facts", "expected", "said"),
    [
        (("CTRATE", "all", 3002), ct_rate(3002, 0), {}, JUDGED, ""),
        (("CTRATE", "all", 2985), ct_rate(2985, 17), {}, JUDGED, f"17 scans absent ({', '.join(GONE)}, ...)"),
        (("CTRATE", "all", 2900), ct_rate(2900, 102), {}, NOT, "102 scans absent of 3002"),
        (SHARED, small(360, 0), {"one_class": ["emphysema"]}, JUDGED,
         "judged on 6 of 7 labels, without emphysema (no positive case)"),
        (("RADCHEST", "unique", 360), {**DRAWN, "expected": 360, "found": 360}, {}, NOT,
         "not the paper's split (paper_sized, seed 7)"),
        (("RADCHEST", "unique", 915), {"kind": "official", "expected": 360, "found": 915}, {}, NOT,
         "not the paper's split (official)"),
        (("RADCHEST", "unique", 360), {**DRAWN, "expected": 360, "found": 360},
         {"one_class": ["hemothorax"], "comparable": REASON}, JUDGED,
         f"compared because: {REASON}; judged on 31 of 32 labels, without hemothorax (no positive case)"),
        (("INSPECT", "unique", 3000), {**DRAWN, "expected": 3000, "found": 3000}, {}, NOT,
         "not the paper's split (paper_sized, seed 7)"),
        (("INSPECT", "unique", 3000), {**DRAWN, "expected": 3000, "found": 3000}, {"comparable": REASON}, JUDGED,
         f"not the paper's split (paper_sized, seed 7); compared because: {REASON}"),
        (("INSPECT", "shared", 812), {**DRAWN, "expected": 3000, "found": 3000}, {}, NOT, "not the paper's split"),
        (("INSPECT", "shared", 812), {**DRAWN, "expected": 3000, "found": 3000}, {"comparable": REASON}, JUDGED,
         "N = 812, the known labels of 3000 scans"),
        (("CTRATE", "all", 3002), ct_rate(3002, 0, phantoms=True), {"comparable": REASON}, NOT, "phantoms"),
        (("CTRATE", "all", 3002), ct_rate(3002, 0), {"synthetic": True, "comparable": REASON}, NOT, "phantoms"),
        # Not in the table: a cohort of 360 scans whose split were the paper's, and odd words.
        (SHARED, None, {}, NOT, "unknown split"),
        (SHARED, None, {"comparable": REASON}, JUDGED, f"compared because: {REASON}"),
        ((*SHARED[:2], 357), small(357, 3), {}, JUDGED, "3 scans absent"),
        ((*SHARED[:2], 357), small(357, 1), {}, NOT, "3 scans absent, 2 of them unknown by name"),
        ((*SHARED[:2], 356), small(356, 4), {}, NOT, "4 scans absent of 360 (judged up to 1%)"),
        (SHARED, small(357, 3), {}, NOT, "scored on 360 scans, more than the 357 of the recorded split"),
        (SHARED, small(360, 1), {}, NOT, "1 scans that the paper's split of 360 does not have"),
        ((*SHARED[:2], 357), small(360, 0), {}, JUDGED, "3 scans without a known label"),
        ((*SHARED[:2], 356), small(357, 3), {}, NOT, "3 scans absent, 1 without a known label of 360"),
        (SHARED, small(360, 0), {"one_class": ["emphysema", "atelectasis"]}, NOT,
         "scored on 5 of 7 labels, without atelectasis (no positive case), emphysema (no positive case)"),
        (SHARED, small(360, 0), {"unscored": ["emphysema"]}, NOT,
         "scored on 6 of 7 labels, without emphysema (no case with a known value)"),
        (SHARED, {"kind": "own", "note": "the first of each", "expected": 360, "found": 360}, {}, NOT,
         "not the paper's split (own: the first of each)"),
    ],
)  # fmt: skip
def test_a_cell_is_judged_by_what_its_record_says_of_split_scans_and_labels(
    tmp_path, group, word, facts, expected, said
):
    record_cell(tmp_path, *group, word, one_class=facts.get("one_class", ()), unscored=facts.get("unscored", ()))
    comparable = {group[0]: facts["comparable"]} if "comparable" in facts else {}
    one = verdict(tmp_path, Margins(MARGINS, facts.get("synthetic", False), comparable))
    assert one.word == expected, one.because
    assert said in one.because


def test_a_whole_official_split_is_judged_without_a_remark(tmp_path):
    record_cell(tmp_path, *SHARED, small(360, 0))
    assert verdict(tmp_path).because.startswith("the 90 % interval of the difference")
    assert ";" not in verdict(tmp_path, Margins(MARGINS, comparable={"CTRATE": REASON})).because, "no reason was needed"


def test_the_word_of_the_prediction_file_counts_where_the_record_has_none(tmp_path):
    record_cell(tmp_path, "RADCHEST", "shared", 357, small(357, 3), in_result=False)
    assert "3 scans absent" in verdict(tmp_path).because


def test_one_seed_on_another_split_makes_the_mean_incomparable(tmp_path):
    record_cell(tmp_path, *SHARED, small(360, 0))
    record_cell(tmp_path, *SHARED, {"kind": "own", "seed": 3, "found": 360}, seed=1)
    assert (verdict(tmp_path).word, verdict(tmp_path).because) == (NOT, "not the paper's split (own, seed 3)")


def test_claims_rest_on_the_same_words_and_print_the_same_reasons(tmp_path):
    record_cell(tmp_path, "RADCHEST", "unique", 360, {**DRAWN, "expected": 360, "found": 360})
    records = from_folders(tmp_path)

    def verdict(agreement):
        return next(
            one for one in examine(records, agreement) if one.check.label == "cabg" and one.check.kind == "near"
        )

    plain, reasoned = verdict(Margins(MARGINS)), verdict(Margins(MARGINS, comparable={"RADCHEST": REASON}))
    assert (plain.verdict, plain.incomparable) == (NOT, "not the paper's split (paper_sized, seed 7)")
    assert reasoned.verdict == "holds"
    assert f"compared because: {REASON}" in reasoned.because


def test_the_protocol_says_which_split_it_is_and_who_is_absent(tmp_path):
    record_cell(tmp_path, "CTRATE", "all", 2985, ct_rate(2985, 17))
    lines = make_table("auroc", from_folders(tmp_path), []).protocol
    expected = f"official, 2985 scans, the paper's has 3002; 17 absent (17 missing): {', '.join(GONE)}, ..."
    assert f"CTRATE test split: {expected}." in lines


@pytest.mark.parametrize(
    ("word", "field"),
    [
        ({"kind": "borrowed", "found": 3002}, "CTRATE: kind"),
        ({**OFFICIAL, "found": -1}, "found"),
        ({"kind": "official", "papers": True, "found": 360}, "expected"),
        ("official", "CTRATE .official. must be a mapping"),
    ],
)
def test_a_damaged_word_is_refused_by_file_and_field(tmp_path, word, field):
    folder = record_cell(tmp_path, *SHARED, small(360, 0))
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, "test_splits": {"CTRATE": word}}))
    with pytest.raises(UniferumError, match=field):
        verdict(tmp_path)
