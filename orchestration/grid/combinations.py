"""Combinations of the values of axes in an entry of ``cells``, and checks of what a grid file says about axes."""

from collections.abc import Collection, Iterator, Mapping
from itertools import chain, product
from typing import Any

from orchestration.grid.axes import FACTS, RESERVED, Axis, check_name, leaves, overlap, shown
from orchestration.grid.config import CellGroup, GridConfig
from orchestration.grid.folds import FOLD, fold_axis
from uniferum.config import unknown_key
from uniferum.errors import UniferumError, near_miss
from uniferum.systems import SYSTEMS
from uniferum.value_labels import label_of

ELSEWHERE = {
    "name": "write `name` in an entry of `cells`",
    "seed": "write `seeds: [...]` in the grid file",
    "train_on": "write the mixes in `train_on` of an entry of `cells`",
    "evaluate_on": "write `evaluate_on` in the grid file or in an entry of `cells`",
    "model.kind": "write one entry of `cells` for each model",
    "model": "name the keys below it, e.g. model.encoder.name",
    "evaluation.labels": "write it under defaults: one training is scored under all label files",
}
"""Keys that no axis sets, and what sets them."""

Labels = dict[str, str]
"""A label of each axis of a cell."""


def axes_of(grid: GridConfig, group: CellGroup) -> Mapping[str, Axis]:
    """The axes that an entry can have: those of the file, and its folds."""
    folds = group.folds or grid.folds
    return grid.axes if folds is None else {**grid.axes, FOLD: fold_axis(folds)}


def every_axis(grid: GridConfig) -> Mapping[str, Axis]:
    """The axes that any entry can have; of folds with the values of the entry that has most."""
    folds = [one for group in grid.cells if (one := group.folds or grid.folds)]
    return {**grid.axes, FOLD: fold_axis(max(folds, key=lambda one: one.count))} if folds else grid.axes


def varied(grid: GridConfig, group: CellGroup) -> tuple[str, ...]:
    """Names of the axes that an entry varies."""
    return (*group.vary, *group.zip, *((FOLD,) if group.folds or grid.folds else ()))


def combinations(grid: GridConfig, group: CellGroup) -> Iterator[Labels]:
    """Labels of each cell of an entry: the product of ``vary``, every tuple of ``zip``, and the folds."""
    columns = [[{axis: label} for label in grid.axes[axis].labels] for axis in group.vary]
    if group.zip:
        rows = zip(*(grid.axes[axis].labels for axis in group.zip), strict=True)
        columns.append([dict(zip(group.zip, row, strict=True)) for row in rows])
    if FOLD in varied(grid, group):
        columns.append([{FOLD: label} for label in axes_of(grid, group)[FOLD].labels])
    for parts in product(*columns):
        yield dict(chain.from_iterable(part.items() for part in parts))


def check_axes(grid: GridConfig, source: str) -> None:
    """Check axes, entries of ``cells`` and conditions against each other.

    Raises:
        UniferumError: a text encoder or cohort has an unsafe name, an axis has a reserved name or an unknown key, an
            entry names an unknown axis, sets a key twice or zips axes of unequal lengths, or a condition names an
            unknown axis or value.
    """
    for name in grid.text_encoders:
        check_name(name, f"{source}: text_encoders")
    for name in grid.stores:
        check_name(name, f"{source}: stores", plus=False)
    for name, axis in grid.axes.items():
        _check_axis(name, axis, f"{source}: axes.{name}")
    if FOLD in grid.axes and any(group.folds or grid.folds for group in grid.cells):
        must = "have another name, since folds of the grid file are the axis fold"
        raise UniferumError(f"{source}: axes.{FOLD}", must=must, cure="leave out this axis, or folds")
    for index, group in enumerate(grid.cells):
        _check_group(grid, group, f"{source}: cells.{index}")
    for index, rule in enumerate(grid.overrides):
        _check_condition(grid, rule.when, f"{source}: overrides.{index}.when")
    for index, condition in enumerate(grid.exclude):
        _check_condition(grid, condition, f"{source}: exclude.{index}")


