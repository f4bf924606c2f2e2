"""Scoring all labels at once equals scoring label by label."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uniferum.errors import UniferumError
from uniferum.evaluation.area_interval import area_interval, invert
from uniferum.evaluation.clustered import clustered_delong
from uniferum.evaluation.curves import average_precision
from uniferum.evaluation.delong import delong
from uniferum.evaluation.fast_scores import score_file, score_segments


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_every_segment_equals_delong_and_average_precision(seed):
    generator = np.random.default_rng(seed)
    n, count = 80, 5
    segment = generator.integers(0, count, n).astype(np.int16)
    target, score = generator.integers(0, 2, n).astype(float), generator.integers(0, 9, n).astype(float)
    target[segment == 3] = 0
    made = score_segments(segment, target, score, count)
    for at in range(count):
        mine = segment == at
        area = delong(target[mine], score[mine])
        np.testing.assert_allclose(
            [made.auroc[at], made.se[at], made.aupr[at]],
            [area.value, area.se, average_precision(target[mine], score[mine])],
            atol=1e-12,
        )
        assert (made.n[at], made.n_pos[at]) == (mine.sum(), target[mine].sum())


def test_intervals_and_variances_by_patient_are_those_of_single_labels():
    generator = np.random.default_rng(1)
    segment, patient = np.repeat([0, 1], 150).astype(np.int16), np.tile(np.arange(150) // 3, 2)
    target = (generator.random((2, 50)) < 0.4)[segment, patient].astype(float)
    score = generator.normal(size=300) + target
    made = score_segments(segment, target, score, 2, patient)
    low, high = invert(made.scales)
    for at in range(2):
        one = area_interval(*(values[segment == at] for values in (target, score, patient)))
        assert (low[at], high[at], made.scales[at].positives) == pytest.approx((one.low, one.high, one.positives))
        se = clustered_delong(*(values[segment == at] for values in (target, score, patient))).se
        assert made.influence[at] @ made.influence[at] == pytest.approx(se**2), "no patient has both classes"
    variance, _ = made.mean_variance([0, 1])
    both = made.influence[0] + made.influence[1]
    assert variance == pytest.approx(both @ both / 4)


def test_a_file_is_scored_by_its_labels_in_any_order_of_rows(tmp_path):
    table = pd.DataFrame(
        {
            "cohort": ["A", "B", "A", "B", "A", "A"],
            "group": ["all"] * 6,
            "label": ["x", "x", "x", "x", "y", "x"],
            "target": [1.0, 1, 0, 0, 1, 0],
            "score": [0.9, 0.1, 0.5, 0.5, 0.3, 0.95],
        }
    )
    table.to_parquet(tmp_path / "p.parquet")
    made = score_file(tmp_path / "p.parquet")
    areas = dict(zip(made.keys, made.segments.auroc, strict=True))
    assert "patients not recorded" in made.named("DeLong")
    assert areas[("A", "all", "x")] == 0.5
    assert areas[("B", "all", "x")] == 0.0
    assert math.isnan(areas[("A", "all", "y")])


@pytest.mark.parametrize(
    ("change", "word"), [({"score": math.nan}, "finite"), ({"label": None}, "label"), ({"text": "x"}, "readable")]
)
def test_a_file_that_cannot_be_scored_is_named(tmp_path, change, word):
    path = tmp_path / "p.parquet"
    table = pd.DataFrame({"cohort": ["A"], "group": ["all"], "label": ["x"], "target": [1.0], "score": [0.5]})
    if "text" in change:
        path.write_text("no parquet")
    elif "label" in change:
        table.drop(columns="label").to_parquet(path)
    else:
        table.assign(**change).to_parquet(path)
    with pytest.raises(UniferumError, match=word):
        score_file(path)
