"""Score all labels of a prediction file fast: areas with their variances, one sort per label.

Invariant: the numbers equal those of :mod:`uniferum.evaluation.delong` and :mod:`uniferum.evaluation.curves`. A report
over hundreds of cells recomputes everything this way, so columns are read without tables of objects.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from uniferum.errors import UniferumError
from uniferum.evaluation.area_interval import AreaScale, area_scale
from uniferum.evaluation.clustered import freedom, small_sample_factor

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FACTS = ("cohort", "group", "label")
NEEDED = (*FACTS, "target", "score")
PATIENTS = ("patient_id", "volume_id")
"""Columns that name the unit of a variance: patients, else in older files volumes."""
WITHOUT_PATIENTS = "patients not recorded, volumes as cases"


@dataclass(frozen=True)
class Segments:
    """One value per segment (k,); areas are NaN if a class is missing."""

    n: Ints
    n_pos: Ints
    auroc: Floats
    se: Floats
    aupr: Floats
    scales: tuple[AreaScale, ...] = ()
    """What the interval of each area is computed from; without patients every case is a patient of its own."""
    influence: tuple[Floats, ...] = ()
    """The influence (patients,) of each patient on each area; the squares sum to its variance."""

    def mean_variance(self, chosen: Sequence[int]) -> tuple[float, float]:
        """Variance of the mean area of some segments, patients summed over them, and its degrees of freedom."""
        total = np.sum([self.influence[at] for at in chosen], axis=0) / len(chosen)
        own = [(float(self.influence[at] @ self.influence[at]), max(self.scales[at].free, 1)) for at in chosen]
        return float(total @ total), freedom(own)


@dataclass(frozen=True)
class Scored:
    """A prediction file: its (cohort, group, label) keys, their numbers, and the cases that these are of.

    Attributes:
        keys: of the segments.
        segments: their numbers.
        segment: (n,) index of each case's label.
        patient: (n,) number of its patient.
        target: (n,) of 0 and 1.
        score: (n,).
        by_patient: whether patients are recorded; otherwise every volume counts as one.
    """

    keys: list[tuple[str, str, str]]
    segments: Segments
    segment: NDArray[np.integer]
    patient: NDArray[np.integer]
    target: Floats
    score: Floats
    by_patient: bool = True

    def named(self, method: str) -> str:
        """The name of a method, with a remark if patients are not recorded."""
        return f"{method}; {WITHOUT_PATIENTS}" if method and not self.by_patient else method

    def cases(self, at: int) -> tuple[Floats, Floats, NDArray[np.integer]]:
        """Targets, scores and patients of one label."""
        here = self.segment == at
        return self.target[here], self.score[here], self.patient[here]


def score_segments(
    segment: NDArray[np.integer],
    target: Floats,
    score: Floats,
    count: int,
    patient: NDArray[np.integer] | None = None,
) -> Segments:
    """Score every segment.

    Args:
        segment: (n,) index of each case's label, 0 to ``count`` - 1.
        target: (n,) of 0 and 1.
        score: (n,), finite.
        count: number of segments k.
        patient: (n,) number of each case's patient, from 0; None: every case is a patient of its own.
    """
    order = np.argsort(segment, kind="stable")
    positive, value = target[order] > 0.5, score[order]
    owner = np.arange(len(order)) if patient is None else patient[order]
    patients = int(owner.max()) + 1 if len(owner) else 0
    n = np.bincount(segment, minlength=count)
    stops = np.cumsum(n)
    parts = [
        _areas(positive[at:to], value[at:to], owner[at:to], patients) for at, to in zip(stops - n, stops, strict=True)
    ]
    scales = tuple(part[0] for part in parts)
    n_pos, area, se = (np.array([getattr(one, name) for one in scales]) for name in ("n_pos", "value", "se"))
    precision = np.array([part[1] for part in parts], dtype=np.float64)
    facts = n_pos.astype(np.int64), area.astype(np.float64), se.astype(np.float64), precision
    return Segments(n, *facts, scales, tuple(part[2] for part in parts))


def _areas(
    positive: NDArray[np.bool_], value: Floats, owner: NDArray[np.integer], patients: int
) -> tuple[AreaScale, float, Floats]:
    """The area's scale, the average precision and the patients' influence of one label, from one sort."""
    order = np.argsort(value)
    ordered, classes, owners = value[order], positive[order], owner[order]
    at_pos, at_neg = np.flatnonzero(classes), np.flatnonzero(~classes)
    own_pos, own_neg = owners[at_pos], owners[at_neg]
    m, n = len(at_pos), len(at_neg)
    if not m or not n:
        nothing = np.full(m, math.nan), np.full(n, math.nan)
        return area_scale(*nothing, own_pos, own_neg), math.nan, np.zeros(patients)
    if (ordered[1:] == ordered[:-1]).any():
        of_pos, of_neg, precision = _tied(ordered, classes, at_pos, at_neg)
    else:
        rank = np.arange(m)
        of_pos = (at_pos - rank) / n
        of_neg = (m - (at_neg - np.arange(n))) / m
        precision = (m - rank) / (m + n - at_pos)
    area = area_scale(of_pos, of_neg, own_pos, own_neg)
    influence = np.zeros(patients)
    for values, own, count in ((of_pos, own_pos, area.positives), (of_neg, own_neg, area.negatives)):
        factor = math.sqrt(small_sample_factor(count)) / len(values)
        influence += np.bincount(own, weights=(values - area.value) * factor, minlength=patients)
    return area, float(precision.mean()), influence


def _tied(
    ordered: Floats, classes: NDArray[np.bool_], at_pos: NDArray[np.intp], at_neg: NDArray[np.intp]
) -> tuple[Floats, Floats, Floats]:
    """DeLong's components and the precision at each positive, with ties as one step."""
    new = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    starts = np.flatnonzero(new)
    run = np.cumsum(new) - 1
    start, stop = starts[run], np.append(starts[1:], len(ordered))[run]
    below = np.concatenate(([0], np.cumsum(classes)))
    pos_before, pos_tied = below[start], below[stop] - below[start]
    neg_before, neg_tied = start - pos_before, stop - start - pos_tied
    of_pos = (neg_before + 0.5 * neg_tied)[at_pos] / len(at_neg)
    of_neg = (len(at_pos) - pos_before - 0.5 * pos_tied)[at_neg] / len(at_pos)
    precision = (len(at_pos) - pos_before[at_pos]) / (len(ordered) - start[at_pos])
    return of_pos, of_neg, precision


