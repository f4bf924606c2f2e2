"""Trials of a search: a table of them, and means by the value of a key.

A trial has a validation AUROC and no test score, since a search never sees a test split.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from uniferum.errors import UniferumError, near_miss
from uniferum.report.tables.sheet import Sheet
from uniferum.value_labels import label_of, label_order, number_of

OBJECTIVE = "validation AUROC"


@dataclass(frozen=True)
class Trial:
    """One trial: its values by key, its best validation AUROC (NaN if it has none), and its state in a word."""

    number: int
    params: Mapping[str, object]
    value: float
    state: str


@dataclass(frozen=True)
class Trials:
    """The trials of a search; ``log`` are the keys whose range is logarithmic."""

    name: str
    trials: Sequence[Trial]
    log: frozenset[str] = frozenset()

    @property
    def keys(self) -> list[str]:
        """The keys that any trial has."""
        return list(dict.fromkeys(key for one in self.trials for key in one.params))

    @property
    def ranked(self) -> list[Trial]:
        """All trials, the best first, those without a value last."""
        return sorted(self.trials, key=lambda one: (math.isnan(one.value), -one.value, one.number))

    @property
    def scored(self) -> list[Trial]:
        """Trials with a value, the best last."""
        return [one for one in reversed(self.ranked) if math.isfinite(one.value)]


def trials_sheet(search: Trials) -> Sheet:
    """List the trials, the best first."""
    keys = search.keys
    rows = [
        [str(one.number), one.state, *(_label(one, key) for key in keys), _number(one.value)] for one in search.ranked
    ]
    states = [one.state for one in search.trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "none"
    said = [f"Trials: {counts}.", f"{OBJECTIVE}: the best of the trial's validations. No trial sees a test split."]
    return Sheet(f"Search {search.name}", ["Trial", "State", *keys, OBJECTIVE], rows, said, words=2 + len(keys))


def values_sheet(search: Trials, key: str, base: str | None = None) -> Sheet:
    """List the values of one key: number of trials, their mean and best, and the mean's difference to a base value.

    Raises:
        UniferumError: no trial has this key, or no trial the base value.
    """
    if key not in search.keys:
        cure = near_miss(key, search.keys)
        raise UniferumError("--vary", key, must="be a key of the search", cure=cure)
    by_value: dict[str, list[float]] = {}
    for one in search.scored:
        by_value.setdefault(_label(one, key), []).append(one.value)
    values = sorted(by_value, key=label_order)
    if not values:
        raise UniferumError("--vary", key, must="have a trial with a value")
    number = None if base is None else number_of(base)
    wanted = values[0] if base is None else base if number is None else label_of(number)
    if wanted not in by_value:
        raise UniferumError("--base", base, must=f"be a value of {key}", cure=f"the trials have {', '.join(values)}")
    rows = [
        [
            value,
            str(len(by_value[value])),
            _number(fmean(by_value[value])),
            _number(max(by_value[value])),
            "base" if value == wanted else f"{fmean(by_value[value]) - fmean(by_value[wanted]):+.4f}",
        ]
        for value in values
    ]
    headings = [key, "Trials", f"Mean {OBJECTIVE}", "Best", "Difference of means"]
    said = [
        f"Base: {key}={wanted}.",
        "The trials of two values differ in other keys too, and a search prefers good ones: there is no paired test.",
    ]
    return Sheet(f"Values of {key} in search {search.name}", headings, rows, said)


def _label(one: Trial, key: str) -> str:
    return label_of(one.params[key]) if key in one.params else "-"


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "-"
