"""Write the best trial of a search into its grid file, as a cell with a name.

The entry is inserted as text below the last entry of ``cells``, so that comments and order stay. The new text is loaded
before it replaces the file: every other cell must be as before.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestration.grid.axes import NAME, unsafe
from orchestration.grid.cells import Cell, expand
from orchestration.grid.config import CellGroup, GridConfig, load_grid
from orchestration.search.best import difference
from orchestration.search.config import Search
from uniferum.atomic import write_atomically
from uniferum.config import merge, parse
from uniferum.errors import StateError, UniferumError
from uniferum.run.identity_keys import identity_of


@dataclass(frozen=True)
class Promotion:
    """The best trial as an entry of ``cells``.

    Attributes:
        name: name of the cell.
        lines: lines that are added to the grid file; none if a cell of the grid has these values already.
        text: the grid file with them.
    """

    name: str
    lines: tuple[str, ...]
    text: str


def promotion(search: Search, params: Mapping[str, Any], *, name: str | None = None, remark: str = "") -> Promotion:
    """Make the entry of the best trial; write nothing.

    Args:
        search: the search.
        params: values of the best trial.
        name: name of the cell; none: that of the study with ``-best``.
        remark: a comment above the entry.

    Raises:
        UniferumError: the grid has a cell or an entry of this name, or the grid file cannot take the entry.
    """
    file, name = search.grid_file, name or f"{search.study_name}-best"
    if not re.fullmatch(NAME, name) or unsafe(name):
        cure = "e.g. lr-search-best"
        raise UniferumError("--promote-as", name, must="be a name of letters, digits and _ . + -", cure=cure)
    grid = load_grid(file)
    cells = expand(grid, source=str(file))
    if name in {cell.name for cell in cells} | {group.name for group in grid.cells}:
        cure = "give another one: --promote-as NAME"
        raise UniferumError(f"{file}: cells: name", name, must="be a name that no cell has", cure=cure)
    trial = search.trial_config(params)
    same = next((cell for cell in cells if identity_of(cell.config) == identity_of(trial)), None)
    if same is not None and same.config.evaluate_on == search.cell.config.evaluate_on:
        return Promotion(same.name, (), _read(file))
    if trial.seed not in grid.seeds:
        cure = "search with a seed of the grid, or run best.yaml"
        raise UniferumError(f"{file}: seeds", trial.seed, must="contain the seed of the best trial", cure=cure)
    entry = _entry(search, grid, params, name)
    text = _read(file)
    new, lines = _inserted(text, entry, remark, file)
    return Promotion(name, tuple(lines), new)


def promote(search: Search, params: Mapping[str, Any], promoted: Promotion) -> None:
    """Replace the grid file by the one with the new entry, after loading it.

    Raises:
        StateError: another cell would change, or the new cell is not the trial; the file stays as it is.
    """
    file = Path(search.grid_file).resolve()
    before = _read(file)

    def write(draft: Path) -> None:
        draft.write_bytes(promoted.text.encode())
        _check(search, params, promoted, load_grid(file), _loaded(draft, promoted, file))
        if _read(file) != before:
            raise StateError(f"{file} changed while the cell was added", cure="Call the command again.")

    mode = file.stat().st_mode & 0o777
    write_atomically(file, write)
    file.chmod(mode)


def _loaded(draft: Path, promoted: Promotion, file: Path) -> GridConfig:
    try:
        return load_grid(draft)
    except UniferumError as error:
        raise _by_hand(promoted.lines, file, error.must) from None


def _by_hand(lines: tuple[str, ...] | list[str], file: Path, why: str) -> StateError:
    entry = " ".join(line.strip() for line in lines if not line.strip().startswith("#"))
    return StateError(f"{file} cannot take the new cell as it is written ({why})", cure=f"Add it by hand: {entry}")


def _check(search: Search, params: Mapping[str, Any], promoted: Promotion, old: GridConfig, new: GridConfig) -> None:
    try:
        cells = expand(new, source=str(search.grid_file))
    except UniferumError as error:
        raise _by_hand(promoted.lines, search.grid_file, str(error)) from None
    added = [cell for cell in cells if new.cells[cell.entry].name == promoted.name]
    others = [cell for cell in cells if cell not in added]
    rest = {"cells"}
    if others != expand(old) or old.model_dump(exclude=rest) != new.model_dump(exclude=rest):
        raise _by_hand(promoted.lines, search.grid_file, "other cells would change")
    trial = search.trial_config(params)
    if not any(_is_trial(cell, search, identity_of(trial)) for cell in added):
        raise _by_hand(promoted.lines, search.grid_file, "the new cell would not be the trial")


def _is_trial(cell: Cell, search: Search, identity: Mapping[str, Any]) -> bool:
    return identity_of(cell.config) == identity and cell.config.evaluate_on == search.cell.config.evaluate_on


def _entry(search: Search, grid: GridConfig, params: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The entry of the trial: keys of the searched entry, of its axes and of the search, then what still differs."""
    group = grid.cells[search.cell.entry]
    keys: dict[str, Any] = dict(group.set)
    for axis, label in search.labels(params).items():
        keys = merge(keys, grid.axes[axis].setting(label))
    keys = merge(keys, search.keys(params))
    keys.pop("seed", None)
    entry: dict[str, Any] = {"name": name, "model": group.model}
    entry |= {} if group.text_encoder is None else {"text_encoder": group.text_encoder}
    entry["train_on"] = search.cell.mix
    entry |= {} if group.evaluate_on is None else {"evaluate_on": list(group.evaluate_on)}
    trial = search.trial_keys(params)
    left = difference(_keys_of(grid, {**entry, "set": keys}), trial)
    keys = merge(keys, {key: value for key, value in left.items() if key not in ("name", "seed", "evaluate_on")})
    return {**entry, "set": keys}


