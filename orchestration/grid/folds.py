"""Folds of a grid: the axis that makes one cell for each fold of a division of the training cohorts."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Self

from pydantic import Field, model_validator

from orchestration.grid.axes import Axis
from uniferum.config import Section

FOLD = "fold"
"""Name of the axis; conditions (``when``, ``exclude``, ``--only``) name it like the axes of the file."""


class GridFolds(Section):
    """A division into folds: their count alone, or a mapping of these keys."""

    count: int = Field(ge=2, le=20, description="number of folds: one cell each")
    seed: int = Field(default=0, ge=0, description="seed of the division, the same for all cells")
    nested: bool = Field(
        default=False, description="for cohorts whose test split is not given: each fold is tested once"
    )

    @model_validator(mode="before")
    @classmethod
    def _count_alone(cls, given: Any) -> Any:
        if isinstance(given, int) and not isinstance(given, bool):
            return {"count": given}
        if not isinstance(given, Mapping | GridFolds):
            raise ValueError("be a number of folds, or a mapping of count, seed and nested")
        return given

    @model_validator(mode="after")
    def _nested_has_three(self) -> Self:
        if self.nested and self.count < 3:
            raise ValueError("have a count of 3 or more if nested: one fold tests, one validates, the others train")
        return self


def fold_axis(folds: GridFolds) -> Axis:
    """The axis of a division: each value is the bundle of keys of one fold."""
    return _axis(folds.count, folds.seed, folds.nested)


@cache
def _axis(count: int, seed: int, nested: bool) -> Axis:
    common = {"folds": count, "fold_seed": seed, "nested_folds": nested}
    return Axis(values={str(fold): {"data": {**common, "fold": fold}} for fold in range(count)})
