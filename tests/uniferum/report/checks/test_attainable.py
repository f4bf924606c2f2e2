"""Margins that can be decided follow from counts and seeds."""

from uniferum.report.checks.attainable import (
    TestCounts,
    attainable_sheet,
    decided,
    planned_error,
    smallest_margin,
    undecided,
    widened,
)
from uniferum.report.checks.margins import Margins
from uniferum.report.checks.uncertainty import Uncertainty
from uniferum.report.checks.verdict_table import chances
from uniferum.report.tables.seed_spread import SeedSpread

SMALL = TestCounts("RADCHEST", "unique", 360, 360, ((10, 350), (16, 344), (17, 343), *((40, 320),) * 29))
LARGE = TestCounts("CTRATE", "all", 3002, 3002, ((600, 2402),) * 18)
DECLARED = Margins({"auroc": 0.02})


def expected_error(counts: TestCounts, area: float, spread: SeedSpread, seeds: int = 1) -> Uncertainty:
    """The planned error of counts that have one."""
    error = planned_error(counts, area, spread, seeds)
    assert error is not None
    return error


def test_the_attainable_margin_has_the_power_that_it_promises():
    for error in (Uncertainty(0.01, 0.01), Uncertainty(0.004, 0.004, SeedSpread(0.01, 5), 2)):
        reproduced, differs = chances(0.0, error, smallest_margin(error))
        assert reproduced >= 0.85
        assert differs < 0.05
        assert chances(0.0, error, smallest_margin(error) - 0.006)[0] < 0.85


def test_a_true_value_on_the_edge_is_reproduced_in_5_percent():
    reproduced, _ = chances(0.05, Uncertainty(0.01, 0.01), 0.05)
    assert abs(reproduced - 0.05) < 1e-3


def test_a_plan_names_the_columns_that_cannot_be_decided():
    (line,) = undecided([SMALL, LARGE], DECLARED, 1)
    said = "RADCHEST unique: ±0.02 cannot be decided with 360 scans, 10 to 40 positives a label and one seed"
    assert line.startswith(said)
    assert "can, ±" in line or "seeds" in line


def test_more_cases_and_seeds_narrow_the_margin_and_patients_count_once():
    spread = SeedSpread(0.01, 5)
    one, four = (expected_error(SMALL, 0.6, spread, seeds) for seeds in (1, 4))
    assert smallest_margin(four) < smallest_margin(one)
    shared = TestCounts("CTRATE", "all", 3002, 1304, LARGE.labels)
    assert expected_error(shared, 0.8, spread).below > expected_error(LARGE, 0.8, spread).below
    assert planned_error(TestCounts("X", "all", 9, 9, ((0, 9),)), 0.8, spread) is None


def test_seeds_that_would_decide_are_named():
    error = Uncertainty(0.002, 0.002, SeedSpread(0.01, 5), 1)
    assert ", or ±0.02 with" in decided("100 scans", error, 0.02)
    assert decided("100 scans", error, 0.5) == "±0.5 can be decided with 100 scans and one seed"
    assert "more seeds do not help" in decided("100 scans", Uncertainty(0.02, 0.02), 0.02)


def test_the_margin_of_a_metric_is_widened_and_that_of_a_column_is_not():
    error, column = Uncertainty(0.02, 0.02), ("RADCHEST", "unique")
    assert widened(DECLARED, "auroc", column, error) == smallest_margin(error)
    assert widened(Margins({"auroc": 0.02, "RADCHEST unique": 0.03}), "auroc", column, error) == 0.03
    assert widened(DECLARED, "auroc", column, None) == 0.02
    assert widened(Margins(), "auroc", column, error) is None


def test_the_table_has_a_row_for_each_column_of_the_paper():
    sheet = attainable_sheet([LARGE, SMALL, TestCounts("OWN", "all", 9, 9, ((4, 5),))], DECLARED, 1)
    assert [row[0] for row in sheet.rows] == ["CTRATE all", "RADCHEST unique"]
    assert sheet.below[0].startswith("CTRATE all: ±0.02 can be decided")
    assert attainable_sheet([], DECLARED, 1).below[0].startswith("No margin can be planned")
