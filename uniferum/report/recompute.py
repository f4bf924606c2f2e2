"""Compute the scores of cells again from their prediction files: values, and intervals by patient.

The bootstrap of patients is computed only at evaluation, because it takes minutes. The interval of a recomputed mean of
AUROC is analytic: DeLong's components of all labels, summed within each patient.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from uniferum.evaluation import calibration
from uniferum.evaluation.area_interval import invert
from uniferum.evaluation.curves import sensitivity_at_specificity
from uniferum.evaluation.delong import quantile
from uniferum.evaluation.fast_scores import FACTS, Scored, score_file
from uniferum.evaluation.metrics import SPECIFICITY
from uniferum.evaluation.precision_interval import PrecisionInterval, mean_interval, precision_interval
from uniferum.report.records import PLAIN, CellRecord

LabelKey = tuple[str, str, str]
OF_MEAN = "components of all labels summed within each patient"
INTERVAL = ["auroc_lo", "auroc_hi", "auroc_method", "interval_reason"]
HALVES = 100
"""Halves that are drawn for each label's average precision: a third of those of an evaluation."""


def by_unit(records: Sequence[CellRecord], unit: str) -> list[CellRecord]:
    """The cells with another unit of their cases; no published value stands beside these."""
    if unit == "volume":
        return list(records)
    apart = f"scored by {unit}, not by volume"
    return [replace(one, unit=unit, other_system="; ".join(filter(None, (one.other_system, apart)))) for one in records]


def recomputed(records: Sequence[CellRecord], *, threads: int = 2, full: bool = True) -> list[CellRecord]:
    """Return the cells with labels and group means scored from the prediction files.

    Args:
        records: finished cells.
        threads: number of cells at once.
        full: also intervals of average precision, sensitivity, Brier score and calibration error; without them a
            hundred cells take seconds instead of minutes.

    Raises:
        UniferumError: a prediction file is missing or unreadable, or holds a score that is not finite.
    """
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda record: _recomputed(record, full), records))


def with_intervals(record: CellRecord) -> pd.DataFrame:
    """The label scores of a record; one of an older version gets intervals of AUROC from its predictions.

    Without these its stored intervals stay, which are DeLong's with volumes as cases, and are named so.
    """
    table = record.labels
    if "auroc_method" in table.columns:
        return table
    delong = table.rename(columns={"auroc_lo": "auroc_delong_lo", "auroc_hi": "auroc_delong_hi"})
    if not record.files.predictions.exists():
        return table.assign(auroc_method=PLAIN)
    path = record.files.predictions
    own = _of_file(path, path.stat().st_mtime_ns)[INTERVAL]
    return delong.merge(own, how="left", left_on=list(FACTS), right_index=True)


@lru_cache(maxsize=512)
def _of_file(path: Path, modified: int) -> pd.DataFrame:
    return _labels(score_file(path), None).set_index(list(FACTS))


def _recomputed(record: CellRecord, full: bool) -> CellRecord:
    scored = record.scored()
    keys, segments = scored.keys, scored.segments
    precision = [_precision(scored, at) for at in range(len(keys))] if full else None
    counts = {(score.cohort, score.group): score for score in record.groups}
    groups: list[dict[str, Any]] = []
    for column in dict.fromkeys((cohort, group) for cohort, group, _ in keys):
        members = [at for at, key in enumerate(keys) if key[:2] == column]
        known = [at for at in members if math.isfinite(segments.auroc[at])]
        stored = counts.get(column)
        whole = record.unit == "volume"
        common = {
            "cohort": column[0],
            "group": column[1],
            "n_labels": len(known),
            "n_labels_total": max(len(members), stored.n_labels_total if stored else 0),
            "n_cases": stored.n_cases if stored and whole else int(max(segments.n[members])),
            "n_patients": stored.n_patients if stored else 0,
            "flagged": dict(stored.flagged) if stored else {},
            "prevalence": _mean([float(segments.n_pos[at] / segments.n[at]) for at in known]),
        }
        own = _mean_precision(scored, precision, known)
        groups.append({"metric": "auroc", **_mean_area(scored, known), **common})
        groups.append({"metric": "aupr", **own, **common})
    return replace(record, result={**record.result, "groups": groups}, recomputed=_labels(scored, precision))


def _mean(values: Sequence[float]) -> float:
    """Mean of finite values; NaN if there are none."""
    return fmean(values) if values else math.nan


def _precision(scored: Scored, at: int) -> PrecisionInterval:
    return precision_interval(*scored.cases(at), halves=HALVES)


def _mean_area(scored: Scored, known: Sequence[int]) -> dict[str, Any]:
    """The mean AUROC of some labels with its interval by patient."""
    if not known:
        return {"value": math.nan}
    variance, free = scored.segments.mean_variance(known)
    value, half = _mean([float(scored.segments.auroc[at]) for at in known]), quantile(0.95, free) * math.sqrt(variance)
    return {"value": value, "lo": max(0.0, value - half), "hi": min(1.0, value + half), "method": OF_MEAN}


def _mean_precision(
    scored: Scored, precision: Sequence[PrecisionInterval] | None, known: Sequence[int]
) -> dict[str, Any]:
    """The mean average precision of some labels, with its interval if those of the labels are known."""
    if precision is None:
        return {"value": _mean([float(scored.segments.aupr[at]) for at in known])}
    own = mean_interval([precision[at] for at in known], [pd.unique(scored.cases(at)[2]) for at in known])
    return {"value": own.value, "lo": own.low, "hi": own.high, "corrected": own.corrected, "method": own.method}


def _labels(scored: Scored, precision: Sequence[PrecisionInterval] | None) -> pd.DataFrame:
    keys, one = scored.keys, scored.segments
    width = float(ndtri(0.975)) * one.se
    low, high = invert(one.scales)
    reasons = np.select([one.n_pos == 0, one.n_pos == one.n], ["no positive case", "no negative case"], default="")
    facts = {name: [key[at] for key in keys] for at, name in enumerate(FACTS)}
    table = pd.DataFrame(
        {
            **facts,
            "n": one.n,
            "n_pos": one.n_pos,
            "n_patients": [scale.patients for scale in one.scales],
            "n_pos_patients": [scale.positives for scale in one.scales],
            "prevalence": one.n_pos / np.maximum(one.n, 1),
            "auroc": one.auroc,
            "auroc_se": one.se,
            "auroc_lo": low,
            "auroc_hi": high,
            "auroc_method": [scored.named(scale.method) for scale in one.scales],
            "auroc_delong_lo": np.clip(one.auroc - width, 0, 1),
            "auroc_delong_hi": np.clip(one.auroc + width, 0, 1),
            "aupr": one.aupr,
            "interval_reason": [scale.reason for scale in one.scales],
            "reason": reasons,
        }
    )
    return table if precision is None else table.assign(**_more(scored, precision))


def _more(scored: Scored, precision: Sequence[PrecisionInterval]) -> dict[str, list[Any]]:
    """The columns of a full recomputation."""
    cases = [scored.cases(at)[:2] for at in range(len(scored.keys))]
    return {
        "aupr_corrected": [own.corrected for own in precision],
        "aupr_lo": [own.low for own in precision],
        "aupr_hi": [own.high for own in precision],
        "aupr_method": [scored.named(own.method) for own in precision],
        "sensitivity": [sensitivity_at_specificity(*one, SPECIFICITY) for one in cases],
        "brier": [calibration.brier(*one) for one in cases],
        "ece": [calibration.expected_calibration_error(*one) for one in cases],
    }
