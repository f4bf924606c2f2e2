"""Compare cells on the same cases: paired DeLong tests by label, and tests of group means by patient.

Invariant: cells are compared case by case. Cells with different cases or different targets are refused with their
names; the common cases are used only on request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from uniferum.errors import UniferumError
from uniferum.evaluation.delong import PairedTest, covariance, paired_test, placements

Floats = NDArray[np.float64]
LabelKey = tuple[str, str, str]
"""Cohort, group, label."""


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


@dataclass(frozen=True)
class Difference:
    """Group mean of the second cell minus that of the first, tested with patients as the unit."""

    first: float
    second: float
    test: PairedTest
    n_labels: int
    means: tuple[float, ...] = ()
    """Group mean of each cell, where several are averaged."""


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
    """Test every pair of cells on every label with both classes, one row per test (DeLong, two-sided, unadjusted)."""
    rows = []
    for (cohort, group, label), one in cases.items():
        if not one.both_classes:
            continue
        areas, matrix = covariance(one.target, one.scores)
        for a, b in combinations(range(len(names)), 2):
            test = paired_test(areas[a], areas[b], matrix[a, a] + matrix[b, b] - 2 * matrix[a, b])
            facts = {"cohort": cohort, "group": group, "label": label, "first": names[a], "second": names[b]}
            numbers = {"difference": test.difference, "se": test.se, "lo": test.lo, "hi": test.hi, "p": test.p}
            rows.append({**facts, "auroc_first": test.first, "auroc_second": test.second, **numbers})
    return pd.DataFrame(rows)


def group_difference(
    cases: Mapping[LabelKey, Cases], column: tuple[str, str], sides: tuple[Sequence[int], Sequence[int]] = ((0,), (1,))
) -> Difference | None:
    """Test the difference of two cells' mean AUROC over a group of labels; ``None`` if no label has both classes.

    ``sides`` are the numbers of the cells that are compared. If a side has several, e.g. the seeds of one
    configuration, their areas are averaged, and so are their components by case.

    DeLong's components of all labels are summed within each patient, so that volumes and labels of a patient are not
    treated as independent (Obuchowski, Biometrics 53 (1997) 567-578, extended to a mean of areas). With one label and
    one volume per patient this is DeLong's paired test.
    """
    wanted = [one for (cohort, group, _), one in cases.items() if (cohort, group) == column and one.both_classes]
    if not wanted:
        return None
    first_side, second_side = (list(side) for side in sides)
    assert all(len(one.scores) == len(first_side) + len(second_side) for one in wanted), "each cell is on one side"
    influence, areas = zip(*(_influences(one) for one in wanted), strict=True)
    means = np.mean(np.stack(areas), axis=0)
    first, second = means[first_side].mean(), means[second_side].mean()
    by_case = np.concatenate(
        [rows[second_side].mean(axis=0) - rows[first_side].mean(axis=0) for rows in influence]
    ) / len(wanted)
    owner, patients = pd.factorize(np.concatenate([one.patient for one in wanted]))
    by_patient = np.bincount(owner, weights=by_case, minlength=len(patients))
    test = paired_test(float(first), float(second), float((by_patient**2).sum()))
    return Difference(float(first), float(second), test, len(wanted), tuple(means.tolist()))


def label_difference(one: Cases, sides: tuple[Sequence[int], Sequence[int]]) -> Difference | None:
    """Test the difference of two cells, or of two means over cells, on one label; ``None`` without both classes.

    This is DeLong's paired test with volumes as cases, as in :func:`pairwise`.
    """
    if not one.both_classes:
        return None
    areas, matrix = covariance(one.target, one.scores)
    weights = np.zeros(len(areas))
    for side, sign in zip(sides, (-1.0, 1.0), strict=True):
        weights[list(side)] = sign / len(side)
    first, second = (float(areas[list(side)].mean()) for side in sides)
    test = paired_test(first, second, float(weights @ matrix @ weights))
    return Difference(first, second, test, 1, tuple(areas.tolist()))


def _influences(one: Cases) -> tuple[Floats, Floats]:
    """Return the influence (cells, n) of each case on each area; the squares sum to DeLong's variance."""
    positive = one.target > 0.5
    shares, areas = np.zeros_like(one.scores), np.zeros(len(one.scores))
    for at, score in enumerate(one.scores):
        of_pos, of_neg = placements(one.target, score)
        areas[at] = of_pos.mean()
        shares[at, positive] = (of_pos - areas[at]) / np.sqrt(len(of_pos) * max(len(of_pos) - 1, 1))
        shares[at, ~positive] = (of_neg - areas[at]) / np.sqrt(len(of_neg) * max(len(of_neg) - 1, 1))
    return shares, areas


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
