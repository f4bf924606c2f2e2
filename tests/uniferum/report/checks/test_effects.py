"""Effects of an axis: means, differences to the base, tests, and what is missing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from tests.support.ablation_cells import write_ablation
from tests.support.written_cells import write_cell
from uniferum.data.folds import Folds
from uniferum.errors import UniferumError
from uniferum.evaluation.clustered import clustered_test
from uniferum.evaluation.multiple_testing import benjamini_hochberg, holm
from uniferum.report.axes import find_varied
from uniferum.report.checks.compare import compare_sheet
from uniferum.report.checks.effect_sheet import effect_sheet
from uniferum.report.checks.effects import Effect, Wanted, effects
from uniferum.report.read_records import from_folders
from uniferum.report.records import CellRecord
from uniferum.report.unfinished import unfinished

LONG = "uniferum pubmedbert CTRATE, freeze=true"


@pytest.fixture(scope="module")
def records(ablation_root: Path) -> list[CellRecord]:
    return from_folders(ablation_root)


def computed(records: list[CellRecord], wanted: Wanted | None = None, name: str = "lr") -> list[Effect]:
    return effects(find_varied(name, records), wanted or Wanted())


def by_hand(records: list[CellRecord]) -> dict[tuple[str, ...], list[float]]:
    """The mean AUROC of each group of labels by scikit-learn: lr, freeze, cohort, group -> a mean for each seed."""
    means: dict[tuple[str, ...], list[float]] = {}
    for cell in sorted(records, key=lambda one: one.seed):
        for (cohort, group), table in cell.predictions().groupby(["cohort", "group"]):
            labels = [of for _, of in table.groupby("label") if len(set(of["target"])) > 1]
            areas = [roc_auc_score(of["target"], of["score"]) for of in labels]
            means.setdefault((cell.axes["lr"], cell.axes["freeze"], cohort, group), []).append(float(np.mean(areas)))
    return means


def test_values_and_differences_are_those_of_scikit_learn(records: list[CellRecord]) -> None:
    checked, means = 0, by_hand(records)
    for one in computed(records, Wanted(base="1e-4")):
        where = one.setting.rpartition("=")[2], one.column.cohort, one.column.group
        own, base = means[one.value, *where], means["1e-4", *where]
        assert one.entry.value == pytest.approx(np.mean(own))
        assert one.entry.spread == pytest.approx(np.std(own, ddof=1))
        assert one.is_base == (one.value == "1e-4")
        if not one.is_base:
            assert one.by_seed == pytest.approx(np.subtract(own, base))
            assert one.difference == pytest.approx(np.mean(own) - np.mean(base))
            assert one.lo < one.difference < one.hi
        checked += 1
    assert checked == 3 * 2 * 5


def test_one_seed_gives_what_compare_gives(records: list[CellRecord]) -> None:
    single = [one for one in records if one.seed == 0]
    (one,) = [e for e in computed(single) if (e.setting, e.value, *e.column) == (LONG, "1e-4", "INSPECT", "unique", "")]
    names = [f"uniferum-pubmedbert-CTRATE-lr{rate}-freeze_true" for rate in ("5e-5", "1e-4")]
    row = next(row for row in compare_sheet(single, names).rows if row[2:5] == ["INSPECT", "unique", "mean of 1"])
    assert row[7] == f"{one.difference:+.4f}"
    assert row[8] == f"[{one.lo:+.4f}, {one.hi:+.4f}]"
    assert float(row[9]) == pytest.approx(one.p, rel=1e-3)


def test_a_label_has_the_paired_test_by_patient(records: list[CellRecord]) -> None:
    single = [one for one in records if one.seed == 0]
    made = computed(single, Wanted(where={"label": "honeycombing"}))
    (one,) = [e for e in made if (e.setting, e.value) == (LONG, "3e-4")]
    scores = {}
    for rate in ("5e-5", "3e-4"):
        (cell,) = [r for r in single if r.axes == {"lr": rate, "freeze": "true"}]
        scores[rate] = cell.predictions().query("label == 'honeycombing'")
    first = scores["5e-5"]
    test = clustered_test(first["target"], first["score"], scores["3e-4"]["score"], first["patient_id"])
    assert (one.difference, one.lo, one.hi, one.p) == pytest.approx((test.difference, test.lo, test.hi, test.p))
    assert {e.column.label for e in made} == {"honeycombing"}


def test_p_values_are_adjusted_within_the_table(records: list[CellRecord]) -> None:
    made = [one for one in computed(records) if not one.is_base]
    p = [one.p for one in made]
    assert [one.holm for one in made] == pytest.approx(holm(p))
    assert [one.bh for one in made] == pytest.approx(benjamini_hochberg(p))


def test_other_metrics_have_the_difference_alone(records: list[CellRecord]) -> None:
    (one,) = [
        e for e in computed(records, Wanted("brier", {"cohort": "CTRATE"})) if (e.setting, e.value) == (LONG, "3e-4")
    ]
    values = {
        rate: np.mean(
            [
                r.labels.query("cohort == 'CTRATE'")["brier"].mean()
                for r in records
                if r.axes == {"lr": rate, "freeze": "true"}
            ]
        )
        for rate in ("5e-5", "3e-4")
    }
    assert one.difference == pytest.approx(values["3e-4"] - values["5e-5"])
    assert np.isnan([one.p, one.lo]).all()


def test_every_missing_number_has_a_row_with_the_reason(tmp_path: Path) -> None:
    every = [f"5e-5 false {seed}" for seed in range(3)]
    write_ablation(tmp_path, without=("1e-4 true 0", "1e-4 true 1", "1e-4 true 2"), half_way=("3e-4 true 1", *every))
    failed = next(tmp_path.glob("cells/*lr5e-5-freeze_false-seed2-*"))
    (failed / "failure.json").write_text(json.dumps({"reason": "loss is NaN"}))
    varied = find_varied("lr", [*from_folders(tmp_path), *unfinished(tmp_path)])
    made = effects(varied, Wanted(where={"cohort": "CTRATE"}))
    notes = {(one.setting.rpartition("=")[2], one.value): one.note for one in made}
    assert notes["true", "5e-5"] == ""
    assert notes["true", "1e-4"] == "no such cell"
    assert notes["true", "3e-4"] == "seed 1 unfinished at 50 %; difference over seeds 0, 2"
    assert notes["false", "5e-5"].endswith("seed 2 failed: loss is NaN")
    assert notes["false", "1e-4"] == "the base has no result here"
    rows = effect_sheet(varied, made, Wanted()).rows
    assert len(rows) == 6
    assert all(len(row) == len(effect_sheet(varied, made, Wanted()).headings) for row in rows)


def test_a_cell_with_other_cases_is_not_compared_unless_the_common_ones_are_asked_for(tmp_path: Path) -> None:
    write_ablation(tmp_path, seeds=1)
    path = next(tmp_path.glob("cells/*lr3e-4-freeze_true-*")) / "predictions.parquet"
    table = pd.read_parquet(path)
    table.loc[(table["cohort"] != "CTRATE") | (table["scan_id"] != "0")].to_parquet(path)
    cells = from_folders(tmp_path)
    of = {(one.setting, one.value, one.column[0]): one for one in computed(cells)}
    assert "not compared:" in of[LONG, "3e-4", "CTRATE"].note
    assert "cases of CTRATE/all" in of[LONG, "3e-4", "CTRATE"].note
    assert np.isnan(of[LONG, "3e-4", "CTRATE"].p)
    assert np.isfinite(of[LONG, "3e-4", "RADCHEST"].p)
    assert np.isfinite(of[LONG, "1e-4", "CTRATE"].p)
    common = {(one.setting, one.value, one.column[0]): one for one in computed(cells, Wanted(common=True))}
    assert np.isfinite(common[LONG, "3e-4", "CTRATE"].p)


def test_a_cell_with_other_targets_is_not_compared(tmp_path: Path) -> None:
    write_ablation(tmp_path, seeds=1)
    path = next(tmp_path.glob("cells/*lr3e-4-freeze_true-*")) / "predictions.parquet"
    table = pd.read_parquet(path)
    table["target"] = np.where(table["cohort"] == "CTRATE", 1 - table["target"], table["target"])
    table.to_parquet(path)
    made = [
        e for e in computed(from_folders(tmp_path)) if (e.setting, e.value, e.column[0]) == (LONG, "3e-4", "CTRATE")
    ]
    assert "the label files differ" in made[0].note


def test_the_sheet_says_which_value_is_the_base(records: list[CellRecord]) -> None:
    varied = find_varied("lr", records)
    sheet = effect_sheet(varied, effects(varied, Wanted()), Wanted())
    assert sheet.below[0].startswith("Base: lr=5e-5 (the first value; --base VALUE takes another)")
    assert [row[7] for row in sheet.rows[:3]] == ["base", sheet.rows[1][7], sheet.rows[2][7]]
    assert [row[3] for row in sheet.rows[:3]] == ["5e-5", "1e-4", "3e-4"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(base="7"), "--base"),
        (Wanted(metric="aurok"), "--metric"),
        (Wanted(where={"cohort": "OURS"}), "finished cell that was scored so"),
    ],
)
def test_what_no_cell_has_is_refused(records: list[CellRecord], wanted: Wanted, message: str) -> None:
    with pytest.raises(UniferumError, match=message):
        computed(records, wanted)


def with_folds(
    root: Path, *, nested: bool, seeds: int = 1, without: tuple[tuple[str, int], ...] = ()
) -> list[CellRecord]:
    """Write three folds of two learning rates, and read them as cells of a grid, of which the fold is an axis."""
    for rate, strength in (("1e-4", 1.0), ("3e-4", 1.4)):
        for fold in range(3):
            for seed in range(seeds):
                if (rate, fold) not in without:
                    folds = Folds(3, fold, nested=nested)
                    noise = 20 + fold + 10 * seed + 5 * (rate == "3e-4")
                    axes = {"lr": rate}
                    write_cell(root, folds=folds, axes=axes, seed=seed, noise=noise, strength=strength, draws=2)
    return [replace(one, axes={**one.axes, "fold": str(one.repeat[1])}) for one in from_folders(root)]


def mean_areas(records: list[CellRecord], cohort: str) -> dict[tuple[str, int, int], float]:
    """The mean AUROC of a cohort's labels by scikit-learn: lr, fold, seed -> mean."""
    made = {}
    for cell in records:
        table = cell.predictions().query(f"cohort == '{cohort}' and group != 'unique'")
        areas = [roc_auc_score(of["target"], of["score"]) for _, of in table.groupby("label")]
        assert cell.folds is not None
        made[cell.axes["lr"], cell.folds.index, cell.seed] = float(np.mean(areas))
    return made


