"""The numbers of the heat map, and the curves of each label, as small integers.

Values are stored in units of 0.0001. Curves are read at ``GRID`` points, so that a label of 200 cells is one small file
and all cells share the axis of a plot: an ROC curve as the sensitivity at each false-positive rate, a precision-recall
curve as the precision at each recall.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uniferum.errors import UniferumError
from uniferum.evaluation.curves import curve
from uniferum.report.records import CellRecord, Score
from uniferum.report.systems import shown_encoder
from uniferum.report.tables.paper import column_order
from uniferum.report.tables.pivot import label_scores
from uniferum.report.tables.rendering import shown_name

UNIT = 10_000
METRICS = ("auroc", "aupr")
GRID = np.round(np.linspace(0, 1, 41) ** 1.5, 4)
"""Where curves are read; denser near 0."""
NEEDED = ["cohort", "group", "label", "target", "score"]
Column = tuple[str, str, str]
"""Cohort, group and label; the label of a mean is empty."""


def heat_numbers(records: Sequence[CellRecord]) -> dict[str, Any]:
    """Make the content of the heat map: cells, columns (means, each followed by its labels) and values."""
    scores = [{metric: _scores(record, metric) for metric in METRICS} for record in records]
    unordered = dict.fromkeys(column for of_cell in scores for of_metric in of_cell.values() for column in of_metric)
    columns = sorted(unordered, key=column_order)
    return {
        "unit": UNIT,
        "grid": [float(x) for x in GRID],
        "cells": [_cell(at, record) for at, record in enumerate(records)],
        "columns": [_column(column, scores) for column in columns],
        "values": {
            metric: [[_three(of_cell[metric].get(column)) for column in columns] for of_cell in scores]
            for metric in METRICS
        },
    }


def _scores(record: CellRecord, metric: str) -> dict[Column, Score]:
    made = {(one.cohort, one.group, ""): one for one in record.groups if one.metric == metric}
    try:
        made |= {(one.cohort, one.group, one.label): one for one in label_scores(record, metric)}
    except UniferumError:
        return made  # a cell without a table of labels still has its means
    return made


def _cell(at: int, record: CellRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "part": f"cell-{at:03d}",
        "model": shown_name(record.model),
        "encoder": shown_encoder(record.text_encoder),
        "mix": record.mix,
        "seed": record.seed,
        "trained": [name for name in record.train_on if name != "SEG"],
    }


def _column(column: Column, scores: Sequence[Mapping[str, Mapping[Column, Score]]]) -> dict[str, Any]:
    first = next((s["auroc"][column] for s in scores if column in s["auroc"]), None)
    cohort, group, label = column
    facts = {"cohort": cohort, "group": group, "label": label}
    if first is None:
        return facts
    share = first.prevalence if math.isfinite(first.prevalence) else 0.0
    return facts | {"n": first.n_cases, "positives": round(share * first.n_cases) if label else None}


def _three(score: Score | None) -> list[int] | None:
    if score is None or not math.isfinite(score.value):
        return None
    known = (score.value, score.lo, score.hi) if math.isfinite(score.lo) else (score.value,)
    return [round(x * UNIT) for x in known]


def label_curves(records: Sequence[CellRecord]) -> Iterator[tuple[Column, dict[str, Any]]]:
    """Yield the curves of each label over the cells; one cell's predictions are read at a time."""
    curves: dict[Column, dict[int, NDArray[np.uint16]]] = {}
    for at, record in enumerate(records):
        if not record.files.predictions.exists():
            continue
        table = record.predictions(NEEDED)
        for key, rows in table.groupby(["cohort", "group", "label"], observed=True, sort=False):
            made = _curves(rows["target"].to_numpy(), rows["score"].to_numpy())
            if made is not None:
                cohort, group, label = map(str, key)  # pyright: ignore[reportArgumentType]
                curves.setdefault((cohort, group, label), {})[at] = made
    for column, of_cells in curves.items():
        yield (
            column,
            {
                "cells": list(of_cells),
                "roc": [both[0].tolist() for both in of_cells.values()],
                "pr": [both[1].tolist() for both in of_cells.values()],
            },
        )


def _curves(target: NDArray[Any], score: NDArray[Any]) -> NDArray[np.uint16] | None:
    """Sensitivity and precision at each point of the grid, in thousandths; None without both classes."""
    points = curve(target, score)
    if not points.positives or not points.negatives:
        return None
    sensitivity, rate = points.sensitivity, points.false_positive_rate
    reached = np.searchsorted(rate, GRID, side="right") - 1
    roc = np.where(reached >= 0, sensitivity[reached], 0.0)
    recalled = np.searchsorted(sensitivity, GRID, side="left").clip(max=len(sensitivity) - 1)
    return np.round(np.stack([roc, points.precision[recalled]]) * 1000).astype(np.uint16)