def _check_axis(name: str, axis: Axis, where: str) -> None:
    from uniferum.run import RunConfig

    if not name.isidentifier() or not name.isascii():
        raise UniferumError(where, must="have a name of letters, digits and _, since cells are named by it")
    if name in RESERVED:
        must = f"have another name, since {name} means something else in a grid file or a report"
        raise UniferumError(where, must=must, cure=f"e.g. {name}_axis")
    for key in axis.keys:
        near = unknown_key(RunConfig, key)
        if near is not None:
            raise UniferumError(f"{where}: key", key, must="be a key of a run", cure=near)
        fixed = "evaluation.labels" if overlap(key, "evaluation.labels") else key
        if fixed in ELSEWHERE:
            raise UniferumError(f"{where}: key", key, must="be a key that axes can set", cure=ELSEWHERE[fixed])


def _check_group(grid: GridConfig, group: CellGroup, where: str) -> None:
    names = [*group.vary, *group.zip]
    for name in names:
        if name not in grid.axes:
            cure = near_miss(name, grid.axes) if grid.axes else "declare it under axes"
            raise UniferumError(f"{where}: vary or zip", name, must="be an axis of the grid file", cure=cure)
        if names.count(name) > 1:
            raise UniferumError(f"{where}: vary or zip", name, must="be named once", cure="remove one of the two")
    _check_lengths(grid, group, where)
    _check_keys(grid, group, where)
    if group.name is not None and len(group.train_on) > 1:
        cure = "write one entry with a name for each mix"
        raise UniferumError(f"{where}: name", group.name, must="belong to one training mix", cure=cure)


def _check_lengths(grid: GridConfig, group: CellGroup, where: str) -> None:
    lengths = {name: len(grid.axes[name].labels) for name in group.zip}
    if len(set(lengths.values())) > 1:
        counted = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        cure = "give them as many values, or write `vary` for all combinations"
        raise UniferumError(f"{where}: zip", counted, must="name axes with equally many values", cure=cure)


def _check_keys(grid: GridConfig, group: CellGroup, where: str) -> None:
    setters = [(key, "set") for key in leaves(group.set)]
    for name in varied(grid, group):
        for key in axes_of(grid, group)[name].keys:
            for other, setter in setters:
                if setter != name and overlap(key, other):
                    both = "set of the entry" if setter == "set" else f"axis {setter}"
                    raise UniferumError(
                        where, key, must=f"be set once, but axis {name} and {both} set it", cure="leave one of them out"
                    )
            setters.append((key, name))


def _check_condition(grid: GridConfig, condition: Mapping[str, Any], where: str) -> None:
    axes = every_axis(grid)
    names = [*FACTS, *axes]
    for key, wanted in condition.items():
        if key not in names:
            must = "name model, text_encoder, train_on, seed or an axis"
            raise UniferumError(where, key, must=must, cure=near_miss(key, names))
        if key in axes:
            _check_labels(key, wanted, axes[key].labels, where)
        else:
            _check_fact(grid, key, wanted, where)


def _check_labels(axis: str, wanted: Any, labels: Collection[str], where: str) -> None:
    """Refuse a condition that names a value which the axis does not have, alone or in a list."""
    if label_of(wanted) in labels:
        return
    strange = [
        one for one in (wanted if isinstance(wanted, list) and wanted else [wanted]) if label_of(one) not in labels
    ]
    if strange:
        cure = f"its values: {', '.join(labels)}"
        raise UniferumError(where, shown({axis: strange[0]}), must=f"name values of axis {axis}", cure=cure)


def _check_fact(grid: GridConfig, fact: str, wanted: Any, where: str) -> None:
    """Refuse a condition on a model, text encoder, mix or seed that does not exist.

    It would fit no cell, and its keys would silently not be set.
    """
    for one in wanted if isinstance(wanted, list | tuple) else [wanted]:
        if fact == "seed":
            if isinstance(one, bool) or not isinstance(one, int) or one < 0:
                raise UniferumError(f"{where}: seed", str(one), must="be a whole number, or a list of them")
        elif fact == "train_on":
            cohorts = [*grid.stores, "SEG"]
            for name in str(one).split("+"):
                if name not in cohorts:
                    must = "be a training mix of cohorts with stores, without patterns"
                    raise UniferumError(f"{where}: train_on", str(one), must=must, cure=near_miss(name, cohorts))
        else:
            names = SYSTEMS if fact == "model" else grid.text_encoders
            if one is not None and (not isinstance(one, str) or one not in names):
                must = "be a system" if fact == "model" else "be a text encoder of the grid file"
                raise UniferumError(f"{where}: {fact}", str(one), must=must, cure=near_miss(str(one), names))