@pytest.mark.parametrize("nested", [False, True])
def test_folds_are_paired_each_with_itself(tmp_path: Path, nested: bool) -> None:
    records = with_folds(tmp_path, nested=nested, seeds=2)
    varied = find_varied("lr", records)
    assert len(varied.settings) == 1, "folds are no settings"
    (_, one) = effects(varied, Wanted(where={"cohort": "CTRATE"}))
    areas = mean_areas(records, "CTRATE")
    of_fold = [np.mean([areas["3e-4", f, s] - areas["1e-4", f, s] for s in (0, 1)]) for f in range(3)]
    assert one.by_fold == pytest.approx(of_fold)
    assert one.difference == pytest.approx(np.mean(of_fold))
    assert (one.entry.folds, one.entry.seeds) == (3, 2)
    error, freedom = np.std(of_fold, ddof=1) / np.sqrt(3), 2
    if nested:
        assert (one.lo, one.hi) == pytest.approx(student.interval(0.95, freedom, loc=one.difference, scale=error))
        assert one.p == pytest.approx(2 * student.sf(abs(one.difference) / error, freedom))
    else:
        assert one.test is not None
        assert (one.lo, one.hi) == (one.test.lo, one.test.hi), "two degrees of freedom tell too little of the spread"
    said = " ".join(effect_sheet(varied, [one], Wanted()).below)
    assert "Folds are paired, each with itself" in said
    assert ("Nested folds have other test cases each" in said) == nested
    assert effect_sheet(varied, [one], Wanted()).rows[0][4] == "2 x 3 folds"


