"""Schema of a search file: the keys of a cell to vary, the number of trials, early stopping.

A trial is a cell: its folder carries its fingerprint, so a killed trial continues from its checkpoint. Trials are
compared by the validation tasks of their training cohorts; they have no test set.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from pydantic import Field, model_validator

from orchestration.grid.cells import Cell, expand, select
from orchestration.grid.config import GridConfig, load_grid
from orchestration.grid.paths import place_paths
from uniferum.config import Section, load_yaml, merge, parse
from uniferum.errors import UniferumError

Value = bool | int | float | str | None
Reals = tuple[float, float]
Wholes = tuple[int, int]
_NAMED = ("name", "seed", "train_on", "evaluate_on")  # keys that a grid file sets elsewhere, not in ``set``


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
    """Range of one key: exactly one of ``float``, ``int`` and ``choice``; ``when`` is a condition on keys above it."""

    float: Reals | None = None
    int: Wholes | None = None
    choice: tuple[Value, ...] | None = Field(default=None, min_length=1)
    log: bool = False
    when: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [kind for kind in (self.float, self.int, self.choice) if kind is not None]
        if len(kinds) != 1:
            raise ValueError("have exactly one of float, int and choice")
        bounds = self.float or self.int
        if bounds is not None and not bounds[0] < bounds[1]:
            raise ValueError(f"have a lower bound below the upper one, but has {list(bounds)}")
        if self.log and (bounds is None or bounds[0] <= 0):
            raise ValueError("have a lower bound above 0 where log is true")
        return self

    def suggest(self, name: str, trial: Suggester) -> Value:
        """Suggest a value for this key."""
        if self.float is not None:
            return trial.suggest_float(name, *self.float, log=self.log)
        if self.int is not None:
            return trial.suggest_int(name, *self.int, log=self.log)
        assert self.choice is not None, "a dimension has one kind"
        return trial.suggest_categorical(name, list(self.choice))

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Whether the keys above it have values that meet the condition."""
        return all(values.get(key) in (want if isinstance(want, list) else [want]) for key, want in self.when.items())


class Asha(Section):
    """Asynchronous successive halving: after ``grace_steps`` the best ``1 / reduction`` of the trials continue."""

    grace_steps: int = Field(default=1, ge=1)
    reduction: int = Field(default=3, ge=2)


