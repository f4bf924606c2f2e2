"""The paper's claims on cells that fulfil them, break them, or lack what they need."""

import math
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError
from uniferum.report.checks.claims import CLAIMS, CT, RAD, Check, Claim, cell
from uniferum.report.checks.claims_table import claims_sheet
from uniferum.report.checks.examine import examine
from uniferum.report.checks.margins import Margins
from uniferum.report.checks.readings import Tested, combined, reading
from uniferum.report.published import find
from uniferum.report.read_records import from_folders

COHORTS = {name: "a test" for name in ("CTRATE", "INSPECT", "RADCHEST")}
WIDE = Margins({"auroc": 0.3}, comparable=COHORTS)


def with_margin(margin):
    return Margins({"auroc": margin}, comparable=COHORTS)


def outcome(root, *checks, agreement=WIDE, **options):
    return [one.verdict for one in examine(from_folders(root), agreement, claims=[Claim(1, "t", checks)], **options)]


GAIN = Check("gain", cell("CTRATE+SEG"), CT, cell("CTRATE"))


def test_a_clear_gain_holds_and_a_clear_loss_contradicts(cells, tmp_path):
    cells("CTRATE", strength=0.0)
    cells("CTRATE+SEG", strength=3.0)
    loss = Check("gain", cell("CTRATE"), CT, cell("CTRATE+SEG"))
    assert outcome(tmp_path, GAIN) == ["holds"]
    assert outcome(tmp_path, loss) == ["contradicted"]


def test_a_small_difference_is_no_gain_but_can_be_no_change(cells, tmp_path):
    cells("CTRATE", strength=1.5)
    cells("CTRATE+SEG", strength=1.5)
    same = Check("same", cell("CTRATE+SEG"), CT, cell("CTRATE"))
    assert outcome(tmp_path, GAIN) == ["inconclusive"]
    assert outcome(tmp_path, same) == ["holds"]
    narrow = Margins({"auroc": 0.001}, comparable=WIDE.comparable)
    assert outcome(tmp_path, same, agreement=narrow) == ["inconclusive"]


def test_values_are_held_against_printed_numbers(cells, tmp_path):
    cells("CTRATE", strength=3.0)
    high, low = Check("above", cell("CTRATE"), CT, printed=0.5), Check("below", cell("CTRATE"), CT, printed=0.5)
    label = Check("above", cell("CTRATE"), RAD, label="honeycombing", printed=0.5)
    assert outcome(tmp_path, high, low, label) == ["holds", "contradicted", "holds"]


def test_significance_counts_in_the_papers_direction_alone(cells, tmp_path):
    cells("CTRATE", strength=0.0)
    cells("CTRATE+SEG", strength=3.0)
    gain, loss = (
        Check("significant", cell("CTRATE+SEG"), RAD, cell("CTRATE"), "honeycombing", printed)
        for printed in (0.061, -0.061)
    )
    assert outcome(tmp_path, gain, loss) == ["holds", "contradicted"]


def test_a_difference_that_is_not_significant_decides_nothing(cells, tmp_path):
    cells("CTRATE", strength=1.0)
    cells("CTRATE+SEG", strength=1.0)
    no = Check("not significant", cell("CTRATE+SEG"), RAD, cell("CTRATE"), "honeycombing", 0.02)
    (finding,) = examine(from_folders(tmp_path), with_margin(0.02), claims=[Claim(1, "t", (no,))])
    assert finding.p > 0.05
    assert finding.verdict == "inconclusive"
    assert outcome(tmp_path, no, agreement=with_margin(0.9)) == ["holds"]


def test_a_label_with_too_few_positive_patients_has_no_test(cells, tmp_path):
    for mix in ("CTRATE", "CTRATE+SEG"):
        path = cells(mix, strength=3.0) / "predictions.parquet"
        table = pd.read_parquet(path)
        label = table["label"] == "honeycombing"
        table.loc[label, "target"] = (table.loc[label, "scan_id"].astype(int) < 4).astype(float)
        table.to_parquet(path)
    check = Check("significant", cell("CTRATE+SEG"), RAD, cell("CTRATE"), "honeycombing", 0.06)
    (result,) = examine(from_folders(tmp_path), WIDE, claims=[Claim(1, "t", (check,))])
    assert (result.verdict, result.because) == ("inconclusive", "too few positives (2)")
    assert math.isnan(result.p)


