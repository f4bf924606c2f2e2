"""Predicted masks of single cases for display; scores are computed elsewhere.

Invariant: masks are on the grid of the prepared store's training level, like the stored masks that are shown with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

CaseKey = tuple[str, str]
"""Cohort and scan id."""


@dataclass(frozen=True)
class Outlined:
    """One requested structure: its value in the predicted mask, and its values in the stored mask."""

    name: str
    value: int
    ids: tuple[int, ...]
    dice: float
    """Dice with the stored mask, at the resolution of the model's masks."""


@dataclass(frozen=True)
class CaseMasks:
    """The predicted masks of one case."""

    layer: str
    """The mask layer of the store with the same structures."""
    mask: UInt8[np.ndarray, "x y z"]
    structures: tuple[Outlined, ...]

    def like(self, stored: UInt8[np.ndarray, "x y z"]) -> UInt8[np.ndarray, "x y z"]:
        """Map each requested structure of a stored mask to one value; other values stay."""
        values = np.arange(256, dtype=np.uint8)
        for one in self.structures:
            values[list(one.ids)] = one.value
        return values[stored]


@dataclass(frozen=True)
class ModelMasks:
    """The predicted masks of several cases, and a sentence that names their cell."""

    said: str
    cases: Mapping[CaseKey, CaseMasks]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Compute the Dice coefficient of two masks (Dice 1945); NaN if both are empty."""
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2 * int(np.count_nonzero(np.logical_and(a, b))) / total if total else float("nan")
