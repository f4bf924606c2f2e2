"""Score predictions: one row per label and one row per group of labels, computed once and stored with the cell.

Invariant: a label with only one class has no area; it is listed with a reason, left out of the mean, and counted. Group
means weight labels equally (paper section 4, "average AUROC"); their intervals resample patients, not cases.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from uniferum.errors import UniferumError
from uniferum.evaluation import bootstrap, calibration
from uniferum.evaluation.area_interval import AreaInterval, area_interval
from uniferum.evaluation.curves import sensitivity_at_specificity
from uniferum.evaluation.delong import auroc, delong
from uniferum.evaluation.precision_interval import PrecisionInterval, mean_interval, precision_interval

#: Groups of labels as in the vocabulary: (cohort, group) -> label ids.
Groups = Mapping[tuple[str, str], Iterable[str]]

NEEDED = ("cohort", "group", "label", "volume_id", "patient_id", "target", "score")
DRAWS = 1000
#: Specificity of the operating point in the table; a convention, not from the paper.
SPECIFICITY = 0.9
OF_MEAN = "patients drawn with replacement, jointly for all labels"
"""How the interval of a group's mean AUROC is made."""


class Scores(NamedTuple):
    """``labels``: one row per label; ``groups``: one row per (cohort, group, metric)."""

    labels: pd.DataFrame
    groups: pd.DataFrame


@dataclass(frozen=True)
class _Label:
    """The scores of one label, its replicates of the joint patient draw, and its average precision."""

    row: dict[str, object]
    joint: bootstrap.Replicates | None
    precision: PrecisionInterval
    patients: NDArray[np.intp]
    """Its patients, in their order of appearance."""


def score_predictions(
    predictions: pd.DataFrame,
    groups: Groups | None = None,
    *,
    split: str | None = "test",
    draws: int = DRAWS,
    seed: int = 0,
) -> Scores:
    """Score one cell's predictions.

    Args:
        predictions: one row per known (volume, label): cohort, group, label, volume_id, patient_id, target (0 or 1),
            score (logit); optionally ``kind`` and ``split``.
        groups: the labels that each group should have; a label without a row is listed with a reason and counted.
        split: the split to score if the table has several; ``None``: all rows.
        draws: number of bootstrap draws; 0: bootstrap intervals are NaN.
        seed: seed of the draws.

    Returns:
        The tables written to ``metrics.parquet`` and to ``groups`` of ``result.json``. Intervals are 95 %, and
        ``..._method`` names how each was made: by patient for a label's AUROC (``auroc_lo``,
        :mod:`uniferum.evaluation.area_interval`), beside it DeLong's with volumes as cases (``auroc_delong_lo``) and
        the bootstrap by patient (``auroc_patient_lo``); :mod:`uniferum.evaluation.precision_interval` for AUPR and
        its means, around ``aupr_corrected``; joint bootstrap of the cohort's patients for means of AUROC.
        ``interval_reason`` says why a label has none.

    Raises:
        UniferumError: a column is missing, a score is not finite, a target is not 0 or 1, or a case occurs twice.
    """
    table = check_predictions(predictions, split=split)
    labels: list[dict[str, object]] = []
    means: list[dict[str, object]] = []
    for cohort, of_cohort in table.groupby("cohort", sort=False, observed=True):
        wanted = _wanted(of_cohort, str(cohort), groups)
        scored = _score_cohort(of_cohort, draws, seed)
        for group, names in wanted.items():
            of_group = [scored.get((group, name)) or _absent(str(cohort), group, name) for name in names]
            labels.extend(one.row for one in of_group)
            cases = of_cohort.loc[of_cohort["group"] == group]
            means.extend(_group_rows(str(cohort), group, of_group, cases))
    return Scores(pd.DataFrame(labels), pd.DataFrame(means))


