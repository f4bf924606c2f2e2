"""The search space: ranges of keys and axes of the grid file, drawn from an Optuna trial.

An axis is a categorical parameter whose choices are the labels of its values, so that a value may be a bundle of keys.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from pydantic import Field, model_validator

from orchestration.grid.axes import Axis, labels_wanted, overlap, shown
from orchestration.grid.combinations import ELSEWHERE
from uniferum.config import Section, unknown_key
from uniferum.errors import UniferumError, near_miss

Value = bool | int | float | str | None
Reals = tuple[float, float]
Wholes = tuple[int, int]

AXIS = "axis"
"""What a search file writes for an axis of the grid file with all its values."""

SEARCHED = {
    **{key: value for key, value in ELSEWHERE.items() if key != "seed"},
    "evaluate_on": "remove it: a trial has no test cohort",
    "train_on": "write one search for each mix",
    "name": "remove it",
    **dict.fromkeys(
        ("select_on", "data.folds", "data.fold", "data.nested_folds", "data.fold_seed"),
        "write it in `set`: trials are compared on the same validation scans",
    ),
}
"""Keys that no trial varies, and what to do instead."""


class Suggester(Protocol):
    """The methods of an Optuna trial that a search space uses."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Suggest a float."""
        ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Suggest an integer."""
        ...

    def suggest_categorical(self, name: str, choices: list[Value]) -> Value:
        """Suggest one of the choices."""
        ...


class Dimension(Section):
    """Values of one parameter: exactly one of ``float``, ``int``, ``choice`` and ``axis``.

    ``when`` is a condition on the parameters above it. The word ``axis`` alone means ``{axis: true}``.
    """

    float: Reals | None = None
    int: Wholes | None = None
    choice: tuple[Value, ...] | None = Field(default=None, min_length=1)
    axis: bool = Field(default=False, description="the values of the grid file's axis of this name")
    log: bool = False
    when: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _word(cls, given: Any) -> Any:
        if isinstance(given, str):
            if given != AXIS:
                raise ValueError("be `axis`, or a mapping with float, int or choice")
            return {"axis": True}
        return given

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [kind for kind in (self.float, self.int, self.choice, self.axis or None) if kind is not None]
        if len(kinds) != 1:
            raise ValueError("have exactly one of float, int, choice and axis")
        bounds = self.float or self.int
        if bounds is not None and not bounds[0] < bounds[1]:
            raise ValueError(f"have a lower bound below the upper one, but has {list(bounds)}")
        if self.log and (bounds is None or bounds[0] <= 0):
            raise ValueError("have a lower bound above 0 where log is true")
        return self

    @property
    def edges(self) -> tuple[Value, ...]:
        """Its choices, or the two bounds of its range."""
        edges = self.choice or self.float or self.int
        assert edges is not None, "the values of an axis are filled in when the search is loaded"
        return edges

    def suggest(self, name: str, trial: Suggester) -> Value:
        """Suggest a value for this parameter."""
        if self.float is not None:
            return trial.suggest_float(name, *self.float, log=self.log)
        if self.int is not None:
            return trial.suggest_int(name, *self.int, log=self.log)
        assert self.choice is not None, "the values of an axis are filled in when the search is loaded"
        return trial.suggest_categorical(name, list(self.choice))

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Whether the parameters above it have values that meet the condition."""
        return all(name in values and values[name] in wanted(want) for name, want in self.when.items())


def wanted(want: Any) -> Sequence[Any]:
    """The values that a condition accepts: one, or a list."""
    return want if isinstance(want, list) else [want]


@dataclass(frozen=True)
class Space:
    """Draws the parameters of a trial from an Optuna trial; picklable, as OptunaSearch requires."""

    dimensions: tuple[tuple[str, Dimension], ...]

    def __call__(self, trial: Suggester) -> dict[str, Any]:
        """Draw the values by parameter; those whose condition is not met are left out."""
        values: dict[str, Any] = {}
        for name, dimension in self.dimensions:
            if dimension.applies(values):
                values[name] = dimension.suggest(name, trial)
        return values

    def edges(self) -> Iterator[dict[str, Any]]:
        """Parameters of trials in which each choice and each bound occurs; all others have their first value."""
        seen: list[dict[str, Any]] = []
        for chosen in ({}, *(self._leading_to(n, edge) for n, d in self.dimensions for edge in d.edges)):
            values = self(_Chosen(chosen))
            if values not in seen:
                seen.append(values)
                yield values

    def _leading_to(self, name: str, edge: Value) -> dict[str, Value]:
        """Values with which a parameter is drawn and has this value, if there are any."""
        by_name = dict(self.dimensions)
        chosen: dict[str, Value] = {name: edge}
        waiting = [name]
        while waiting:
            for above, want in by_name[waiting.pop()].when.items():
                meeting = [one for one in by_name[above].edges if one in wanted(want)]
                if meeting and above not in chosen:
                    chosen[above] = meeting[0]
                    waiting.append(above)
        return chosen