def score_file(path: Path) -> Scored:
    """Score a prediction file.

    Raises:
        UniferumError: the file is unreadable, lacks a column, or holds a score that is not finite.
    """
    try:
        there = pq.read_schema(path).names
        columns = [name for name in (*NEEDED, *PATIENTS) if name in there]
        columns = [name for name in columns if name != "volume_id" or "patient_id" not in there]
        table = pq.read_table(path, columns=columns, read_dictionary=[*FACTS, *PATIENTS])
    except (OSError, pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise UniferumError(str(path), must="be a readable prediction file", cure=str(error).splitlines()[0]) from None
    return score_table(table, str(path))


def score_table(table: pa.Table, source: str) -> Scored:
    """Score the predictions of a table, as :func:`score_file`; ``source`` names it in errors."""
    absent = [name for name in NEEDED if name not in table.column_names]
    if absent:
        raise UniferumError(f"{source}: columns", ", ".join(absent), must="be there", cure="evaluate the cell again")
    score, target = table["score"].to_numpy(), table["target"].to_numpy()
    bad = int((~np.isfinite(score)).sum())
    if bad:
        raise UniferumError(f"{source}: score", f"{bad} NaN or infinite", must="be finite")
    keys, segment = _keys(table)
    unit = next((name for name in PATIENTS if name in table.column_names), None)
    patient = np.arange(len(score)) if unit is None else _codes(table, unit)[0]
    segments = score_segments(segment, target, score, len(keys), patient)
    return Scored(keys, segments, segment, patient, target, score, unit == "patient_id")


def _keys(table: pa.Table) -> tuple[list[tuple[str, str, str]], NDArray[np.integer]]:
    """Return the distinct (cohort, group, label) of a table and the index of each row among them."""
    codes, words = [], []
    for name in FACTS:
        code, word = _codes(table, name)
        codes.append(code)
        words.append(word)
    joint = (codes[0] * len(words[1]) + codes[1]) * len(words[2]) + codes[2]
    present = np.flatnonzero(np.bincount(joint))
    index_of = np.zeros(int(joint.max()) + 1 if len(joint) else 1, np.int16)
    index_of[present] = np.arange(len(present))
    keys = [
        (words[0][p // (len(words[1]) * len(words[2]))], words[1][p // len(words[2]) % len(words[1])],
         words[2][p % len(words[2])])
        for p in present.tolist()
    ]  # fmt: skip
    return keys, index_of[joint]


def _codes(table: pa.Table, name: str) -> tuple[Ints, list[str]]:
    """The values of a column as numbers, and the words that these stand for."""
    column = table[name].combine_chunks()
    column = column.dictionary_encode() if not pa.types.is_dictionary(column.type) else column
    return column.indices.to_numpy().astype(np.int64), column.dictionary.to_pylist()
