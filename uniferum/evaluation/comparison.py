"""Compare cells on the same cases: paired tests of labels and of group means, with patients as the unit.

Invariant: cells are compared case by case. Cells with different cases or different targets are refused with their
names; the common cases are used only on request.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from uniferum.errors import UniferumError
from uniferum.evaluation.area_interval import AreaInterval, too_few
from uniferum.evaluation.clustered import Components, components, freedom
from uniferum.evaluation.delong import PairedTest, covariance, paired_test, quantile

Floats = NDArray[np.float64]
LabelKey = tuple[str, str, str]
"""Cohort, group, label."""

CLUSTERED = "paired test by patient (Obuchowski 1997), Student's t"
INDEPENDENT = "DeLong's paired test, one case a patient, Student's t"
OF_MEAN = "components of all labels summed within each patient, Student's t"


@dataclass(frozen=True)
class Cases:
    """The cases of one label in all cells: ``target`` (n,), ``scores`` (cells, n), ``patient`` (n,) ids."""

    target: Floats
    scores: Floats
    patient: NDArray[np.object_]

    @property
    def both_classes(self) -> bool:
        """Whether both classes occur, so that an area is defined."""
        return bool(0 < self.target.sum() < len(self.target))

    @property
    def clustered(self) -> bool:
        """Whether a patient has several volumes."""
        return len(pd.unique(self.patient)) < len(self.patient)


@dataclass(frozen=True)
class Difference:
    """Area or group mean of the second cell minus that of the first, tested with patients as the unit."""

    first: float
    second: float
    test: PairedTest
    n_labels: int
    means: tuple[float, ...] = ()
    """Group mean of each cell, where several are averaged."""
    patients: int = 0
    positives: int = 0
    """Patients with a positive volume, of the label that has fewest."""
    method: str = ""
    reason: str = ""
    """Why one label has no test, e.g. ``too few positives (3)``: its interval and p are NaN."""


def align(predictions: Mapping[str, pd.DataFrame], *, common: bool = False) -> dict[LabelKey, Cases]:
    """Align the predictions of cells case by case.

    Args:
        predictions: cell name -> its prediction table (one split).
        common: compare on the cases that all cells have; otherwise differing cases are an error.

    Raises:
        UniferumError: the cells' cases or targets differ (named), or no case is common.
    """
    names = list(predictions)
    parts = {name: _by_label(table) for name, table in predictions.items()}
    keys = _common_keys(parts, common)
    return {key: _cases(key, names, [parts[name][key] for name in names], common) for key in keys}


def pairwise(cases: Mapping[LabelKey, Cases], names: Sequence[str]) -> pd.DataFrame:
    """Test every pair of cells on every label with both classes, one row per test (two-sided, unadjusted).

    ``se``, ``lo``, ``hi`` and ``p`` are by patient; the last three are NaN where ``reason`` says why. ``p_delong`` is
    of DeLong's own test, with volumes as cases.
    """
    rows = []
    for (cohort, group, label), one in cases.items():
        if not one.both_classes:
            continue
        computed, (areas, matrix) = components(one.target, one.scores, one.patient), covariance(one.target, one.scores)
        for a, b in combinations(range(len(names)), 2):
            weights = np.zeros(len(names))
            weights[[a, b]] = -1.0, 1.0
            made = _tested(computed, weights, one.clustered)
            plain = paired_test(areas[a], areas[b], matrix[a, a] + matrix[b, b] - 2 * matrix[a, b])
            facts = {"cohort": cohort, "group": group, "label": label, "first": names[a], "second": names[b]}
            counts = {"patients": made.patients, "positives": made.positives}
            words = {"method": made.method, "reason": made.reason}
            test = made.test
            numbers = {"difference": test.difference, "se": test.se, "lo": test.lo, "hi": test.hi, "p": test.p}
            numbers |= {"auroc_first": test.first, "auroc_second": test.second, "p_delong": plain.p}
            rows.append({**facts, **numbers, **counts, **words})
    return pd.DataFrame(rows)


def group_difference(
    cases: Mapping[LabelKey, Cases], column: tuple[str, str], sides: tuple[Sequence[int], Sequence[int]] = ((0,), (1,))
) -> Difference | None:
    """Test the difference of two cells' mean AUROC over a group of labels; ``None`` if no label has both classes.

    ``sides`` are the numbers of the cells that are compared. If a side has several, e.g. the seeds of one
    configuration, their areas are averaged, and so are their components by patient.

    DeLong's components of all labels are summed within each patient, so that volumes and labels of a patient are not
    treated as independent (Obuchowski, Biometrics 53 (1997) 567-578, extended to a mean of areas). With one label and
    one volume per patient this is the variance of DeLong's paired test.
    """
    wanted = [one for (cohort, group, _), one in cases.items() if (cohort, group) == column and one.both_classes]
    if not wanted:
        return None
    first_side, second_side = (list(side) for side in sides)
    assert all(len(one.scores) == len(first_side) + len(second_side) for one in wanted), "each cell is on one side"
    computed = [components(one.target, one.scores, one.patient) for one in wanted]
    variance, free, patients = _of_mean(wanted, computed, _contrast(sides, len(wanted[0].scores)))
    means = np.mean(np.stack([one.areas for one in computed]), axis=0)
    first, second = float(means[first_side].mean()), float(means[second_side].mean())
    test = paired_test(first, second, variance, freedom=free)
    fewest = min(one.positives for one in computed)
    return Difference(first, second, test, len(wanted), tuple(means.tolist()), patients, fewest, OF_MEAN)


def group_area(
    cases: Mapping[LabelKey, Cases], column: tuple[str, str], cell: int = 0, *, level: float = 0.95
) -> AreaInterval | None:
    """The mean AUROC of one cell over a group of labels, with its interval by patient; ``None`` without a label.

    ``positives`` are those of the label that has fewest.
    """
    wanted = [one for (cohort, group, _), one in cases.items() if (cohort, group) == column and one.both_classes]
    if not wanted:
        return None
    computed = [components(one.target, one.scores[[cell]], one.patient) for one in wanted]
    variance, free, patients = _of_mean(wanted, computed, np.ones(1))
    value, half = float(np.mean([one.areas[0] for one in computed])), quantile(level, free) * math.sqrt(variance)
    fewest = min(one.positives for one in computed), min(one.negatives for one in computed)
    low, high = (max(0.0, value - half), min(1.0, value + half)) if math.isfinite(half) else (math.nan, math.nan)
    return AreaInterval(value, low, high, OF_MEAN if math.isfinite(half) else "", patients, *fewest)


def label_difference(one: Cases, sides: tuple[Sequence[int], Sequence[int]]) -> Difference | None:
    """Test the difference of two cells, or of two means over cells, on one label; ``None`` without both classes.

    This is the test of :func:`pairwise`, with patients as the unit.
    """
    if not one.both_classes:
        return None
    computed = components(one.target, one.scores, one.patient)
    return _tested(computed, _contrast(sides, len(one.scores)), one.clustered)


def _contrast(sides: tuple[Sequence[int], Sequence[int]], cells: int) -> Floats:
    """Weights (cells,) of the mean of the second side minus that of the first."""
    weights = np.zeros(cells)
    for side, sign in zip(sides, (-1.0, 1.0), strict=True):
        weights[list(side)] = sign / len(side)
    return weights


def _tested(computed: Components, weights: Floats, clustered: bool) -> Difference:
    """The test of one label; its interval and p are NaN where a class has too few patients."""
    variance, free = computed.variance(weights)
    first, second = (float(-(weights.clip(max=0) @ computed.areas)), float(weights.clip(min=0) @ computed.areas))
    test, reason = paired_test(first, second, variance, freedom=free), too_few(computed.positives, computed.negatives)
    if reason:
        test = replace(test, lo=math.nan, hi=math.nan, z=math.nan, p=math.nan)
    method = "" if reason else CLUSTERED if clustered else INDEPENDENT
    facts = (computed.patients, computed.positives, method, reason)
    return Difference(first, second, test, 1, tuple(computed.areas.tolist()), *facts)


def _of_mean(wanted: Sequence[Cases], computed: Sequence[Components], weights: Floats) -> tuple[float, float, int]:
    """Variance of a mean over labels, its degrees of freedom, and the number of patients."""
    by_case, owners, parts = [], [], []
    for one, of_label in zip(wanted, computed, strict=True):
        by_case.append(weights @ of_label.influence)
        owners.append(pd.unique(one.patient))
        own, free = of_label.variance(weights)
        parts.append((max(own, 0.0), free))
    owner, patients = pd.factorize(np.concatenate(owners))
    by_patient = np.bincount(owner, weights=np.concatenate(by_case), minlength=len(patients)) / len(wanted)
    return float((by_patient**2).sum()), freedom(parts), len(patients)


def _by_label(table: pd.DataFrame) -> dict[LabelKey, pd.DataFrame]:
    grouped = table.groupby(["cohort", "group", "label"], sort=False, observed=True)
    return {(str(key[0]), str(key[1]), str(key[2])): part for key, part in grouped}  # pyright: ignore[reportIndexIssue]


def _common_keys(parts: Mapping[str, Mapping[LabelKey, pd.DataFrame]], common: bool) -> list[LabelKey]:
    names = list(parts)
    first = parts[names[0]]
    shared = [key for key in first if all(key in part for part in parts.values())]
    for name in names:
        extra = [key for key in parts[name] if key not in shared]
        if extra and not common:
            shown = "/".join(extra[0])
            others = ", ".join(other for other in names if other != name)
            raise UniferumError(
                f"{name}: label", f"{shown} and {len(extra) - 1} more", must=f"be scored by {others} too", cure=_CURE
            )
    return shared


def _cases(key: LabelKey, names: Sequence[str], parts: Sequence[pd.DataFrame], common: bool) -> Cases:
    ids = [part["volume_id"].to_numpy(dtype=object) for part in parts]
    if all(np.array_equal(ids[0], other) for other in ids[1:]):
        ordered = list(parts)
    else:
        ordered = _reindexed(key, names, parts, common)
    targets = [part["target"].to_numpy(dtype=np.float64) for part in ordered]
    for name, target in zip(names, targets, strict=True):
        if not np.array_equal(target, targets[0]):
            at = str(ordered[0]["volume_id"].iloc[int(np.flatnonzero(target != targets[0])[0])])
            raise UniferumError(
                f"{name}: target of {'/'.join(key)}", at, must=f"be that of {names[0]}", cure="the label files differ"
            )
    scores = np.stack([part["score"].to_numpy(dtype=np.float64) for part in ordered])
    return Cases(targets[0], scores, ordered[0]["patient_id"].to_numpy(dtype=object))


def _reindexed(key: LabelKey, names: Sequence[str], parts: Sequence[pd.DataFrame], common: bool) -> list[pd.DataFrame]:
    """Restrict every table to the common cases, in the order of the first table."""
    shared = set(parts[0]["volume_id"]).intersection(*(set(part["volume_id"]) for part in parts[1:]))
    for name, part in zip(names, parts, strict=True):
        lost = len(part) - len(shared)
        if lost and not common:
            example = next(case for case in part["volume_id"] if case not in shared)
            raise UniferumError(
                f"{name}: cases of {'/'.join(key)}", f"{lost} such as {example}", must="be those of all", cure=_CURE
            )
    if not shared:
        raise UniferumError("/".join(key), must="have a case that all cells scored")
    order = [case for case in parts[0]["volume_id"] if case in shared]
    return [part.set_index("volume_id", drop=False).loc[order] for part in parts]


_CURE = "compare on the common cases with --common, or evaluate the cells on the same test split"