SIZE = Check("gain", cell("CTRATE+SEG"), CT, cell("CTRATE"), printed=0.0415, size=0.04)
SAME = Check("same", cell("CTRATE+SEG"), CT, cell("CTRATE"))
NO_GAIN = Check("no gain", cell("CTRATE+SEG"), CT, cell("CTRATE"))


@pytest.mark.parametrize(
    ("difference", "error", "expected"),
    [
        (0.045, 0.005, "holds"),
        (0.001, 0.0003, "contradicted"),  # significant, but 0.1 points are not 4
        (-0.030, 0.005, "contradicted"),  # a significant loss
        (0.030, 0.030, "inconclusive"),
        (0.018, 0.005, "inconclusive"),  # significant, less than half of the size, which the interval does not exclude
    ],
)
def test_direction_and_size_of_a_gain_count(difference, error, expected):
    tested = Tested(difference, error)
    assert reading(SIZE, tested, tested.p, 0.02) == expected


@given(st.floats(-0.1, 0.1), st.floats(1e-5, 0.1), st.floats(0.001, 0.2), st.sampled_from([0.01, 0.04]))
def test_same_and_lift_never_hold_both(difference, error, margin, size):
    tested = Tested(difference, error)
    lift = reading(replace(SIZE, size=size), tested, tested.p, margin)
    assert (lift, reading(SAME, tested, tested.p, margin)) != ("holds", "holds")
    assert (lift, reading(NO_GAIN, tested, tested.p, margin)) != ("holds", "holds")


def test_a_loss_does_not_contradict_that_there_is_no_gain():
    loss, gain = Tested(-0.08, 0.005), Tested(0.08, 0.005)
    assert [reading(NO_GAIN, one, one.p, 0.02) for one in (loss, gain)] == ["holds", "contradicted"]
    assert [reading(SAME, one, one.p, 0.02) for one in (loss, gain)] == ["contradicted", "contradicted"]


def test_errors_over_cases_and_seeds_add_with_their_degrees_of_freedom():
    assert combined(0.1, cases=3.0, of_cases=math.inf, seeds=4.0, of_seeds=5).error == 5.0
    assert combined(0.1, cases=0.0, of_cases=math.inf, seeds=4.0, of_seeds=5).freedom == pytest.approx(5)
    assert combined(0.1, cases=3.0, of_cases=math.inf, seeds=0.0, of_seeds=5).freedom == math.inf


def test_all_seeds_decide_and_their_spread_is_printed(cells, tmp_path):
    for seed, strength in enumerate((3.0, 0.0, 0.0)):
        cells("CTRATE", seed=seed, strength=0.0)
        cells("CTRATE+SEG", seed=seed, strength=strength)
    (finding,) = examine(from_folders(tmp_path), WIDE, claims=[Claim(1, "t", (GAIN,))])
    assert finding.seeds == (0, 1, 2)
    assert max(finding.by_seed) - min(finding.by_seed) > 0.2
    assert finding.ours == pytest.approx(sum(finding.by_seed) / 3)
    assert finding.verdict == "inconclusive", "the first seed alone is a gain"
    (row,) = claims_sheet([finding]).rows
    assert any(text.startswith("3 (") for text in row)


def test_the_base_and_what_is_adjusted_are_printed_and_no_p_is_zero(cells, tmp_path):
    cells("CTRATE", strength=0.0)
    cells("CTRATE+SEG", strength=6.0)
    sheet = claims_sheet(examine(from_folders(tmp_path), WIDE, claims=[Claim(1, "t", (GAIN, SAME))]))
    facts = [dict(zip(sheet.headings, row, strict=True)) for row in sheet.rows]
    assert "CTRATE" in facts[0]["Base"]
    assert "BiomedBERT" in facts[0]["Base"]
    assert facts[0]["p"] == "<0.0001"
    assert "Holm over the 1 gains" in facts[0]["Because"]
    assert (facts[1]["p adjusted"], "not adjusted" in facts[1]["Because"]) == ("-", True)


