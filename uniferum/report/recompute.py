"""Compute the scores of cells again from their prediction files: values and DeLong intervals.

Bootstrap intervals are computed only at evaluation, because they take minutes. Recomputed group means have none.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from uniferum.evaluation.fast_scores import Segments, score_file
from uniferum.report.records import CellRecord
from uniferum.report.tables.paper import mean

LabelKey = tuple[str, str, str]


def recomputed(records: Sequence[CellRecord], *, threads: int = 2) -> list[CellRecord]:
    """Return the cells with labels and group means scored from the prediction files.

    Raises:
        UniferumError: a prediction file is missing or unreadable, or holds a score that is not finite.
    """
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(_recomputed, records))


def _recomputed(record: CellRecord) -> CellRecord:
    keys, scored = score_file(record.files.predictions)
    counts = {(score.cohort, score.group): score for score in record.groups}
    groups: list[dict[str, Any]] = []
    for column in dict.fromkeys((cohort, group) for cohort, group, _ in keys):
        members = [at for at, key in enumerate(keys) if key[:2] == column]
        known = [at for at in members if math.isfinite(scored.auroc[at])]
        stored = counts.get(column)
        common = {
            "cohort": column[0],
            "group": column[1],
            "n_labels": len(known),
            "n_labels_total": max(len(members), stored.n_labels_total if stored else 0),
            "n_cases": stored.n_cases if stored else int(max(scored.n[members])),
            "n_patients": stored.n_patients if stored else 0,
            "flagged": dict(stored.flagged) if stored else {},
            "prevalence": mean([float(scored.n_pos[at] / scored.n[at]) for at in known]),
        }
        groups += [
            {"metric": metric, "value": mean([float(values[at]) for at in known]), **common}
            for metric, values in (("auroc", scored.auroc), ("aupr", scored.aupr))
        ]
    return replace(record, result={**record.result, "groups": groups}, recomputed=_labels(keys, scored))


def _labels(keys: Sequence[LabelKey], scored: Segments) -> pd.DataFrame:
    width = float(ndtri(0.975)) * scored.se
    reasons = np.select(
        [scored.n_pos == 0, scored.n_pos == scored.n], ["no positive case", "no negative case"], default=""
    )
    facts = {name: [key[at] for key in keys] for at, name in enumerate(("cohort", "group", "label"))}
    return pd.DataFrame(
        {
            **facts,
            "n": scored.n,
            "n_pos": scored.n_pos,
            "prevalence": scored.n_pos / np.maximum(scored.n, 1),
            "auroc": scored.auroc,
            "auroc_se": scored.se,
            "auroc_lo": np.clip(scored.auroc - width, 0, 1),
            "auroc_hi": np.clip(scored.auroc + width, 0, 1),
            "aupr": scored.aupr,
            "reason": reasons,
        }
    )
