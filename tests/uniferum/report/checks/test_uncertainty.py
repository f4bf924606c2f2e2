"""Errors of numbers: seeds are pooled, and the published number's own error is known or said to be unknown."""

import math

import pytest

from uniferum.report.checks.uncertainty import (
    Uncertainty,
    hanley_mcneil,
    papers_spread,
    published_error,
)
from uniferum.report.published import find
from uniferum.report.tables.seed_spread import SeedSpread, pooled

ROW = ("uniferum", "pubmedbert", "CTRATE")


def test_hanley_and_mcneil_reproduce_the_interval_that_the_paper_prints():
    # Section 5.4: CABG, 16 of 360, ±0.091 by DeLong; pacemaker, 17 of 360, ±0.077 (rarer shapes differ more).
    assert 1.96 * hanley_mcneil(0.748, 16, 344) == pytest.approx(0.133, abs=0.01)
    assert hanley_mcneil(0.5, 30, 70) == pytest.approx(math.sqrt((30 + 70 + 1) / (12 * 30 * 70)), abs=1e-12)


def test_the_papers_pairs_of_encoders_give_a_spread_with_five_degrees_of_freedom():
    spread = papers_spread("auroc", "RADCHEST", "unique")
    assert (spread.freedom, spread.known) == (5, True)
    assert 0.005 < spread.value < 0.02
    assert not papers_spread("auroc", "OWN", "all").known


def test_two_seeds_are_not_worse_than_one():
    prior = SeedSpread(0.01, 5, "prior")
    one, two = (
        Uncertainty(0.01, 0.01, spread, seeds) for spread, seeds in ((prior, 1), (pooled([(0.01, 2)], prior), 2))
    )
    assert two.half(0.95) < one.half(0.95)


def test_a_spread_of_one_degree_of_freedom_is_not_used():
    alone = pooled([(0.01, 2)])
    assert (alone.freedom, alone.known) == (1, False)
    assert Uncertainty(0.01, 0.01, alone, 2).half(0.95) == pytest.approx(0.0196, abs=1e-4)
    assert pooled([(0.01, 2)] * 5).value == pytest.approx(0.01)


def test_the_published_error_is_printed_derived_or_unknown():
    label = find("auroc", ROW, "INSPECT", "1_month_mortality")
    assert published_error(label, 0, 0)[0] == pytest.approx(0.039 / 1.96, abs=1e-5)
    nodule = find("auroc", ROW, "CTRATE", "lung_nodule")
    assert published_error(nodule, 1361, 1641)[0] == pytest.approx(hanley_mcneil(0.6915, 1361, 1641))
    assert math.isnan(published_error(nodule, 0, 0)[0])
    assert math.isnan(published_error(find("auroc", ROW, "CTRATE", "all"), 10, 10)[0])
