"""The cells of a column from the best to the worst, and the paired test between two of them.

Cells that differ in seed or fold alone are one configuration, with the mean of their values. Tests are by patient
(:func:`uniferum.evaluation.comparison.group_difference`), on the same test cases.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from uniferum.errors import UniferumError
from uniferum.evaluation.comparison import align, group_difference
from uniferum.evaluation.delong import PairedTest
from uniferum.report.checks.compare import NEEDED
from uniferum.report.records import CellRecord, Score, own_axes
from uniferum.report.tables.paper import column_order


@dataclass(frozen=True)
class Ranked:
    """The cells of one configuration, one for each seed and fold, with their mean in one column."""

    cells: tuple[CellRecord, ...]
    value: float
    lo: float
    hi: float


def systems(records: Sequence[CellRecord]) -> dict[tuple[object, ...], list[CellRecord]]:
    """Cells that differ in seed or fold alone."""
    by_system: dict[tuple[object, ...], list[CellRecord]] = {}
    for one in records:
        axes = tuple(sorted(part for part in own_axes(one.axes, one.folds).items() if part[0] != "seed"))
        own = one.name if one.members else ""
        by_system.setdefault((*one.row, axes, own), []).append(one)
    return by_system


def ranked(records: Sequence[CellRecord]) -> dict[tuple[str, str], list[Ranked]]:
    """The configurations of each column, best first; those without some of its labels are left out."""
    by_column: dict[tuple[str, str], list[tuple[int, Ranked]]] = {}
    for cells in systems(records).values():
        scores: dict[tuple[str, str], list[tuple[CellRecord, Score]]] = {}
        for record in cells:
            for score in record.groups:
                if score.metric == "auroc" and math.isfinite(score.value):
                    scores.setdefault((score.cohort, score.group), []).append((record, score))
        for column, pairs in scores.items():
            value, lo, hi = (fmean(getattr(one, name) for _, one in pairs) for name in ("value", "lo", "hi"))
            made = Ranked(tuple(record for record, _ in pairs), value, lo, hi)
            by_column.setdefault(column, []).append((min(one.n_labels for _, one in pairs), made))
    most = {column: max(count for count, _ in of) for column, of in by_column.items()}
    return {
        column: sorted((one for count, one in by_column[column] if count == most[column]), key=lambda one: -one.value)
        for column in sorted(by_column, key=column_order)
    }


def difference(
    first: Sequence[CellRecord],
    second: Sequence[CellRecord],
    column: tuple[str, str],
    read: Mapping[str, pd.DataFrame] | None = None,
) -> PairedTest | str | None:
    """Test the mean of the second cells against that of the first; text is the reason why there is no test.

    ``read`` are the predictions of cells by name, where they are read already.
    """
    tables = {}
    try:
        for at, cell in enumerate((*first, *second)):
            table = cell.predictions(NEEDED) if read is None else read[cell.name]
            chosen = (table["cohort"] == column[0]) & (table["group"] == column[1])
            tables[f"{at} {cell.name}"] = table.loc[chosen]
        sides = range(len(first)), range(len(first), len(first) + len(second))
        made = group_difference(align(tables), column, sides)
    except UniferumError as error:
        return f"not compared: {error}"
    return None if made is None else made.test
