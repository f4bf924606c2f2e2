"""What a model outlined in one case, for a person to look at: not what its scores are made of.

Invariant: masks lie on the training level's grid of the prepared store, like the stored masks that they are set beside.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

CaseKey = tuple[str, str]
"""Cohort and scan id."""


@dataclass(frozen=True)
class Outlined:
    """One structure that the model was asked for: the value that marks it, and the stored values that belong to it."""

    name: str
    value: int
    ids: tuple[int, ...]
    dice: float
    """Against the stored mask, both at the resolution that the model predicts masks in."""


@dataclass(frozen=True)
class CaseMasks:
    """The model's masks of one case."""

    layer: str
    """The mask layer of the store that holds the same structures."""
    mask: UInt8[np.ndarray, "x y z"]
    structures: tuple[Outlined, ...]

    def like(self, stored: UInt8[np.ndarray, "x y z"]) -> UInt8[np.ndarray, "x y z"]:
        """A stored mask with one value for each structure that the model was asked for, the others as they are."""
        values = np.arange(256, dtype=np.uint8)
        for one in self.structures:
            values[list(one.ids)] = one.value
        return values[stored]


@dataclass(frozen=True)
class ModelMasks:
    """The model's masks of several cases, and which cell's they are."""

    said: str
    cases: Mapping[CaseKey, CaseMasks]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Twice the overlap of two masks over the sum of their sizes (Dice 1945); NaN where both are empty."""
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2 * int(np.count_nonzero(np.logical_and(a, b))) / total if total else float("nan")