@dataclass(frozen=True)
class _Chosen:
    """Suggests the chosen values, and for other parameters the first choice or the lower bound."""

    chosen: Mapping[str, Any]

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return self.chosen.get(name, low)

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return self.chosen.get(name, low)

    def suggest_categorical(self, name: str, choices: list[Value]) -> Value:
        return self.chosen.get(name, choices[0])


def resolved(space: Mapping[str, Dimension], axes: Mapping[str, Axis], source: str) -> Space:
    """Check a search space against the axes of its grid file, and fill in the labels of axes.

    Raises:
        UniferumError: a parameter is neither an axis nor a key that can vary, or a condition names no parameter above
            it or no value of an axis.
    """
    dimensions: dict[str, Dimension] = {}
    for name, dimension in space.items():
        where = f"{source}: space.{name}"
        if dimension.axis and name not in axes:
            cure = near_miss(name, axes) if axes else "declare it under axes of the grid file"
            raise UniferumError(where, must="be an axis of the grid file", cure=cure)
        for key in keys_of(name, dimension, axes, where):
            _check_key(key, where, [*axes, name] if dimension.axis else axes)
        when = _when(dimension, dimensions, space, where)
        choice = axes[name].labels if dimension.axis else dimension.choice
        dimensions[name] = dimension.replace(axis=False, choice=choice, when=when)
    return Space(tuple(dimensions.items()))


def keys_of(name: str, dimension: Dimension, axes: Mapping[str, Axis], where: str = "space") -> tuple[str, ...]:
    """Dotted keys of a run that a parameter sets; a range may be named by the axis whose key it varies.

    Raises:
        UniferumError: a range for an axis whose values are bundles of keys.
    """
    if name not in axes:
        return (name,)
    if dimension.axis or (key := axes[name].key) is None:
        if not dimension.axis:
            must = "be `axis`, since its values are bundles of keys"
            raise UniferumError(where, must=must, cure="or name the key that the range is for")
        return axes[name].keys
    return (key,)


def _check_key(key: str, where: str, axes: Mapping[str, Axis] | list[str]) -> None:
    from uniferum.run import RunConfig

    near = unknown_key(RunConfig, key)
    if near is not None:
        cure = near_miss(key, [*axes]) if "." not in key and axes else near
        raise UniferumError(where, key, must="be a key of a run or an axis of the grid file", cure=cure)
    for fixed, cure in SEARCHED.items():
        if key == fixed:
            raise UniferumError(where, key, must="be a key that a search can vary", cure=cure)


def _when(
    dimension: Dimension, above: Mapping[str, Dimension], space: Mapping[str, Dimension], where: str
) -> dict[str, Any]:
    """The condition of a parameter, with the labels of axes for their values."""
    when: dict[str, Any] = {}
    for name, want in dimension.when.items():
        if name not in above:
            raise UniferumError(f"{where}.when", name, must="be a key above it", cure=f"above: {list(above)}")
        when[name] = want
        if space[name].axis:
            labels = [label for label in above[name].edges if label in labels_wanted(want)]
            if not labels:
                cure = f"its values: {', '.join(map(str, above[name].edges))}"
                raise UniferumError(f"{where}.when", shown({name: want}), must=f"name values of axis {name}", cure=cure)
            when[name] = labels
    return when


def check_set_once(setters: Sequence[tuple[str, str]], source: str) -> None:
    """Check that no key is set by two of the parameters, axes of the cell and ``set`` of a search.

    Args:
        setters: a dotted key, and what sets it.
        source: the search file.

    Raises:
        UniferumError: two set one key.
    """
    for at, (key, setter) in enumerate(setters):
        for other, before in setters[:at]:
            if setter != before and overlap(key, other):
                must = f"be set once, but {before} and {setter} set it"
                raise UniferumError(source, key, must=must, cure="leave one of them out")