def _keys_of(grid: GridConfig, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of the cell of an entry in the grid; none if they are no valid config."""
    try:
        group = parse(CellGroup, entry, source="promote")
        (cell, *_) = expand(grid.model_copy(update={"cells": (group,), "exclude": ()}))
    except UniferumError:
        return {}
    return cell.config.model_dump(mode="json")


def _read(file: Path) -> str:
    """The text of a file with its own line ends."""
    return file.read_bytes().decode("utf-8")


def _inserted(text: str, entry: Mapping[str, Any], remark: str, file: Path) -> tuple[str, list[str]]:
    """A grid file with an entry below the last one, and the lines of the entry."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode), "a grid file that was loaded is a mapping"
    cells = next(value for key, value in root.value if key.value == "cells")
    end = "\r\n" if "\r\n" in text else "\n"
    if not isinstance(cells, yaml.SequenceNode) or not cells.value:
        raise _by_hand([_flow(entry)], file, "its cells are no list of entries")
    if cells.flow_style:
        return _into_brackets(text, cells, _flow(entry))
    lines = text.splitlines(keepends=True)
    new = [f"{' ' * cells.start_mark.column}{line}" for line in _block(entry, remark)]
    at = _last_line(cells.value[-1]) + 1
    before = "".join(lines[:at])
    before += "" if before.endswith(("\n", "\r")) else end
    return before + "".join(f"{line}{end}" for line in new) + "".join(lines[at:]), new


def _into_brackets(text: str, cells: yaml.SequenceNode, entry: str) -> tuple[str, list[str]]:
    """A list in brackets with an entry after the last one."""
    at = cells.value[-1].end_mark.index
    return f"{text[:at]}, {entry}{text[at:]}", [entry]


def _last_line(node: yaml.Node) -> int:
    """Number of the last line with content of a node; comments below it do not count."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        children = [child for item in node.value for child in (item if isinstance(item, tuple) else (item,))]
        return max(map(_last_line, children))
    line = node.end_mark.line
    return line - 1 if node.end_mark.column == 0 and line > node.start_mark.line else line


def _flow(entry: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(entry), sort_keys=False, default_flow_style=True, width=10**6).strip()


def _block(entry: Mapping[str, Any], remark: str) -> list[str]:
    """Lines of an entry of a block list, without its indentation."""
    text = yaml.safe_dump([dict(entry)], sort_keys=False, default_flow_style=None, width=100)
    return [*([f"# {remark}"] if remark else []), *text.splitlines()]
