"""The paper's claims on cells that fulfil them, break them, or lack what they need."""

import pandas as pd
import pytest

from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError
from uniferum.report.checks.claims import CLAIMS, CT, RAD, Check, Claim, cell
from uniferum.report.checks.examine import claims_sheet, examine
from uniferum.report.checks.margins import Margins
from uniferum.report.published import find
from uniferum.report.records import from_folders

WIDE = Margins({"auroc": 0.3}, comparable={name: "a test" for name in ("CTRATE", "INSPECT", "RADCHEST")})


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


def test_a_claim_about_significance_is_tested_as_printed(cells, tmp_path):
    cells("CTRATE", strength=0.0)
    cells("CTRATE+SEG", strength=3.0)
    yes = Check("significant", cell("CTRATE+SEG"), RAD, cell("CTRATE"), "honeycombing")
    no = Check("not significant", cell("CTRATE+SEG"), RAD, cell("CTRATE"), "honeycombing")
    assert outcome(tmp_path, yes, no) == ["holds", "contradicted"]


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
    assert len(claims_sheet(examined).below) == 9


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
            (check.kind, check.row[2], check.base[2], check.column)
            for number in numbers
            for check in claims[number].checks
        ]
        for numbers in ((3, 4, 5), (7,))
    ]
    assert of_both[0] == of_both[1]
    against = [(c.row[2], c.column, c.printed) for c in claims[7].checks if c.kind == "gain" and (c.printed or 0) < 0]
    assert against == [
        ("CTRATE+RADCHEST", ("INSPECT", "shared"), -0.0073),
        ("CTRATE+RADCHEST", ("INSPECT", "unique"), -0.0158),
    ]


def test_every_label_of_a_claim_is_in_the_vocabulary_under_its_column():
    groups = Vocabulary.load().groups
    labels = [(check.column, check.label) for claim in CLAIMS for check in claim.checks if check.label]
    assert [label for column, label in labels if label not in groups[column]] == []
