"""AUROC by wording against scikit-learn, and its spread against pandas."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from uniferum.evaluation.wordings import spread, wording_scores


def predictions(seed: int) -> pd.DataFrame:
    """Forty cases of three labels; the last has no positive case."""
    cases, noise = np.random.default_rng(0), np.random.default_rng(seed)
    parts = []
    for label in ("emphysema", "atelectasis", "goitre"):
        target = (cases.random(40) < 0.4).astype(float) * (label != "goitre")
        facts = {"cohort": "CTRATE", "group": "all", "label": label}
        parts.append(pd.DataFrame({**facts, "target": target, "score": noise.normal(size=40) + target}))
    return pd.concat(parts, ignore_index=True)


def test_each_wording_has_the_area_of_its_own_scores() -> None:
    own, others = predictions(1), {"Is there {name}?": predictions(2), "{prompt}!": predictions(3)}
    made = wording_scores(own, others)
    assert made["templates"] == ["Is there {name}?", "{prompt}!"]
    assert [label["label"] for label in made["labels"]] == ["emphysema", "atelectasis", "goitre"]
    for label in made["labels"]:
        rows = [table.loc[table["label"] == label["label"]] for table in (own, *others.values())]
        assert (label["n"], label["n_pos"]) == (40, int(rows[0]["target"].sum()))
        if label["label"] == "goitre":
            assert all(map(math.isnan, label["auroc"]))
        else:
            assert label["auroc"] == pytest.approx([roc_auc_score(one["target"], one["score"]) for one in rows])


def test_the_spread_is_range_and_standard_deviation_of_what_is_known() -> None:
    values = pd.Series([0.7, 0.9, 0.75, np.nan])
    assert spread(values.tolist()) == pytest.approx((values.max() - values.min(), values.std()))
    assert spread([0.7, None, 0.9]) == pytest.approx((0.2, math.sqrt(0.02)))
    assert all(map(math.isnan, spread([0.7, None])))
