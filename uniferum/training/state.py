"""How far a training is: with model and optimizer, everything that its next step depends on.

There is no other state. The batch of a step, its augmentation and its dropout masks are functions of (seed, step,
micro-batch), the learning rate of (step, history): so a resumed training repeats one never stopped, bit for bit.
"""

import hashlib
import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Self


@dataclass(frozen=True)
class TrainingProgress:
    """Steps done and validations seen."""

    step: int = 0
    history: tuple[float, ...] = ()
    """The selection metric of each validation so far; NaN where it was undefined."""
    best_step: int = 0
    best_value: float = math.nan
    seconds: float = 0.0
    """Time spent in training and validation, over all its sittings."""

    def validated(self, value: float) -> Self:
        """After a validation at this step: a higher value is the new best, and so is any while none was defined."""
        better = math.isnan(self.best_value) or value > self.best_value
        best = {"best_step": self.step, "best_value": value} if better else {}
        return replace(self, history=(*self.history, value), **best)

    def as_json(self) -> dict[str, Any]:
        """JSON-ready; NaN becomes null."""
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
    """A 63-bit seed that depends on every part and on nothing else (not on the process, not on the platform)."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _null(value: float) -> float | None:
    return None if math.isnan(value) else value
