"""The spread over seeds widens an interval only where it is known well enough, and two seeds are not worse than one."""

import math

import numpy as np
import pytest
from scipy.stats import t as student

from uniferum.report.tables.entries import Entry
from uniferum.report.tables.seed_spread import CASES_ALONE, OF_FOLDS, WIDENED, SeedSpread, widened, with_seed_spread

FACTS = ("name", "cohort", "group")
CASES = "patients drawn"


def entry(spread: float, seeds: int = 2, **changes: object) -> Entry:
    keys = {"value": 0.8, "lo": 0.77, "hi": 0.82, "spread": spread, "seeds": seeds, "method": CASES}
    return Entry(**(keys | changes))


def column(*entries: Entry) -> list[Entry]:
    named = {((str(at),), ("CTRATE", "all")): one for at, one in enumerate(entries)}
    return list(with_seed_spread(named, FACTS).values())


def test_two_seeds_of_one_cell_keep_the_interval_over_cases() -> None:
    (result,) = column(entry(0.1))
    assert (result.lo, result.hi) == (0.77, 0.82), "Student's t of one degree of freedom, 12.7, would give 0 to 1"
    assert result.method == f"{CASES}, {CASES_ALONE.format('seeds')}"


def test_the_spread_of_all_cells_of_a_column_is_pooled() -> None:
    spreads = [0.010, 0.004, 0.020, 0.012, 0.008]
    result = column(*map(entry, spreads), entry(math.nan, 1))
    pooled, t = math.sqrt(np.mean(np.square(spreads))), student.ppf(0.975, 5)
    for one in result[:5]:
        assert 0.8 - one.lo == pytest.approx(math.hypot(0.03, t * pooled / math.sqrt(2)))
        assert one.hi - 0.8 == pytest.approx(math.hypot(0.02, t * pooled / math.sqrt(2)))
        assert one.method == f"{CASES}, {WIDENED.format('seeds')}"
    assert result[5] == entry(math.nan, 1), "one seed has no spread"


def test_more_seeds_give_a_narrower_interval_and_its_ends_stay_between_0_and_1() -> None:
    spread = SeedSpread(0.02, 20)
    widths = [one.hi - one.lo for one in (widened(entry(0.02, seeds), spread) for seeds in (2, 3, 5, 20))]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] > 0.05, "not below that over cases"
    wide = widened(entry(0.5), SeedSpread(0.5, 6))
    assert (wide.lo, wide.hi) == (0.0, 1.0)


def test_average_precision_is_widened_around_its_corrected_value() -> None:
    result = widened(entry(0.02, corrected=0.79), SeedSpread(0.02, 10))
    reach = student.ppf(0.975, 10) * 0.02 / math.sqrt(2)
    assert result.lo == pytest.approx(0.79 - math.hypot(0.02, reach))
    assert result.hi == pytest.approx(0.79 + math.hypot(0.03, reach))


def test_nested_folds_and_numbers_without_an_interval_stay_as_they_are() -> None:
    nested, bare = entry(0.02, 1, folds=5, folds_total=5, method=OF_FOLDS), entry(0.02, lo=math.nan, hi=math.nan)
    assert [widened(one, SeedSpread(0.02, 10)) for one in (nested, bare)] == [nested, bare]