def mean_auroc(predictions: pd.DataFrame) -> float:
    """Average the AUROC over all (cohort, label) pairs with both classes, equally weighted; NaN if there are none.

    This is the selection metric (paper 3.6), computed on validation predictions of the training cohorts' own tasks.

    Raises:
        UniferumError: see :func:`score_predictions`.
    """
    table = check_predictions(predictions, split=None)
    areas = [
        auroc(rows["target"].to_numpy(), rows["score"].to_numpy())
        for _, rows in table.groupby(["cohort", "label"], sort=False, observed=True)
    ]
    known = [area for area in areas if math.isfinite(area)]
    return float(np.mean(known)) if known else math.nan


def check_predictions(predictions: pd.DataFrame, *, split: str | None = "test") -> pd.DataFrame:
    """Return the rows of one split after checking their values; see :func:`score_predictions`."""
    missing = [name for name in NEEDED if name not in predictions.columns]
    if missing:
        raise UniferumError("predictions: columns", ", ".join(missing), must="be there", cure="evaluate the cell again")
    table = predictions
    if split is not None and "split" in predictions.columns:
        table = predictions.loc[predictions["split"] == split]
        if table.empty and len(predictions):
            there = ", ".join(sorted(map(str, predictions["split"].unique())))
            raise UniferumError("predictions: split", split, must=f"be one of those predicted: {there}")
    _check_values(table)
    return table


def _check_values(table: pd.DataFrame) -> None:
    scores = table["score"].to_numpy(dtype=np.float64)
    bad = ~np.isfinite(scores)
    if bad.any():
        first = table.iloc[int(np.flatnonzero(bad)[0])]
        where = f"{first['volume_id']}, {first['label']}"
        raise UniferumError(
            "predictions: score",
            f"{int(bad.sum())} of {len(table)} NaN or infinite, first: {where}",
            must="be finite",
            cure="the training diverged or the volume holds NaN; look at the cell's steps.jsonl",
        )
    targets = table["target"].to_numpy(dtype=np.float64)
    if not np.isin(targets, (0.0, 1.0)).all():
        raise UniferumError("predictions: target", must="be 0 or 1", cure="unknown targets make no row")
    again = table.duplicated(["cohort", "volume_id", "label"])
    if again.any():
        first = table.loc[again].iloc[0]
        where = f"{first['volume_id']}, {first['label']}"
        raise UniferumError(
            "predictions: case", f"{int(again.sum())} repeated, first: {where}", must="occur once for a label"
        )


def _wanted(table: pd.DataFrame, cohort: str, groups: Groups | None) -> dict[str, list[str]]:
    """Map groups to labels, in the order of the vocabulary, else in order of appearance."""
    pairs = table[["group", "label"]].drop_duplicates()
    wanted = {str(group): [str(x) for x in rows["label"]] for group, rows in pairs.groupby("group", sort=False)}
    for (named, group), names in (groups or {}).items():
        if named == cohort:
            listed = [str(name) for name in names]
            extra = [name for name in wanted.get(group, []) if name not in listed]
            wanted[group] = listed + extra
    return wanted


def _score_cohort(table: pd.DataFrame, draws: int, seed: int) -> dict[tuple[str, str], _Label]:
    """Score each label of a cohort, with one joint draw of the cohort's patients."""
    owner, patients = pd.factorize(table["patient_id"])
    weights = bootstrap.draw_patients(len(patients), draws, seed) if draws else None
    rows = table.assign(_owner=owner)
    return {
        (str(group), str(label)): _score_label(part, weights, seed)
        for (group, label), part in rows.groupby(["group", "label"], sort=False, observed=True)  # pyright: ignore[reportGeneralTypeIssues]
    }


def _score_label(part: pd.DataFrame, weights: NDArray[np.uint16] | None, seed: int) -> _Label:
    target = part["target"].to_numpy(dtype=np.float64)
    score = part["score"].to_numpy(dtype=np.float64)
    owner = part["_owner"].to_numpy()
    n_pos = int(target.sum())
    joint = None
    if weights is not None and 0 < n_pos < len(target):
        joint = bootstrap.replicate(target, score, owner, weights)
    first = part.iloc[0]
    row, precision = _row(str(first["cohort"]), str(first["group"]), str(first["label"]), target, score, owner, seed)
    row["kind"] = str(first["kind"]) if "kind" in part.columns else ""
    row["auroc_patient_lo"], row["auroc_patient_hi"] = bootstrap.percentile_interval(joint.auroc if joint else [])
    return _Label(row, joint, precision, pd.unique(owner))


