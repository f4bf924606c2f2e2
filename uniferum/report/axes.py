"""What cells vary: axes of a grid, or keys of the recorded configs.

The value of a cell is its label on the axis, or the value of the dotted key in its config. Cells are compared along an
axis if nothing else distinguishes them but seed and fold: their names say so, which are made of what varies. Along a
key they are compared if their configs differ in this key alone.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from uniferum.errors import UniferumError
from uniferum.report.records import FOLD, CellRecord, PendingCell
from uniferum.report.systems import encoder_word
from uniferum.value_labels import label_of, label_order, name_part, number_of

AnyCell = CellRecord | PendingCell
UNVARIED = "-"
"""Value of a cell that does not vary an axis of bundles, beside cells that do and are equal otherwise."""


@dataclass(frozen=True)
class GridAxis:
    """An axis of a grid file: the labels of its values in their order, and its dotted key if it has one."""

    labels: tuple[str, ...]
    key: str | None = None
    keys: tuple[str, ...] = ()
    """Dotted keys that any of its values sets: ``key``, or those of its bundles."""


GridAxes = Mapping[str, GridAxis]


@dataclass(frozen=True)
class Setting:
    """Cells that differ in the varied value, the seed and the fold alone: the cells of each value."""

    title: str
    cells: Mapping[str, Sequence[AnyCell]]

    def records(self, value: str) -> dict[tuple[int, int], CellRecord]:
        """The finished cells of a value by seed and fold."""
        return {one.repeat: one for one in self.cells.get(value, ()) if isinstance(one, CellRecord)}

    def pending(self, value: str) -> list[PendingCell]:
        """The cells of a value that have no result."""
        return [one for one in self.cells.get(value, ()) if isinstance(one, PendingCell)]


@dataclass(frozen=True)
class Varied:
    """An axis or a key with its values in their order, and the settings in which it is varied."""

    name: str
    values: tuple[str, ...]
    settings: tuple[Setting, ...]
    single: tuple[str, ...] = ()
    """Settings that have one value, so nothing to compare."""

    def base(self, wanted: str | None) -> str:
        """The value that others are compared with: the first one with a name, or that which is asked for in any form.

        Raises:
            UniferumError: no cell has the value.
        """
        if wanted is None:
            return next((value for value in self.values if value != UNVARIED), self.values[0])
        number = number_of(wanted)
        forms = (wanted, *([] if number is None else [label_of(number)]))
        value = next((form for form in forms if form in self.values), None)
        if value is None:
            cure = f"the cells have {', '.join(self.values)}"
            raise UniferumError("--base", wanted, must=f"be a value of {self.name}", cure=cure)
        return value


def value_of(cell: AnyCell, name: str) -> str:
    """The value of a cell on an axis or of a dotted key, as a label; empty if it has none."""
    return cell.axes[name] if name in cell.axes else _label(cell.config, name)


def axis_names(cells: Iterable[AnyCell], axes: GridAxes | None = None) -> list[str]:
    """Axes of the cells, those of the grid file first."""
    names: dict[str, None] = dict.fromkeys(name for cell in cells for name in cell.axes)
    return [*(name for name in axes or {} if name in names), *(name for name in names if name not in (axes or {}))]


def values_in_order(values: Iterable[str], listed: Sequence[str] = ()) -> list[str]:
    """Sort the labels of an axis: as the grid file lists them; labels that it does not list by value.

    If the grid lists numbers by value, the others are sorted in between.
    """
    known = dict.fromkeys(values)
    if list(listed) == sorted(listed, key=label_order):
        return sorted(known, key=label_order)
    return [*(value for value in listed if value in known), *sorted(set(known) - set(listed), key=label_order)]


def order_of(cells: Sequence[AnyCell], name: str, axes: GridAxes | None = None) -> list[str]:
    """The values of an axis or key in their order, cells without a value first."""
    listed = axes[name].labels if axes and name in axes else ()
    values = {value_of(cell, name) for cell in cells}
    return [*([""] if "" in values else []), *values_in_order(values - {""}, listed)]


def check_known(name: str, cells: Sequence[AnyCell], *, option: str, words: Sequence[str], axes: GridAxes) -> None:
    """Check that a name is a word of the report, an axis or a key of a recorded config.

    Raises:
        UniferumError: it is none of them; the near miss and the list of what exists are named.
    """
    if name in words or any(value_of(cell, name) for cell in cells):
        return
    if name in axes and not cells:
        return
    named, keys = axis_names(cells, axes), dict.fromkeys(key for cell in cells[:1] for key in _leaves(cell.config))
    close = get_close_matches(name, [*words, *named, *keys], n=1)
    known = [f"words: {', '.join(words)}"] if words else []
    known += [f"axes: {', '.join(named) or 'none in these cells'}", "or a key of the config, e.g. optim.lr"]
    cure = (f"did you mean '{close[0]}'? " if close else "") + "; ".join(known)
    raise UniferumError(
        option, name, must="be an axis of the grid or a key of a run" if not words else _MUST, cure=cure
    )


_MUST = "be a fact of a cell, an axis of the grid or a key of a run"


def find_varied(name: str, cells: Sequence[AnyCell], axes: GridAxes | None = None) -> Varied:
    """Find the cells that differ in one axis or key.

    Args:
        name: an axis, or a dotted key; a key that is that of an axis of the grid file means the axis.
        cells: finished cells, and cells without a result.
        axes: the axes of the grid file.

    Raises:
        UniferumError: it is unknown, or no two cells differ in it alone.
    """
    axes = axes or {}
    name = next((axis for axis, one in axes.items() if one.key == name), name)
    if name in ("seed", "name"):
        raise UniferumError("--vary", name, must="be an axis of the grid or a key of a run; means are over seeds")
    check_known(name, cells, option="--vary", words=(), axes=axes)
    by_setting: dict[str, dict[str, list[AnyCell]]] = {}
    bundles = name in axes and axes[name].key is None
    for cell in cells:
        value = value_of(cell, name) or (UNVARIED if bundles and cell.config else "")
        if value:
            by_setting.setdefault(_setting(cell, name), {}).setdefault(value, []).append(cell)
    joined = _joined(list(by_setting.values()), axes[name].keys if name in axes else ())
    several = [cells_of for cells_of in joined if len(cells_of) > 1]
    single = [next(iter(cells_of.values())) for cells_of in joined if len(cells_of) == 1 and UNVARIED not in cells_of]
    known = [one for cells_of in several for same in cells_of.values() for one in same]
    values = [value or UNVARIED for value in order_of(known, name, axes)]
    if not values:
        must = f"be varied by cells that differ in nothing else; {len(single)} settings have one value each"
        raise UniferumError("--vary", name, must=must)
    titles = _titles([[one for same in cells_of.values() for one in same] for cells_of in several], name)
    settings = tuple(Setting(title, cells_of) for title, cells_of in zip(titles, several, strict=True))
    return Varied(name, tuple(values), settings, tuple(same[0].name for same in single))


def _joined(settings: Sequence[dict[str, list[AnyCell]]], keys: Sequence[str]) -> list[dict[str, list[AnyCell]]]:
    """Join settings whose cells have other names, but configs that differ in the keys of the axis alone.

    So an entry with a ``name`` belongs to the axis whose values are tried around it. Settings that share a value stay
    apart.
    """
    joined: list[dict[str, list[AnyCell]]] = []
    of_config: dict[str, int] = {}
    for setting in settings:
        configs = {_config_without(cell, keys) for cells in setting.values() for cell in cells if keys and cell.config}
        at = next((of_config[one] for one in sorted(configs) if one in of_config), len(joined))
        if at < len(joined) and not setting.keys() & joined[at].keys():
            joined[at] = {**joined[at], **setting}
        else:
            at = len(joined)
            joined.append(setting)
        of_config |= dict.fromkeys(configs - of_config.keys(), at)
    return joined


def _config_without(cell: AnyCell, keys: Sequence[str]) -> str:
    """The config of a cell without its name, its seed and some dotted keys."""
    config: Mapping[str, Any] = cell.config
    for key in ("name", "seed", "evaluate_on", *(["data.fold"] if cell.folds else []), *keys):
        config = _without(config, key.split("."))
    return json.dumps(config, sort_keys=True, default=str)


def _setting(cell: AnyCell, name: str) -> str:
    """What cells have in common that differ in the varied value and the seed alone."""
    if name in cell.axes:
        return _name_without(cell, name)
    return _name_without(cell, name) if name not in _leaves(cell.config) else _config_without(cell, [name])


def _name_without(cell: AnyCell, axis: str) -> str:
    """The name of a cell without its seed, its fold and its part for one axis."""
    name, kept, folded = cell.name.removesuffix(f"-seed{cell.seed}"), "", cell.folds is not None and axis != FOLD
    if cell.folds is not None and folded:
        name = name.removesuffix(f"-{name_part(FOLD, str(cell.folds.index))}")
    parts = {f"-{name_part(one, label)}": one for one, label in cell.axes.items() if one != FOLD or not folded}
    while (part := next((one for one in parts if name.endswith(one)), None)) is not None:
        name = name.removesuffix(part)
        kept = kept if parts.pop(part) == axis else part + kept
    return name + kept


def _without(config: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any]:
    kept = dict(config)
    if len(path) == 1:
        kept.pop(path[0], None)
    elif isinstance(kept.get(path[0]), Mapping):
        kept[path[0]] = _without(kept[path[0]], path[1:])
    return kept


def _titles(settings: Sequence[Sequence[AnyCell]], name: str) -> list[str]:
    """A title of each setting: what its cells have in common; the name of a cell follows if two would be equal."""
    titles = [_title(cells, name) for cells in settings]
    return [
        f"{title} ({_name_without(cells[0], name)})" if titles.count(title) > 1 else title
        for title, cells in zip(titles, settings, strict=True)
    ]


def _title(cells: Sequence[AnyCell], name: str) -> str:
    encoders = (encoder_word(one.model, one.text) if one.text else one.text_encoder for one in cells)
    facts = [{one.model for one in cells}, set(encoders), {one.row[2] for one in cells}]
    words = " ".join(word for values in facts if len(values) == 1 for word in values if word)
    folded = any(one.folds for one in cells)
    others = [axis for axis in axis_names(cells) if axis != name and not (folded and axis == FOLD)]
    shared = {axis: {one.axes.get(axis) for one in cells} for axis in others}
    axes = [f"{axis}={next(iter(values))}" for axis, values in shared.items() if len(values) == 1]
    return ", ".join([words, *axes])


def _label(config: Mapping[str, Any], key: str) -> str:
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return ""
        value = value[part]
    return "" if isinstance(value, Mapping) else label_of(value)


def _leaves(config: Mapping[str, Any], prefix: str = "") -> Iterable[str]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