class SearchConfig(Section):
    """A search file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    grid: Path
    cell: str
    set: dict[str, Any] = Field(default_factory=dict, description="RunConfig keys of every trial")
    space: dict[str, Dimension] = Field(min_length=1)
    trials: int = Field(ge=1)
    seed: int = Field(default=0, ge=0)
    random_trials: int = Field(default=8, ge=1, description="random trials before TPE proposes values")
    sampler: str = Field(default="tpe", pattern="^(tpe|random)$")
    asha: Asha | None = Asha()
    parallel: int | None = Field(default=None, ge=1)
    root: Path | None = None


@dataclass(frozen=True)
class Search:
    """A loaded search: its file, its grid and the cell that it varies."""

    config: SearchConfig
    grid: GridConfig
    cell: Cell

    @property
    def root(self) -> Path:
        """Folder of the trials and the study."""
        return self.config.root or self.grid.root / "searches" / self.config.name

    @property
    def study_url(self) -> str:
        """Address of the Optuna storage; ``optuna-dashboard URL`` opens it."""
        return f"sqlite:///{(self.root / 'study.db').resolve()}"

    @property
    def space(self) -> "Space":
        """The search space."""
        return Space(tuple(self.config.space.items()))

    def trial_keys(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """RunConfig keys of a trial: those of the cell with the chosen values, and no test sets."""
        keys = merge(merge(self.cell.config.model_dump(mode="json"), self.config.set), nested(params))
        return {**keys, "name": f"{self.config.name}-trial", "evaluate_on": []}

    @property
    def longest(self) -> int:
        """Largest number of training steps that a trial can have."""
        varied = self.config.space.get("training.steps")
        steps = [int(self.trial_keys({})["training"]["steps"])] if varied is None or varied.when else []
        values = (varied.int or varied.choice or ()) if varied else ()
        return max(steps + [int(value) for value in values if value is not None])

    def check(self) -> None:
        """Build 20 random configs, so that a wrong key is an error before the search starts.

        Raises:
            UniferumError: a key is unknown, a value is not allowed, or the grid has more than one worker per cell.
        """
        workers = self.grid.resources.workers
        if workers > 1:
            cure = "a trial trains in one process; use a grid file with workers 1"
            raise UniferumError(f"search {self.config.name}: resources.workers", workers, must="be 1", cure=cure)
        import optuna

        from uniferum.run import RunConfig

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for _ in range(20):
            parse(RunConfig, self.trial_keys(self.space(study.ask())), source=f"search {self.config.name}: space")


@dataclass(frozen=True)
class Space:
    """Draws the keys of a trial from an Optuna trial; picklable, as OptunaSearch requires."""

    dimensions: tuple[tuple[str, Dimension], ...]

    def __call__(self, trial: Suggester) -> dict[str, Any]:
        """Draw the values by dotted key; keys whose condition is not met are left out."""
        values: dict[str, Any] = {}
        for name, dimension in self.dimensions:
            if dimension.applies(values):
                values[name] = dimension.suggest(name, trial)
        return values


def load_search(path: Path | str) -> Search:
    """Load a search file and its grid file; paths are relative to the search file.

    Raises:
        UniferumError: a file, key, cell or condition is wrong.
    """
    path = Path(path)
    config = parse(SearchConfig, place_paths(path, load_yaml(path)), source=str(path))
    above: list[str] = []
    for name, dimension in config.space.items():
        unknown = sorted(set(dimension.when) - set(above))
        if unknown:
            raise UniferumError(
                f"{path}: space.{name}.when", unknown[0], must="be a key above it", cure=f"above: {above}"
            )
        above.append(name)
    grid = load_grid(config.grid)
    (cell,) = select(expand(grid, source=str(config.grid)), [config.cell])
    search = Search(config, grid, cell)
    search.check()
    return search


def nested(params: Mapping[str, Any]) -> dict[str, Any]:
    """Convert dotted keys to nested mappings."""
    tree: dict[str, Any] = {}
    for key, value in params.items():
        *parents, last = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return tree


def best_grid(search: Search, params: Mapping[str, Any]) -> dict[str, Any]:
    """Make a grid file with one cell: the best trial, with the test sets of the searched cell.

    ``set`` holds every key in which the trial differs from a cell without ``set``. The keys that the searched cell got
    from its own ``set`` and from ``overrides`` are among them, so the grid file needs no ``overrides``.
    """
    from uniferum.run import RunConfig

    trial = parse(RunConfig, search.trial_keys(params), source=f"search {search.config.name}: best")
    test_cohorts = list(search.cell.config.evaluate_on)
    group = {
        "model": trial.model.kind,
        "text_encoder": search.cell.text_encoder,
        "train_on": ["+".join(trial.train_on)],
        "evaluate_on": test_cohorts,
    }
    left_out = {"cells", "name", "root", "seeds", "overrides", "axes", "exclude", "other_recipes", "folds", "ensembles"}
    common = search.grid.model_dump(mode="json", exclude=left_out) | {"stores": search.grid.store_addresses}
    head = {"name": f"{search.config.name}-best", "root": str((search.root / "best").resolve())}
    best = {**head, **common, "seeds": [trial.seed], "cells": [group]}
    keys = difference(_default_keys(best), trial.model_dump(mode="json"))
    group["set"] = {key: value for key, value in keys.items() if key not in _NAMED}
    return best


def _default_keys(grid: Mapping[str, Any]) -> dict[str, Any]:
    """RunConfig keys of the grid's one cell without ``set``; empty if they are no valid RunConfig."""
    try:
        (cell,) = expand(parse(GridConfig, grid, source="best"), source="best")
    except UniferumError:
        return {}
    return cell.config.model_dump(mode="json")


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of ``new`` that differ from ``old``; merged into ``old`` they give ``new``."""
    changed: dict[str, Any] = {}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            deeper = difference(before, value)
            changed |= {key: deeper} if deeper else {}
        elif value != before:
            changed[key] = value
    return changed
