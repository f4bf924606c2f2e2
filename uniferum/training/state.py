"""The progress of a training: with model and optimizer, the complete state that the next step depends on.

Batches, augmentation and dropout masks are functions of (seed, step, micro-batch), the learning rate is a function of
(step, history). A resumed training is therefore bit for bit equal to an uninterrupted one.
"""

import hashlib
import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Self


@dataclass(frozen=True)
class TrainingProgress:
    """Completed steps and validations."""

    step: int = 0
    history: tuple[float, ...] = ()
    """The selection metric of each validation so far; NaN if it was undefined."""
    best_step: int = 0
    best_value: float = math.nan
    seconds: float = 0.0
    """Time spent in training and validation, summed over all resumed runs."""

    def validated(self, value: float) -> Self:
        """Add the result of a validation at this step; it is the best if it is higher, or if no best is defined yet."""
        better = math.isnan(self.best_value) or value > self.best_value
        best = {"best_step": self.step, "best_value": value} if better else {}
        return replace(self, history=(*self.history, value), **best)

    def as_json(self) -> dict[str, Any]:
        """Return values for JSON; NaN becomes null."""
        held = asdict(self)
        held["history"] = [_null(value) for value in self.history]
        held["best_value"] = _null(self.best_value)
        return held

    @classmethod
    def from_json(cls, held: dict[str, Any]) -> Self:
        """The inverse of :meth:`as_json`."""
        history = tuple(math.nan if value is None else float(value) for value in held["history"])
        best = math.nan if held["best_value"] is None else float(held["best_value"])
        return cls(int(held["step"]), history, int(held["best_step"]), best, float(held["seconds"]))


def random_seed(*parts: int | str) -> int:
    """Return a 63-bit seed that depends only on the given parts, not on process or platform."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _null(value: float) -> float | None:
    return None if math.isnan(value) else value
