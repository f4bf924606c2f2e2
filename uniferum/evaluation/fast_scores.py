"""Score all labels of a prediction file fast: areas and DeLong's standard errors, one sort per label.

Invariant: the numbers equal those of :mod:`uniferum.evaluation.delong` and :mod:`uniferum.evaluation.curves`. A report
over hundreds of cells recomputes everything this way, so columns are read without tables of objects.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from uniferum.errors import UniferumError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FACTS = ("cohort", "group", "label")


@dataclass(frozen=True)
class Segments:
    """One value per segment (k,); areas are NaN if a class is missing."""

    n: Ints
    n_pos: Ints
    auroc: Floats
    se: Floats
    aupr: Floats


def score_segments(segment: NDArray[np.integer], target: Floats, score: Floats, count: int) -> Segments:
    """Score every segment.

    Args:
        segment: (n,) index of each case's label, 0 to ``count`` - 1.
        target: (n,) of 0 and 1.
        score: (n,), finite.
        count: number of segments k.
    """
    order = np.argsort(segment, kind="stable")
    positive, value = target[order] > 0.5, score[order]
    n = np.bincount(segment, minlength=count)
    stops = np.cumsum(n)
    parts = np.array(
        [_areas(positive[at:to], value[at:to]) for at, to in zip(stops - n, stops, strict=True)], dtype=np.float64
    ).reshape(count, 4)
    return Segments(n, parts[:, 0].astype(np.int64), parts[:, 1], parts[:, 2], parts[:, 3])


def _areas(positive: NDArray[np.bool_], value: Floats) -> tuple[float, float, float, float]:
    """Positives, area, its standard error and the average precision of one label, from one sort."""
    order = np.argsort(value)
    ordered, classes = value[order], positive[order]
    at_pos, at_neg = np.flatnonzero(classes), np.flatnonzero(~classes)
    m, n = len(at_pos), len(at_neg)
    if not m or not n:
        return float(m), math.nan, math.nan, math.nan
    if (ordered[1:] == ordered[:-1]).any():
        of_pos, of_neg, precision = _tied(ordered, classes, at_pos, at_neg)
    else:
        rank = np.arange(m)
        of_pos = (at_pos - rank) / n
        of_neg = (m - (at_neg - np.arange(n))) / m
        precision = (m - rank) / (m + n - at_pos)
    area = float(of_pos.mean())
    se = math.sqrt(_mean_variance(of_pos, area) + _mean_variance(of_neg, area))
    return float(m), area, se, float(precision.mean())


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


def _mean_variance(values: Floats, mean: float) -> float:
    """Variance of a mean; 0 for a single case."""
    deviation = values - mean
    return float(deviation @ deviation) / max(len(values) - 1, 1) / len(values)


def score_file(path: Path) -> tuple[list[tuple[str, str, str]], Segments]:
    """Score a prediction file; return its (cohort, group, label) keys and their numbers.

    Raises:
        UniferumError: the file is unreadable, lacks a column, or holds a score that is not finite.
    """
    try:
        table = pq.read_table(path, columns=[*FACTS, "target", "score"], read_dictionary=list(FACTS))
    except (OSError, pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise UniferumError(str(path), must="be a readable prediction file", cure=str(error).splitlines()[0]) from None
    absent = [name for name in (*FACTS, "target", "score") if name not in table.column_names]
    if absent:
        raise UniferumError(f"{path}: columns", ", ".join(absent), must="be there", cure="evaluate the cell again")
    score = table["score"].to_numpy()
    bad = int((~np.isfinite(score)).sum())
    if bad:
        raise UniferumError(f"{path}: score", f"{bad} NaN or infinite", must="be finite")
    keys, segment = _keys(table)
    return keys, score_segments(segment, table["target"].to_numpy(), score, len(keys))


def _keys(table: pa.Table) -> tuple[list[tuple[str, str, str]], NDArray[np.integer]]:
    """Return the distinct (cohort, group, label) of a table and the index of each row among them."""
    codes, words = [], []
    for name in FACTS:
        column = table[name].combine_chunks()
        column = column.dictionary_encode() if not pa.types.is_dictionary(column.type) else column
        codes.append(column.indices.to_numpy().astype(np.int64))
        words.append(column.dictionary.to_pylist())
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
