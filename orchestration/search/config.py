"""Schema of a search file: the parameters of a cell to vary, the number of trials, early stopping.

A trial is a cell: its folder carries its fingerprint, so a killed trial continues from its checkpoint. Trials are
compared by the validation tasks of their training cohorts; they have no test set.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from orchestration.grid.axes import label_of, leaves, matches, overlap, shown
from orchestration.grid.cells import Cell, cell_with, expand, select
from orchestration.grid.config import GridConfig, load_grid
from orchestration.grid.paths import place_paths
from orchestration.search.space import SEARCHED, Dimension, Space, check_set_once, keys_of, resolved
from uniferum.config import Section, load_yaml, merge, parse
from uniferum.errors import UniferumError

if TYPE_CHECKING:
    from uniferum.run import RunConfig

OBJECTIVE = "validation/auroc"
"""The objective of every search: mean AUROC of the validation tasks, by which a cell keeps its best checkpoint."""
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


class Asha(Section):
    """Asynchronous successive halving: after ``grace_steps`` the best ``1 / reduction`` of the trials continue."""

    grace_steps: int = Field(default=1, ge=1)
    reduction: int = Field(default=3, ge=2)


class SearchConfig(Section):
    """A search file."""

    name: str = Field(pattern=NAME)
    grid: Path
    cell: str | dict[str, Any] = Field(
        description="name of a cell, or a condition like those of overrides that one cell fits"
    )
    set: dict[str, Any] = Field(default_factory=dict, description="RunConfig keys of every trial")
    space: dict[str, Dimension] = Field(min_length=1, description="axes of the grid file, and ranges of keys")
    objective: str = OBJECTIVE
    trials: int = Field(ge=1)
    seed: int = Field(default=0, ge=0)
    random_trials: int = Field(default=8, ge=1, description="random trials before TPE proposes values")
    sampler: str = Field(default="tpe", pattern="^(tpe|random)$")
    asha: Asha | None = Asha()
    parallel: int | None = Field(default=None, ge=1, description="trials at once; none: resources.parallel of the grid")
    root: Path | None = None
    study: str | None = Field(default=None, pattern=NAME, description="name of the Optuna study; none: name")

    @field_validator("objective")
    @classmethod
    def _of_validation(cls, objective: str) -> str:
        if objective != OBJECTIVE:
            never = ", since no trial sees a test split" if "test" in objective else ""
            raise ValueError(f"be {OBJECTIVE}{never}")
        return objective


@dataclass(frozen=True)
class Search:
    """A loaded search: its file, its grid and the cell that it varies."""

    config: SearchConfig
    grid: GridConfig
    cell: Cell
    source: str = "search"
    """What errors name: the search file, or the command line."""

    @property
    def root(self) -> Path:
        """Folder of the trials and the study."""
        return self.config.root or self.grid.root / "searches" / self.config.name

    @property
    def study_name(self) -> str:
        """Name of the Optuna study; a root can have several."""
        return self.config.study or self.config.name

    @property
    def study_url(self) -> str:
        """Address of the Optuna storage; ``optuna-dashboard URL`` opens it."""
        return f"sqlite:///{(self.root / 'study.db').resolve()}"

    @property
    def grid_file(self) -> Path:
        """The grid file."""
        return self.config.grid

    @property
    def space(self) -> Space:
        """The search space, with the labels of axes."""
        return resolved(self.config.space, self.grid.axes, self.source)

    def keys_of(self, name: str) -> tuple[str, ...]:
        """Dotted keys that a parameter sets."""
        dimension = self.config.space.get(name)
        return (name,) if dimension is None else keys_of(name, dimension, self.grid.axes)

    @property
    def kept(self) -> dict[str, str]:
        """Labels of the cell on axes that the search does not vary."""
        keys = [*leaves(self.config.set), *(key for name in self.config.space for key in self.keys_of(name))]
        return {
            axis: label
            for axis, label in self.cell.axes.items()
            if axis not in self.config.space
            and not all(any(f"{key}.".startswith(f"{one}.") for one in keys) for key in self.grid.axes[axis].keys)
        }

    def labels(self, params: Mapping[str, Any]) -> dict[str, str]:
        """Labels of a trial on the axes of the grid."""
        return self.kept | {name: value for name, value in params.items() if self._is_axis(name)}

    def _is_axis(self, name: str) -> bool:
        return name in self.config.space and self.config.space[name].axis

    def keys(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Keys of a trial, nested, that neither the grid file nor an axis sets: ``set`` and the ranges."""
        ranges = {self.keys_of(name)[0]: value for name, value in params.items() if not self._is_axis(name)}
        return merge(self.config.set, nested(ranges))

    def excluded(self, params: Mapping[str, Any]) -> bool:
        """Whether ``exclude`` of the grid file leaves out the cell of these values."""
        cell = self.cell
        facts = {"model": cell.model, "text_encoder": cell.text_encoder, "train_on": cell.mix, "seed": cell.seed}
        return any(matches(condition, facts, self.labels(params)) for condition in self.grid.exclude)

    def trial_config(self, params: Mapping[str, Any]) -> "RunConfig":
        """The RunConfig of a trial: the cell with the chosen values, and no test cohort.

        Raises:
            UniferumError: a value is not allowed.
        """
        group = self.grid.cells[self.cell.entry]
        entry = group.model_copy(update={"set": merge(group.set, self.keys(params))})
        cells = tuple(entry if at == self.cell.entry else one for at, one in enumerate(self.grid.cells))
        grid = self.grid.model_copy(update={"cells": cells})
        try:
            cell = cell_with(grid, self.cell, self.labels(params), str(self.grid_file))
        except UniferumError as error:
            raise self._named(error, params) from None
        seed = self.keys(params).get("seed", cell.config.seed)
        return cell.config.replace(name=f"{self.config.name}-trial", evaluate_on=(), seed=seed)

    def trial_keys(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The config of a trial as nested keys."""
        return self.trial_config(params).model_dump(mode="json")

    def _named(self, error: UniferumError, params: Mapping[str, Any]) -> UniferumError:
        """Name the parameters whose value the configuration refuses; an axis is named already."""
        where, _, key = error.subject.rpartition(": ")
        if error.subject.startswith(f"{self.grid_file}: axes."):
            return error
        setters = {name: one for name, one in params.items() if any(overlap(key, k) for k in self.keys_of(name))}
        if setters:
            where = f"{self.source}: space.{', space.'.join(setters)}: value {shown(setters)} in cell {self.cell.name}"
        elif any(overlap(key, one) for one in leaves(self.config.set)):
            where = f"{self.source}: set"
        else:
            where = f"{self.source}: trial {shown(params)}" if params else where
        return UniferumError(f"{where}: {key}", error.value, must=error.must, cure=error.cure)

    @property
    def longest(self) -> int:
        """Largest number of training steps that a trial can have."""
        return max(config.training.steps for config in self.edges())

    def edges(self) -> "Iterator[RunConfig]":
        """Configs of trials in which each choice and each bound of the space occurs.

        Raises:
            UniferumError: a value is not allowed.
        """
        for params in self.space.edges():
            if not self.excluded(params):
                yield self.trial_config(params)

    def check(self) -> None:
        """Build the configs of all choices and bounds, and 20 random ones, before the search starts.

        Raises:
            UniferumError: a key is unknown or set twice, a value is not allowed or has no effect, or the grid has more
                than one worker per cell.
        """
        workers = self.grid.resources.workers
        if workers > 1:
            cure = "a trial trains in one process; use a grid file with workers 1"
            raise UniferumError(f"search {self.config.name}: resources.workers", workers, must="be 1", cure=cure)
        for key in ("name", "train_on", "evaluate_on"):
            if key in self.config.set:
                raise UniferumError(f"{self.source}: set.{key}", must="not be given to a search", cure=SEARCHED[key])
        self._check_set_once()
        self._check_effect(list(self.edges()))
        self._draw(20)

    def _check_set_once(self) -> None:
        """Check the keys of the space; one of ``set`` may be in it, as the value where its parameter is not drawn."""
        varied = [(key, f"space.{name}") for name in self.config.space for key in self.keys_of(name)]
        kept = [(key, f"axis {axis} of the cell") for axis in self.kept for key in self.grid.axes[axis].keys]
        check_set_once([*varied, *kept], self.source)
        check_set_once([*kept, *((key, "set") for key in leaves(self.config.set))], self.source)

    def _check_effect(self, configs: "Sequence[RunConfig]") -> None:
        from uniferum.run.no_effect import has_effect, without_effect

        if not configs:
            cure = "search other axes"
            raise UniferumError(f"{self.source}: space", must="have a value that exclude leaves in", cure=cure)
        idle = [without_effect(config) for config in configs]
        for name in self.config.space:
            if not any(has_effect(key, one) for one in idle for key in self.keys_of(name)):
                cure = f"remove it; its keys: {', '.join(self.keys_of(name))}"
                raise UniferumError(
                    f"{self.source}: space.{name}", must=f"have an effect on cell {self.cell.name}", cure=cure
                )

    def _draw(self, trials: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study, space = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)), self.space
        for _ in range(trials):
            params = space(study.ask())
            if not self.excluded(params):
                self.trial_config(params)


def load_search(path: Path | str, **changes: Any) -> Search:
    """Load a search file and its grid file; paths are relative to the search file.

    Args:
        path: the search file.
        changes: keys of the search file with other values.

    Raises:
        UniferumError: a file, key, cell or condition is wrong.
    """
    path = Path(path)
    keys = load_yaml(path)
    if "cells" in keys and "space" not in keys:
        cure = f"or name axes of this grid file: uniferum tune {path} --over AXIS,AXIS"
        raise UniferumError(str(path), must="be a search file with `grid`, `cell`, `space` and `trials`", cure=cure)
    return _checked(parse(SearchConfig, {**place_paths(path, keys), **changes}, source=str(path)), str(path))


def search_over(path: Path | str, axes: Sequence[str], cell: str | None, trials: int, **changes: Any) -> Search:
    """Make a search over axes of a grid file, without a search file.

    Args:
        path: the grid file.
        axes: names of its axes.
        cell: name of its cell, or a condition that one cell fits; not needed if all cells differ in these axes only.
        trials: number of trials.
        changes: other keys of a search file.

    Raises:
        UniferumError: the grid file or an axis is wrong, or several cells could be meant.
    """
    grid = load_grid(path)
    name = "-".join([grid.name, *axes])
    keys = {"name": name, "grid": path, "cell": cell or {}, "trials": trials, **changes}
    space = dict.fromkeys(axes, Dimension(axis=True))
    return _checked(parse(SearchConfig, {**keys, "space": space}, source="--over"), "--over")


def _checked(config: SearchConfig, source: str) -> Search:
    grid = load_grid(config.grid)
    cells = expand(grid, source=str(config.grid))
    resolved(config.space, grid.axes, source)
    search = Search(config, grid, _fitting(config, grid, cells, source)[0], source)
    others = [one for one in _fitting(config, grid, cells, source) if not _same(search, Search(config, grid, one))]
    if others:
        cure = f"it fits {', '.join([search.cell.name, *(one.name for one in others[:10])])}; name one of them"
        given = config.cell if isinstance(config.cell, str) else shown(config.cell)
        where = "--cell" if source == "--over" else f"{source}: cell"
        must = "fit one cell, apart from the axes that are searched"
        raise UniferumError(where, given or None, must=must, cure=cure)
    search.check()
    return search


def _same(one: Search, other: Search) -> bool:
    """Whether two cells differ in searched axes only."""
    first, second = one.cell, other.cell
    return (first.entry, first.mix, first.seed, one.kept) == (second.entry, second.mix, second.seed, other.kept)


def _fitting(config: SearchConfig, grid: GridConfig, cells: list[Cell], source: str) -> list[Cell]:
    """The cells that ``cell`` of a search names; a condition means cells without a name of their own, if any fits."""
    given = config.cell
    if not isinstance(given, str):
        given = ",".join(f"{name}={label_of(value)}" for name, value in given.items())
    try:
        fitting = select(cells, [given] if given else [])
    except UniferumError as error:
        where = "--cell" if source == "--over" else f"{source}: cell"
        raise UniferumError(where, error.value, must=error.must, cure=error.cure) from None
    return [cell for cell in fitting if grid.cells[cell.entry].name is None] or fitting


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