def test_folds_that_one_value_lacks_are_left_out_and_named(tmp_path: Path) -> None:
    records = with_folds(tmp_path, nested=True, without=(("3e-4", 1),))
    (_, one) = effects(find_varied("lr", records), Wanted(where={"cohort": "CTRATE"}))
    areas = mean_areas(records, "CTRATE")
    assert one.difference == pytest.approx(np.mean([areas["3e-4", f, 0] - areas["1e-4", f, 0] for f in (0, 2)]))
    assert one.note == "difference over folds 0, 2 (seed 0); no test: 2 nested folds"
    assert np.isnan(one.lo)


def test_the_error_over_seeds_is_pooled_over_the_differences_of_a_column(records: list[CellRecord]) -> None:
    made = [one for one in computed(records, Wanted(where={"cohort": "CTRATE"})) if not one.is_base]
    variances = [np.var(one.by_seed, ddof=1) for one in made]
    for one in made:
        assert one.test is not None
        assert (one.spread.freedom, one.spread.value) == (8, pytest.approx(np.sqrt(np.mean(variances))))
        seeds = one.spread.value / np.sqrt(3)
        half = one.hi - one.difference
        total = np.hypot(one.test.se, seeds)
        assert student.ppf(0.975, 1e6) * total < half < student.ppf(0.975, 8) * total * 1.2
    assert "of seeds, by the spread of their differences (pooled over its column)" in " ".join(
        effect_sheet(find_varied("lr", records), made, Wanted()).below
    )


def test_two_seeds_of_one_difference_have_the_interval_over_cases(records: list[CellRecord]) -> None:
    two = [r for r in records if r.seed < 2 and r.axes["freeze"] == "true" and r.axes["lr"] != "3e-4"]
    (_, one) = computed(two, Wanted(where={"label": "honeycombing"}))
    assert one.test is not None
    assert (one.lo, one.hi) == (one.test.lo, one.test.hi)
    said = " ".join(effect_sheet(find_varied("lr", two), [one], Wanted()).below)
    assert "The spread over seeds is unknown" in said
