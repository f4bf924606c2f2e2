"""Numbers with intervals as cells of a table, and what all these tables select and name in the same way."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from uniferum.evaluation.metrics import check_predictions
from uniferum.evaluation.operating_points import Estimate
from uniferum.report.records import CellRecord

LabelKey = tuple[str, str, str]
"""Cohort, group, label."""


@dataclass(frozen=True)
class Printing:
    """How numbers are printed: for machines all digits, and each bound of an interval in a column of its own."""

    intervals: bool = False
    machine: bool = False

    def headings(self, names: Sequence[str]) -> list[str]:
        """The headings of columns of numbers."""
        if not self.machine:
            return list(names)
        return [heading for name in names for heading in (name, f"{name} low", f"{name} high")]

    def cells(self, numbers: Sequence[Estimate]) -> list[str]:
        """The cells of a row, for the same columns."""
        if self.machine:
            return [_full(value) for one in numbers for value in (one.value, one.lo, one.hi)]
        return [self._short(one) for one in numbers]

    def _short(self, one: Estimate) -> str:
        if not math.isfinite(one.value):
            return "-"
        bounds = self.intervals and math.isfinite(one.lo)
        return f"{one.value:.4f}" + (f" [{one.lo:.4f}, {one.hi:.4f}]" if bounds else "")


def _full(value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else ""


def labels_of(table: pd.DataFrame, only: Mapping[str, str]) -> Iterator[tuple[LabelKey, pd.DataFrame]]:
    """The cases of each label, limited by ``--cohort``, ``--group`` and ``--label``."""
    for key, part in table.groupby(["cohort", "group", "label"], sort=False, observed=True):
        cohort, group, label = map(str, key)  # pyright: ignore[reportArgumentType]
        facts = {"cohort": cohort, "group": group, "label": label}
        if all(facts[name].lower() == value.lower() for name, value in only.items()):
            yield (cohort, group, label), part


def tested_cases(record: CellRecord) -> pd.DataFrame:
    """The test predictions of a cell, checked.

    Raises:
        UniferumError: the file is missing or unreadable, or holds a score that is not finite.
    """
    return check_predictions(record.predictions())


def arrays(part: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Targets and scores of the cases of a label."""
    return part["target"].to_numpy(np.float64), part["score"].to_numpy(np.float64)
