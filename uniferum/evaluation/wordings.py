"""AUROC of each label under other wordings of its prompt, and how far it spreads over them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from uniferum.evaluation.delong import auroc

KEYS = ["cohort", "group", "label"]


class WordingSpread(NamedTuple):
    """Spread of values over wordings; NaN for fewer than two."""

    range: float
    deviation: float
    """Standard deviation, with the number of wordings less one."""


def wording_scores(own: pd.DataFrame, by_wording: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Score every label under its own prompt and under each template.

    Args:
        own: predictions with the labels' own prompts: cohort, group, label, target (0 or 1), score (logit).
        by_wording: the same for each template.

    Returns:
        For the record of a run: ``templates``, and one entry of ``labels`` for each (cohort, group, label) with ``n``,
        ``n_pos`` and ``auroc``, first with the own prompt, then in the order of the templates; NaN if a class is
        missing.
    """
    scored = [_areas(table) for table in (own, *by_wording.values())]
    labels = [
        {
            **dict(zip(KEYS, key, strict=True)),
            "n": n,
            "n_pos": n_pos,
            "auroc": [areas.get(key, (0, 0, math.nan))[2] for areas in scored],
        }
        for key, (n, n_pos, _) in scored[0].items()
    ]
    return {"templates": list(by_wording), "labels": labels}


def _areas(table: pd.DataFrame) -> dict[tuple[str, str, str], tuple[int, int, float]]:
    """Number of cases and positives, and the area, of each label."""
    areas = {}
    for key, rows in table.groupby(KEYS, sort=False, observed=True):
        target, score = rows["target"].to_numpy(), rows["score"].to_numpy()
        cohort, group, label = key  # pyright: ignore[reportGeneralTypeIssues]
        areas[str(cohort), str(group), str(label)] = len(target), int(target.sum()), auroc(target, score)
    return areas


def spread(values: Sequence[float | None]) -> WordingSpread:
    """Spread of one label's AUROC over wordings; missing values are left out."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(known) < 2:
        return WordingSpread(math.nan, math.nan)
    middle = sum(known) / len(known)
    variance = sum((value - middle) ** 2 for value in known) / (len(known) - 1)
    return WordingSpread(max(known) - min(known), math.sqrt(variance))
