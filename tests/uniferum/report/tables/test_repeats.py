"""Folds of a cell are one row: their mean, interval and protocol."""

import math
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev

import pytest
from scipy.stats import t as student

from uniferum.data.folds import Folds
from uniferum.report.checks.comparability import NESTED, JudgedColumn, compare
from uniferum.report.checks.lineage import trace
from uniferum.report.checks.margins import Margins
from uniferum.report.read_records import from_folders
from uniferum.report.records import CellRecord, Score
from uniferum.report.tables.catalogue import make_table
from uniferum.report.tables.entries import Entry
from uniferum.report.tables.paper import averaged, seeds_interval
from uniferum.report.tables.rendering import Style, render
from uniferum.report.tables.repeats import by_fold
from uniferum.report.tables.seed_spread import OF_FOLDS, WIDENED, SeedSpread, widened
from uniferum.report.unfinished import unfinished

COLUMN = ("CTRATE", "all")


def score(value: float, half: float = 0.02, folds: Folds | None = None, cases: int = 40) -> Score:
    return Score(
        cell="c", cohort="CTRATE", group="all", label="", metric="auroc", value=value, lo=value - half,
        hi=value + half, n_labels=18, n_labels_total=18, n_cases=cases, n_patients=cases, prevalence=0.5, folds=folds,
    )  # fmt: skip


@pytest.fixture
def written(cells: Callable[..., Path], tmp_path: Path) -> Callable[..., list[CellRecord]]:
    """Write folds of a cell."""

    def write(count: int, *, done: int = 0, nested: bool = False, seeds: int = 1) -> list[CellRecord]:
        for fold in range(done or count):
            for seed in range(seeds):
                cells("CTRATE", seed=seed, folds=Folds(count, fold, nested=nested), draws=4)
        return from_folders(tmp_path)

    return write


def entry_of(records: list[CellRecord]) -> Entry:
    return make_table("auroc", records, []).entries[records[0].row, COLUMN]


def values(records: list[CellRecord]) -> list[float]:
    return [s.value for r in records for s in r.groups if (s.cohort, s.group, s.metric) == (*COLUMN, "auroc")]


def test_the_fold_of_a_record_is_that_of_its_configuration(written: Callable[..., list[CellRecord]]) -> None:
    assert [one.folds for one in written(3, nested=True)] == [Folds(3, fold, nested=True) for fold in range(3)]


def test_folds_on_the_same_cases_are_averaged_as_seeds_are(written: Callable[..., list[CellRecord]]) -> None:
    records = written(3)
    entry, own = entry_of(records), values(records)
    assert (entry.value, entry.spread) == (pytest.approx(fmean(own)), pytest.approx(stdev(own)))
    scores = [s for r in records for s in r.groups if (s.cohort, s.group, s.metric) == (*COLUMN, "auroc")]
    cases = seeds_interval(scores)
    assert entry.lo < cases[0] < cases[1] < entry.hi or (entry.lo, entry.hi) == (0.0, 1.0)
    assert entry.method.endswith(WIDENED.format("folds")), "five columns of three folds: ten degrees of freedom"
    assert (entry.folds, entry.folds_total, entry.seeds, entry.n_cases) == (3, 3, 1, 40)


def test_the_seeds_of_a_fold_are_averaged_before_its_folds() -> None:
    of_folds = {0: [0.70, 0.72], 1: [0.80, 0.82], 2: [0.90, 0.90]}
    scores = [score(v, folds=Folds(3, fold)) for fold, own in of_folds.items() for v in own]
    entry = averaged(scores)
    means = [fmean(own) for own in of_folds.values()]
    assert entry.spread == pytest.approx(stdev(means))
    of_folds = student.ppf(0.975, 8) * 0.05 / math.sqrt(3)
    wide = widened(entry, SeedSpread(0.05, 8))
    assert wide.value - wide.lo == pytest.approx(math.hypot(0.02, of_folds)), "three folds, not six cells"
    assert (entry.folds, entry.seeds) == (3, 2)


def test_an_unequal_number_of_seeds_does_not_weigh_the_folds() -> None:
    scores = [score(v, folds=Folds(2, fold)) for fold, v in ((0, 0.6), (0, 0.6), (0, 0.6), (1, 0.8))]
    assert averaged(scores).value == pytest.approx(0.7)


def test_nested_folds_have_the_interval_of_student_and_all_cases() -> None:
    own = [0.70, 0.74, 0.79, 0.80, 0.77]
    entry = averaged([score(v, folds=Folds(5, at, nested=True), cases=8) for at, v in enumerate(own)])
    wanted = student.interval(0.95, 4, loc=fmean(own), scale=stdev(own) / math.sqrt(5))
    assert (entry.lo, entry.hi) == pytest.approx(wanted)
    assert (entry.n_cases, entry.n_patients) == (40, 40)


