"""Label and group scores on predictions whose answers are known."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from uniferum.errors import UniferumError
from uniferum.evaluation.metrics import mean_auroc, score_predictions


def predictions(labels=("a", "b"), n=40, cohort="CTRATE", group="all", seed=0, per_patient=2):
    generator = np.random.default_rng(seed)
    parts = []
    for label in labels:
        target = (np.arange(n) % 4 == 0).astype(float)
        parts.append(
            pd.DataFrame(
                {
                    "cohort": cohort,
                    "split": "test",
                    "volume_id": [f"{cohort}/{i}" for i in range(n)],
                    "patient_id": [f"p{i // per_patient}" for i in range(n)],
                    "label": label,
                    "group": group,
                    "kind": "diagnosis",
                    "target": target,
                    "score": generator.normal(size=n) + target,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def test_label_values_equal_scikit_learn():
    table = predictions()
    scores = score_predictions(table, draws=20)
    for row in scores.labels.itertuples():
        rows = table[table["label"] == row.label]
        assert row.auroc == pytest.approx(roc_auc_score(rows["target"], rows["score"]))
        assert row.aupr == pytest.approx(average_precision_score(rows["target"], rows["score"]))
        assert (row.n, row.n_pos, row.n_patients, row.prevalence) == (40, 10, 20, 0.25)


def test_group_mean_weighs_labels_alike_and_carries_an_interval_around_it():
    scores = score_predictions(predictions(), draws=200)
    group = scores.groups[scores.groups["metric"] == "auroc"].iloc[0]
    assert group["value"] == pytest.approx(scores.labels["auroc"].mean())
    assert group["lo"] < group["value"] < group["hi"]
    assert (group["n_labels"], group["n_labels_total"], group["n_cases"], group["n_patients"]) == (2, 2, 40, 20)


def test_a_label_with_one_class_is_shown_left_out_and_counted():
    table = predictions(("a", "b"))
    table.loc[table["label"] == "b", "target"] = 0.0
    scores = score_predictions(table, draws=20)
    row = scores.labels.set_index("label").loc["b"]
    assert math.isnan(row["auroc"])
    assert row["reason"] == "no positive case"
    group = scores.groups.iloc[0]
    assert (group["n_labels"], group["n_labels_total"]) == (1, 2)
    assert group["value"] == pytest.approx(scores.labels.set_index("label").loc["a", "auroc"])


def test_a_label_of_the_vocabulary_without_any_case_is_listed():
    scores = score_predictions(predictions(("a",)), {("CTRATE", "all"): ("a", "never")}, draws=10)
    row = scores.labels.set_index("label").loc["never"]
    assert (row["n"], row["reason"]) == (0, "no case with a known value")
    assert scores.groups.iloc[0]["n_labels_total"] == 2


def test_shared_and_unique_labels_of_a_cohort_make_two_groups():
    both = pd.concat([predictions(("a",), group="shared"), predictions(("u",), group="unique", seed=4)])
    scores = score_predictions(both, draws=10)
    assert set(scores.groups["group"]) == {"shared", "unique"}


def test_the_same_seed_gives_the_same_intervals():
    first, second = (score_predictions(predictions(), draws=50, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(first.labels, second.labels)
    pd.testing.assert_frame_equal(first.groups, second.groups)


def test_a_patient_with_many_volumes_widens_the_interval():
    """Eight copies of each patient's volume add no information: the interval by patient must not shrink."""
    alone = predictions(("a",), n=40, per_patient=1)
    copies = pd.concat([alone.assign(volume_id=alone["volume_id"] + f"-{k}") for k in range(8)])
    single = score_predictions(alone, draws=400).labels.iloc[0]
    many = score_predictions(copies, draws=400).labels.iloc[0]
    width = single["auroc_patient_hi"] - single["auroc_patient_lo"]
    assert many["auroc_patient_hi"] - many["auroc_patient_lo"] == pytest.approx(width, rel=0.15)
    assert many["auroc_hi"] - many["auroc_lo"] == pytest.approx(single["auroc_hi"] - single["auroc_lo"], rel=0.05)
    assert many["auroc_delong_hi"] - many["auroc_delong_lo"] < 0.6 * width, "DeLong's has volumes as cases"


def test_only_the_asked_split_is_scored():
    table = pd.concat([predictions(), predictions(seed=9).assign(split="validation")])
    assert score_predictions(table, draws=5).groups.iloc[0]["n_cases"] == 40
    with pytest.raises(UniferumError, match="test, validation"):
        score_predictions(table, split="train")


def test_mean_auroc_is_the_mean_over_labels_with_both_classes():
    table = predictions(("a", "b", "c"))
    table.loc[table["label"] == "c", "target"] = 1.0
    expected = score_predictions(table, draws=0).groups.iloc[0]["value"]
    assert mean_auroc(table) == pytest.approx(expected)


def test_mean_auroc_of_nothing_is_nan():
    assert math.isnan(mean_auroc(predictions().assign(target=0.0)))


def test_a_nan_score_is_named():
    table = predictions()
    table.loc[3, "score"] = math.nan
    with pytest.raises(UniferumError, match="CTRATE/3, a"):
        score_predictions(table)


def test_a_case_that_occurs_twice_is_named():
    table = predictions()
    with pytest.raises(UniferumError, match="CTRATE/0, a"):
        score_predictions(pd.concat([table, table.iloc[:1]]))


def test_a_missing_column_is_named():
    with pytest.raises(UniferumError, match="patient_id"):
        score_predictions(predictions().drop(columns="patient_id"))


def test_a_target_that_is_neither_0_nor_1_is_refused():
    with pytest.raises(UniferumError, match="0 or 1"):
        mean_auroc(predictions().assign(target=0.5))