def test_a_row_without_a_cell_at_the_defaults_is_not_the_papers(cells, tmp_path):
    cells("CTRATE", strength=0.0)
    cells("CTRATE+SEG", strength=3.0, axes={"lr": "1e-4"})
    (finding,) = examine(from_folders(tmp_path), WIDE, claims=[Claim(1, "t", (GAIN,))])
    assert (finding.verdict, "at the grid's defaults, only lr=1e-4" in finding.because) == ("missing", True)
    cells("CTRATE+SEG", strength=3.0)
    assert outcome(tmp_path, GAIN) == ["holds"]


def test_synthetic_data_never_compares_and_still_shows_what_it_would_read(cells, tmp_path):
    cells("CTRATE", strength=0.0)
    cells("CTRATE+SEG", strength=3.0)
    examined = examine(from_folders(tmp_path), Margins(synthetic=True), claims=[Claim(1, "t", (GAIN,))])
    assert examined[0].verdict == "not comparable"
    assert "would read: holds (phantoms)" in claims_sheet(examined).rows[0][-1]


def test_an_absent_cell_is_missing_by_name(cells, tmp_path):
    cells("CTRATE")
    (examined,) = examine(from_folders(tmp_path), WIDE, claims=[Claim(1, "t", (GAIN,))])
    assert examined.verdict == "missing"
    assert "CTRATE+SEG" in examined.because


def test_cells_scored_on_different_cases_are_refused_by_name(cells, tmp_path):
    cells("CTRATE")
    folder = cells("CTRATE+SEG")
    table = pd.read_parquet(folder / "predictions.parquet")
    table[table["volume_id"] != "CTRATE/3"].to_parquet(folder / "predictions.parquet")
    with pytest.raises(UniferumError, match="CTRATE/3"):
        outcome(tmp_path, GAIN)
    assert outcome(tmp_path, GAIN, common=True) == ["inconclusive"]


def test_every_claim_of_the_paper_is_put_and_summed_up(cells, tmp_path):
    cells("CTRATE")
    examined = examine(from_folders(tmp_path), WIDE)
    assert [claim.number for claim in dict.fromkeys(one.claim for one in examined)] == list(range(1, 10))
    assert [line[:7] for line in claims_sheet(examined).below[1:]] == [f"Claim {number}" for number in range(1, 10)]


def test_the_printed_differences_are_those_of_the_published_tables():
    for claim in CLAIMS:
        for check in claim.checks:
            if check.base is None or check.printed is None:
                continue
            where = (check.column[0], check.label or check.column[1])
            ours, base = find("auroc", check.row, *where), find("auroc", check.base, *where)
            assert check.printed == pytest.approx(ours.value - base.value, abs=1e-9), check


def test_claim_7_is_whole_with_what_the_papers_own_table_contradicts():
    claims = {claim.number: claim for claim in CLAIMS}
    of_both = [
        [
            (check.kind, check.row[2], check.base and check.base[2], check.column)
            for number in numbers
            for check in claims[number].checks
        ]
        for numbers in ((3, 4, 5, 1, 8), (7,))
    ]
    assert of_both[0] == of_both[1]
    against = [(c.row[2], c.column, c.printed) for c in claims[7].checks if c.kind == "gain" and (c.printed or 0) < 0]
    expected = ("CTRATE+RADCHEST", ("INSPECT", "shared"), -0.0073), ("CTRATE+RADCHEST", ("INSPECT", "unique"), -0.0158)
    assert against[:2] == list(expected)
    assert {mix for mix, _, _ in against[2:]} <= {"CTRATE+SEG", "CTRATE+INSPECT+SEG", "CTRATE+RADCHEST+SEG"}


def test_every_check_names_what_it_compares_with():
    unnamed = [one for claim in CLAIMS for one in claim.checks if one.kind in ("above", "below") and not one.other]
    assert unnamed == []


def test_claim_6_has_all_three_pairs():
    (claim,) = (one for one in CLAIMS if one.number == 6)
    assert [check.printed for check in claim.checks] == [-0.0124, -0.0038, 0.0011]


def test_every_label_of_a_claim_is_in_the_vocabulary_under_its_column():
    groups = Vocabulary.load().groups
    labels = [(check.column, check.label) for claim in CLAIMS for check in claim.checks if check.label]
    assert [label for column, label in labels if label not in groups[column]] == []