def test_nested_folds_are_as_others_on_a_cohort_that_they_do_not_divide(
    written: Callable[..., list[CellRecord]],
) -> None:
    records = written(5, nested=True)
    entries = make_table("auroc", records, []).entries
    divided, whole = (entries[records[0].row, column] for column in (COLUMN, ("INSPECT", "unique")))
    assert (divided.n_cases, whole.n_cases) == (40, 40)
    scores = [s for r in records for s in r.groups if (s.cohort, s.group, s.metric) == ("INSPECT", "unique", "auroc")]
    assert whole.lo < seeds_interval(scores)[0], "widened by the spread of the folds"
    assert divided.method == OF_FOLDS
    assert (whole.folds, whole.folds_total) == (5, 5)
    text = render(make_table("auroc", records, []), "terminal", Style(protocol=True))
    assert "INSPECT unique: test split, N = 40 volumes of 20 patients" in text


@pytest.mark.parametrize("nested", [False, True])
def test_one_fold_of_two_seeds_has_the_interval_over_seeds(nested: bool) -> None:
    scores = [score(v, folds=Folds(5, 0, nested=nested)) for v in (0.7, 0.72)]
    assert (averaged(scores).lo, averaged(scores).hi) == seeds_interval(scores)
    assert averaged(scores).folds == 1


@pytest.mark.parametrize("other", [None, Folds(5, 0, 1), Folds(5, 1, nested=True), Folds(4, 1)])
def test_cells_of_another_division_are_no_repetitions(other: Folds | None) -> None:
    scores = [score(0.7, folds=Folds(5, 0)), score(0.8, folds=other)]
    entry = averaged(scores)
    assert by_fold(scores).mixed
    assert entry.value == pytest.approx(0.75)
    assert all(map(math.isnan, (entry.lo, entry.hi, entry.spread)))


def test_the_protocol_of_folds_names_the_division(written: Callable[..., list[CellRecord]]) -> None:
    text = render(make_table("auroc", written(3, seeds=2), []), "terminal", Style(protocol=True))
    said = "Mean over 3 folds of training and validation, by patient, seed 0; all tested on the same cases."
    assert said in text
    assert "Seeds: 0, 1." in text
    assert "DIFFERENT" not in text
    assert "N = 40 volumes of 20 patients" in text


def test_the_protocol_of_nested_folds_counts_all_cases(written: Callable[..., list[CellRecord]]) -> None:
    text = render(make_table("auroc", written(5, nested=True), []), "terminal", Style(protocol=True))
    assert "Mean over 5 nested folds, by patient, seed 0; each patient tested once, intervals are Student's" in text
    assert "CTRATE all: mean over 5 nested folds, each patient tested once, N = 40 volumes of 20 patients" in text
    assert "of 2 labels have both classes in a fold" in text
    line = next(line for line in text.splitlines() if line.startswith("CTRATE all"))
    assert "DIFFERENT" not in line


def test_incomplete_folds_show_how_many_of_how_many(
    written: Callable[..., list[CellRecord]], cells: Callable[..., Path], tmp_path: Path
) -> None:
    records = written(5, done=3)
    cells("CTRATE", folds=Folds(5, 3), done=False)
    pending = unfinished(tmp_path)
    assert [one.folds for one in pending] == [Folds(5, 3)]
    table = make_table("auroc", records, pending)
    text = render(table, "terminal")
    assert " on 3/5 folds" in text
    assert "Not all folds are done: uniferum pubmedbert CTRATE 3 of 5." in text
    assert "3 of 4 cells are done" in text
    assert "mean of 3 of 5 folds, standard deviation" in trace(table, "uniferum", "CTRATE all", records)


def test_folds_and_a_cell_without_folds_in_one_row_are_pointed_out(
    written: Callable[..., list[CellRecord]], cells: Callable[..., Path]
) -> None:
    cells("CTRATE")
    text = render(make_table("auroc", written(2), []), "terminal")
    assert "A row averages DIFFERENT cells" in text


def test_a_table_of_labels_averages_folds_too(written: Callable[..., list[CellRecord]]) -> None:
    records = written(3)
    table = make_table("labels", records, [])
    entry = table.entries[("CTRATE", "all", "lung_nodule"), records[0].row]
    own = [float(one.labels.set_index(["cohort", "label"]).loc[("CTRATE", "lung_nodule"), "auroc"]) for one in records]
    assert (entry.value, entry.folds) == (pytest.approx(fmean(own)), 3)
    assert entry.lo < entry.value < entry.hi


def test_nested_folds_are_not_compared_with_the_paper(written: Callable[..., list[CellRecord]]) -> None:
    records = written(3, nested=True)
    assert compare(JudgedColumn(*COLUMN, "", 40, 2, 2), records, Margins()).incomparable == NESTED


def test_folds_train_on_fewer_scans_than_the_paper(written: Callable[..., list[CellRecord]]) -> None:
    records = written(3)
    said = compare(JudgedColumn(*COLUMN, "", 40, 2, 2), records, Margins()).incomparable
    assert said.startswith("trained on 2 of 3 folds, not on the paper's training split")
