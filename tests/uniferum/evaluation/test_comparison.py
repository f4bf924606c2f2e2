"""Cells compared case by case."""

import numpy as np
import pandas as pd
import pytest

from uniferum.errors import UniferumError
from uniferum.evaluation import bootstrap
from uniferum.evaluation.comparison import align, group_area, group_difference, label_difference, pairwise
from uniferum.evaluation.delong import paired_delong


def table(seed, *, strength=1.0, n=60, labels=("a", "b"), per_patient=1):
    cases, noise = np.random.default_rng(0), np.random.default_rng(seed)
    parts = []
    for label in labels:
        target = (cases.random(n) < 0.4).astype(float)
        parts.append(
            pd.DataFrame(
                {
                    "cohort": "CTRATE",
                    "group": "all",
                    "label": label,
                    "volume_id": [f"CTRATE/{i}" for i in range(n)],
                    "patient_id": [f"p{i // per_patient}" for i in range(n)],
                    "target": target,
                    "score": noise.normal(size=n) + strength * target,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def test_every_pair_of_cells_is_tested_on_every_label():
    cells = {"x": table(1), "y": table(2), "z": table(3, strength=3.0)}
    made = pairwise(align(cells), list(cells))
    assert len(made) == 3 * 2
    row = made[(made["label"] == "b") & (made["first"] == "x") & (made["second"] == "z")].iloc[0]
    one = cells["x"][cells["x"]["label"] == "b"]
    expected = paired_delong(one["target"], one["score"], cells["z"].loc[one.index, "score"])
    assert row["p_delong"] == pytest.approx(expected.p)
    assert row["p"] >= row["p_delong"]
    assert row["difference"] == pytest.approx(expected.difference)


def test_the_order_of_the_rows_does_not_matter():
    shuffled = table(2).sample(frac=1, random_state=0)
    straight = pairwise(align({"x": table(1), "y": table(2)}), ["x", "y"])
    mixed = pairwise(align({"x": table(1), "y": shuffled}), ["x", "y"])
    pd.testing.assert_frame_equal(straight, mixed)


def test_different_cases_are_named_and_compared_on_the_common_ones_only_when_asked():
    fewer = table(2).query("volume_id != 'CTRATE/7'")
    with pytest.raises(UniferumError, match=r"x: cases of CTRATE/all/a.*CTRATE/7"):
        align({"x": table(1), "y": fewer})
    cases = align({"x": table(1), "y": fewer}, common=True)
    assert {len(one.target) for one in cases.values()} == {59}


def test_a_label_that_one_cell_lacks_is_named():
    with pytest.raises(UniferumError, match="CTRATE/all/b"):
        align({"x": table(1), "y": table(2, labels=("a",))})
    assert len(align({"x": table(1), "y": table(2, labels=("a",))}, common=True)) == 1


def test_different_targets_are_an_error_even_on_common_cases():
    other = table(2)
    other.loc[3, "target"] = 1 - other.loc[3, "target"]
    with pytest.raises(UniferumError, match="CTRATE/3"):
        align({"x": table(1), "y": other}, common=True)


def test_a_group_of_one_label_and_one_volume_a_patient_is_delongs_paired_test():
    first, second = table(1, labels=("a",)), table(2, labels=("a",), strength=2.0)
    made = group_difference(align({"x": first, "y": second}), ("CTRATE", "all"))
    expected = paired_delong(first["target"], first["score"], second["score"])
    assert (made.test.se, made.test.z) == pytest.approx((expected.se, expected.z))
    assert made.test.p >= expected.p, "Student's distribution has the heavier tails"


def test_the_standard_error_of_a_group_difference_agrees_with_the_patient_bootstrap():
    first, second = table(1, per_patient=3, n=240), table(2, strength=1.5, per_patient=3, n=240)
    cases = align({"x": first, "y": second})
    made = group_difference(cases, ("CTRATE", "all"))
    weights = bootstrap.draw_patients(80, 800, 0)
    draws = []
    for one in cases.values():
        owner = pd.factorize(one.patient)[0]
        a, b = (bootstrap.replicate(one.target, score, owner, weights).auroc for score in one.scores)
        draws.append(b - a)
    assert made.test.se == pytest.approx(np.std(bootstrap.mean_over_labels(draws)), rel=0.12)
    assert made.test.difference == pytest.approx(made.second - made.first)


def test_copies_of_a_patients_volume_are_no_new_evidence():
    first, second = table(1), table(2, strength=1.4)

    def copied(one):
        return pd.concat([one.assign(volume_id=one["volume_id"] + f"-{k}") for k in range(4)])

    alone = group_difference(align({"x": first, "y": second}), ("CTRATE", "all"))
    many = group_difference(align({"x": copied(first), "y": copied(second)}), ("CTRATE", "all"))
    assert many.test.se == pytest.approx(alone.test.se, rel=0.05)


def test_a_group_without_a_scorable_label_has_no_difference():
    blank = table(1).assign(target=0.0)
    assert group_difference(align({"x": blank, "y": blank}), ("CTRATE", "all")) is None


def test_a_mean_over_seeds_is_tested_as_the_bootstrap_of_patients_says():
    seeds = {f"{side}{seed}": table(seed + 10 * side, strength=1 + side / 2, per_patient=3, n=240)
             for side in (0, 1) for seed in (1, 2, 3)}  # fmt: skip
    cases, sides = align(seeds), ((0, 1, 2), (3, 4, 5))
    made = group_difference(cases, ("CTRATE", "all"), sides)
    weights = bootstrap.draw_patients(80, 800, 0)
    draws = []
    for one in cases.values():
        owner = pd.factorize(one.patient)[0]
        areas = np.stack([bootstrap.replicate(one.target, score, owner, weights).auroc for score in one.scores])
        draws.append(areas[3:].mean(axis=0) - areas[:3].mean(axis=0))
    assert made.test.se == pytest.approx(np.std(bootstrap.mean_over_labels(draws)), rel=0.12)
    assert made.test.difference == pytest.approx(np.mean(made.means[3:]) - np.mean(made.means[:3]))


def test_a_label_over_seeds_is_the_group_of_one_label_and_one_volume_a_patient():
    cases = align({f"{seed}": table(seed, labels=("a",), strength=1 + seed / 4) for seed in range(5)})
    sides = (0, 1), (2, 3, 4)
    of_label, of_group = (
        label_difference(cases["CTRATE", "all", "a"], sides),
        group_difference(cases, ("CTRATE", "all"), sides),
    )
    assert of_label.test.se == pytest.approx(of_group.test.se)
    assert of_label.means == pytest.approx(of_group.means)


def test_cells_that_count_twice_change_nothing():
    cases = align({"a": table(1), "b": table(2, strength=1.5), "c": table(1), "d": table(2, strength=1.5)})
    twice = group_difference(cases, ("CTRATE", "all"), ((0, 2), (1, 3)))
    once = group_difference(align({"a": table(1), "b": table(2, strength=1.5)}), ("CTRATE", "all"))
    assert (twice.test.difference, twice.test.se) == pytest.approx((once.test.difference, once.test.se))


def test_a_label_of_few_positives_has_a_difference_and_no_test():
    few = table(1, labels=("a",)).assign(target=0.0)
    few.loc[few.index[:4], "target"] = 1.0
    cases = align({"x": few, "y": few.assign(score=-few["score"])})
    made = label_difference(cases["CTRATE", "all", "a"], ((0,), (1,)))
    patients = few.loc[few["target"] > 0, "patient_id"].nunique()
    assert made.reason == f"too few positives ({patients})"
    assert np.isfinite(made.test.difference)
    assert np.isnan([made.test.p, made.test.lo]).all()


def test_the_mean_area_of_a_cell_has_the_interval_of_the_patient_bootstrap():
    cases = align({"x": table(1, per_patient=3, n=240)})
    made = group_area(cases, ("CTRATE", "all"))
    weights = bootstrap.draw_patients(80, 800, 0)
    draws = [
        bootstrap.replicate(one.target, one.scores[0], pd.factorize(one.patient)[0], weights).auroc
        for one in cases.values()
    ]
    low, high = bootstrap.percentile_interval(bootstrap.mean_over_labels(draws))
    assert made.high - made.low == pytest.approx(high - low, rel=0.15)
    assert made.low < made.value < made.high
    narrow = group_area(cases, ("CTRATE", "all"), level=0.9)
    assert made.low < narrow.low < narrow.high < made.high