def _row(
    cohort: str, group: str, label: str, target: NDArray, score: NDArray, owner: NDArray, seed: int
) -> tuple[dict[str, object], PrecisionInterval]:
    n, n_pos = len(target), int(target.sum())
    plain, own = delong(target, score), area_interval(target, score, owner)
    precision = precision_interval(target, score, owner, seed=seed)
    row = _facts(cohort, group, label, n, n_pos) | {
        "n_patients": own.patients,
        "auroc": plain.value,
        "auroc_se": plain.se,
        **_intervals(own, precision),
        "auroc_delong_lo": plain.lo,
        "auroc_delong_hi": plain.hi,
        "sensitivity": sensitivity_at_specificity(target, score, SPECIFICITY),
        "brier": calibration.brier(target, score),
        "ece": calibration.expected_calibration_error(target, score),
    }
    return row, precision


def _intervals(own: AreaInterval, precision: PrecisionInterval) -> dict[str, object]:
    """The columns of the intervals of a label."""
    return {
        "n_pos_patients": own.positives,
        "auroc_lo": own.low,
        "auroc_hi": own.high,
        "auroc_method": own.method,
        "aupr": precision.value,
        "aupr_corrected": precision.corrected,
        "aupr_lo": precision.low,
        "aupr_hi": precision.high,
        "aupr_method": precision.method,
        "interval_reason": own.reason,
    }


def _facts(cohort: str, group: str, label: str, n: int, n_pos: int) -> dict[str, object]:
    """The first columns of a label, and the interval by patient where none was drawn."""
    return {
        "cohort": cohort,
        "group": group,
        "label": label,
        "kind": "",
        "n": n,
        "n_pos": n_pos,
        "prevalence": n_pos / n if n else math.nan,
        "auroc_patient_lo": math.nan,
        "auroc_patient_hi": math.nan,
        "reason": _reason(n, n_pos),
    }


def _absent(cohort: str, group: str, label: str) -> _Label:
    empty = np.empty(0)
    row, precision = _row(cohort, group, label, empty, empty, empty, 0)
    return _Label(row, None, precision, np.empty(0, np.intp))


def _reason(n: int, n_pos: int) -> str:
    if n == 0:
        return "no case with a known value"
    if n_pos == 0:
        return "no positive case"
    return "no negative case" if n_pos == n else ""


def _group_rows(cohort: str, group: str, labels: list[_Label], cases: pd.DataFrame) -> list[dict[str, object]]:
    defined = [one for one in labels if not one.row["reason"]]
    common = {
        "n_labels": len(defined),
        "n_labels_total": len(labels),
        "n_cases": len(cases["volume_id"].unique()),
        "n_patients": len(cases["patient_id"].unique()),
        "prevalence": _mean([one.row["prevalence"] for one in defined]),
    }
    joint = [one.joint.auroc for one in defined if one.joint is not None]
    lo, hi = bootstrap.percentile_interval(bootstrap.mean_over_labels(joint)) if joint else (math.nan, math.nan)
    value = _mean([one.row["auroc"] for one in defined])
    area = {"value": value, "lo": lo, "hi": hi, "method": OF_MEAN if joint else ""}
    own = mean_interval([one.precision for one in defined], [one.patients for one in defined])
    precision = {"value": own.value, "lo": own.low, "hi": own.high, "method": own.method, "corrected": own.corrected}
    named = {"cohort": cohort, "group": group}
    return [{**named, "metric": "auroc", **area, **common}, {**named, "metric": "aupr", **precision, **common}]


def _mean(values: list[object]) -> float:
    return float(np.mean(np.asarray(values, dtype=np.float64))) if values else math.nan
