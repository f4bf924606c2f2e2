"""Paired tests between two text encoders: pairs of cells, tests, and claim 7 for both."""

from dataclasses import replace
from functools import partial

import pytest

from tests.support.written_cells import write_cell
from uniferum.errors import UniferumError
from uniferum.evaluation.comparison import align, group_difference
from uniferum.report.checks.encoder_pairs import chosen, encoder_sheets, paired
from uniferum.report.checks.margins import Margins
from uniferum.report.read_records import from_folders

WIDE = Margins({"auroc": 0.3}, comparable={name: "a test" for name in ("CTRATE", "INSPECT", "RADCHEST")})
SIX = [f"CTRATE{more}{seg}" for more in ("", "+INSPECT", "+RADCHEST") for seg in ("", "+SEG")]


def write(cells, encoders, mixes, strengths=(0.5, 2.0)):
    for encoder, strength in zip(encoders, strengths, strict=True):
        for mix in mixes:
            cells(mix, encoder=encoder, strength=strength, draws=2)


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    """The paper's two encoders on all six mixes, PubMedBERT alone on one more."""
    root = tmp_path_factory.mktemp("grid")
    write(partial(write_cell, root), ("pubmedbert", "gatortron"), SIX)
    write_cell(root, "INSPECT", draws=2)
    return from_folders(root)


@pytest.fixture(scope="module")
def sheets(papers):
    return encoder_sheets(papers, WIDE)


def test_the_six_mixes_are_paired_and_tested_on_the_same_cases(papers, sheets):
    means, labels, pattern = sheets
    assert [row[0] for row in means.rows[::5]] == SIX
    cells = {one.row: one for one in papers}
    sides = {word: cells["uniferum", word, "CTRATE+SEG"].predictions() for word in ("pubmedbert", "gatortron")}
    wanted = group_difference(align(sides), ("CTRATE", "all"))
    row = next(row for row in means.rows if row[:3] == ["CTRATE+SEG", "CTRATE", "all"])
    assert row[4:8] == [
        f"{wanted.first:.4f}",
        f"{wanted.second:.4f}",
        f"{wanted.test.difference:+.4f}",
        f"[{wanted.test.lo:+.4f}, {wanted.test.hi:+.4f}]",
    ]
    assert "Without a pair: INSPECT." in means.below
    assert {row[3] for row in labels.rows} >= {"lung_nodule", "pe_positive", "honeycombing"}
    assert len(pattern.rows) == 20


def test_means_of_all_pairs_are_one_family_of_tests(sheets):
    means, labels, _ = sheets
    for rows in (means.rows, labels.rows):
        p = sorted(float(row[8].full) for row in rows)
        smallest = min(rows, key=lambda row: float(row[8].full))
        assert float(smallest[9].full) == pytest.approx(min(1.0, len(p) * p[0]))
    assert f"Adjusted within {len(means.rows)} means and within {len(labels.rows)} labels." in means.below[2]


def test_the_papers_differences_stand_beside_its_own_encoders_only(papers, sheets):
    means, _, pattern = sheets
    ours = {tuple(row[:3]): row[-1] for row in means.rows}
    assert ours["CTRATE+RADCHEST", "INSPECT", "unique"] == f"{0.5714 - 0.5929:+.4f}"
    row = next(r for r in pattern.rows if r[0].startswith("gain, CTRATE+RADCHEST against") and r[1] == "INSPECT unique")
    assert (row[2], row[7]) == ("+0.0121", "-0.0158")
    contradicted = next(line for line in pattern.below if "own table contradicts" in line)
    assert "CTRATE+RADCHEST on INSPECT shared (-0.0073), CTRATE+RADCHEST on INSPECT unique (-0.0158)" in contradicted
    of_phantoms = encoder_sheets([replace(one, phantoms=True) for one in papers], WIDE)
    assert all(sheet.title.endswith("(phantoms)") for sheet in of_phantoms)
    assert {row[-1] for row in of_phantoms[0].rows} == {"-"}
    assert {row[2] for row in of_phantoms[2].rows} == {"-"}
    assert "Not comparable with the paper: phantoms." in of_phantoms[2].below


def test_any_two_encoders_are_compared_and_those_of_three_that_are_named(cells, tmp_path):
    write(cells, ("small", "wide"), ["CTRATE"])
    records = from_folders(tmp_path)
    means, _, pattern = encoder_sheets(records, WIDE)
    assert means.title == "tiny-64 (first) against tiny-96 (second): group means"
    assert {row[-1] for row in means.rows} == {"-"}
    assert {row[-1] for row in pattern.rows} == {"-"}  # the cells that the claim needs are not there
    write(cells, ("gatortron",), ["CTRATE"], (1.0,))
    more = from_folders(tmp_path)
    with pytest.raises(UniferumError, match=r"UFNLP/gatortron-base, tiny-64, tiny-96.*--encoder"):
        encoder_sheets(more, WIDE)
    assert chosen(more, ["tiny-96", "UFNLP/gatortron-base"]) == ("tiny-96", "gatortron")


@pytest.mark.parametrize(
    ("encoders", "names", "words"),
    [
        ((), [], r"--compare-encoders \(none\) must have two text encoders"),
        (("small",), [], r"--compare-encoders \(tiny-64\) must have two text encoders"),
        (("small", "wide"), ["tiny-64"], r"--compare-encoders \(tiny-64\) must have two.*give --encoder twice"),
        (("small", "wide"), ["tiny-64", "tiny-69"], r"--encoder \(tiny-69\).*did you mean"),
    ],
)
def test_what_is_not_two_encoders_is_refused_in_one_line(cells, tmp_path, encoders, names, words):
    cells("INSPECT", model="cnn", encoder="", draws=2)
    write(cells, encoders, ["CTRATE"], (1.0,) * len(encoders))
    with pytest.raises(UniferumError, match=words) as caught:
        encoder_sheets(from_folders(tmp_path), WIDE, names)
    assert "\n" not in str(caught.value)


def test_encoders_that_share_no_training_are_refused(cells, tmp_path):
    write(cells, ("small",), ["CTRATE"], (1.0,))
    write(cells, ("wide",), ["INSPECT"], (1.0,))
    with pytest.raises(UniferumError, match="share a training mix and seed"):
        encoder_sheets(from_folders(tmp_path), WIDE)


def test_a_pair_is_of_one_seed(cells, tmp_path):
    for encoder, seeds in (("small", (0, 2)), ("wide", (1, 2))):
        for seed in seeds:
            cells("CTRATE", encoder=encoder, seed=seed, draws=2)
    pairs, _ = paired(from_folders(tmp_path), ("tiny-64", "tiny-96"))
    assert [(pair.first.seed, pair.second.seed) for pair in pairs] == [(2, 2)]
