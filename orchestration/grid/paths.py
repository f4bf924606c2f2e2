"""Paths of a grid or search file: relative to the folder of the file, so that they mean the same from anywhere.

A path that is typed (``--set root=...``) is relative to the working directory, as in a shell. ``~`` and ``$VAR`` are
expanded in both, in addresses too. A path below the working directory is shown relative to it.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestration.grid.starts import PREFIX
from uniferum.errors import UniferumError

PATHS = ("root", "base", "grid")
"""Keys with a path."""
LISTS = ("other_recipes",)
"""Keys with a list of paths."""
FOLDERS = ("stores",)
"""Keys with a mapping of names to paths or addresses."""
LABEL_FILES = ("evaluation", "labels")
"""Section of a run, anywhere in a file, with named paths by cohort; absolute, because workers read them."""
NESTED = ("ct_clip", "checkpoint")
"""Last two keys of a path anywhere in the file: in ``defaults``, an axis, a cell or an override."""
TEXT_FOLDER = ("text", "name")
"""Last two keys of a hub id, or of a path if it starts with one of :data:`PATH_STARTS`; absolute, because the name of
a text encoder is in fingerprints, which do not depend on the working directory."""
PATH_STARTS = ("./", "../", "~/", "$")
LOCAL = ("resources.stage",)
"""Keys with a path on each node's own disk, which no file is relative to."""


Keys = tuple[str | int, ...]


def place_paths(file: Path, keys: Mapping[str, Any], overrides: Iterable[str] = ()) -> dict[str, Any]:
    """Replace the paths of a file by paths that hold in the working directory.

    Args:
        file: the grid or search file.
        keys: its content after ``overrides``.
        overrides: ``a.b=value`` settings; paths that they give were typed.

    Raises:
        UniferumError: a variable is not set, or a path names nothing beside the file but a place in the working
            directory, to which paths were relative before.
    """
    typed = [setting.partition("=")[0] for setting in overrides]
    placed: dict[str, Any] = dict(keys)
    for path, value in _paths(keys):
        key = ".".join(map(str, path))
        expanded = _expanded(value, f"{file}: {key}")
        if key not in LOCAL and "://" not in expanded and not any(f"{key}.".startswith(f"{one}.") for one in typed):
            expanded = _beside(file, expanded, f"{file}: {key}")
        if path[-4:-2] == LABEL_FILES or _is_text_folder(path, value):
            expanded = os.path.abspath(expanded)  # noqa: PTH100 - a link stays a link
        placed = _replaced(placed, path, expanded)
    return placed


def relative_paths(keys: Mapping[str, Any]) -> dict[str, str]:
    """The root and the stores that a grid file's keys give as relative paths, by dotted key."""
    paths = {".".join(map(str, path)): _expanded(value, str(path[-1])) for path, value in _paths(keys)}
    return {
        key: path
        for key, path in paths.items()
        if key.split(".")[0] in ("root", *FOLDERS) and "://" not in path and not Path(path).is_absolute()
    }


def _paths(given: Mapping[str, Any]) -> Iterator[tuple[Keys, str]]:
    """Keys and values of all paths that are texts; the schema refuses others."""
    paths: list[Keys] = [(key,) for key in PATHS]
    for key in FOLDERS:
        paths += [(key, name) for name in given[key]] if isinstance(given.get(key), Mapping) else []
    for key in LISTS:
        paths += [(key, at) for at in range(len(given[key]))] if isinstance(given.get(key), list) else []
    paths += [tuple(key.split(".")) for key in LOCAL]
    paths += [keys for keys in _keys(given) if keys[-2:] == NESTED or keys[-4:-2] == LABEL_FILES]
    paths += [keys for keys in _keys(given) if _is_text_folder(keys, _at(given, keys))]
    for keys in paths:
        value = _at(given, keys)
        if isinstance(value, str) and not value.startswith(PREFIX):
            yield keys, value


def _is_text_folder(keys: Keys, value: Any) -> bool:
    encoder = keys[-2:] == TEXT_FOLDER or (len(keys) == 3 and keys[0] == "text_encoders" and keys[-1] == "name")
    return encoder and isinstance(value, str) and value.startswith(PATH_STARTS)


def _keys(tree: Any, above: Keys = ()) -> Iterator[Keys]:
    """The keys of all values of a file that are neither mappings nor lists."""
    if isinstance(tree, Mapping):
        below: Iterable[tuple[str | int, Any]] = ((str(key), part) for key, part in tree.items())
    elif isinstance(tree, list):
        below = enumerate(tree)
    else:
        yield above
        return
    for key, part in below:
        yield from _keys(part, (*above, key))


def _at(tree: Any, keys: Keys) -> Any:
    for key in keys:
        if isinstance(tree, list) and isinstance(key, int):
            tree = tree[key] if key < len(tree) else None
        else:
            tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _replaced(tree: Any, keys: Keys, value: str) -> Any:
    if not keys:
        return value
    first, *rest = keys
    if isinstance(tree, list):
        return [_replaced(one, tuple(rest), value) if at == first else one for at, one in enumerate(tree)]
    return {**tree, first: _replaced(tree[first], tuple(rest), value)}


def _expanded(value: str, where: str) -> str:
    text = os.path.expandvars(os.path.expanduser(value))  # noqa: PTH111 - of addresses too
    unset = re.search(r"\$\{?(\w+)\}?", text)
    if unset:
        raise UniferumError(where, value, must=f"name variables that are set, but {unset[1]} is not", cure="export it")
    return text


def path_from(folder: Path, file: Path, path: str) -> Path:
    """A relative path of a file, relative to a folder."""
    return Path(os.path.relpath(Path(os.path.realpath(file.parent)) / path, os.path.realpath(folder)))


def _beside(file: Path, path: str, where: str) -> str:
    """A path of a file, relative to the working directory where it lies below it."""
    if Path(path).is_absolute():
        return path
    folder, cwd = os.path.realpath(file.parent), Path.cwd()
    here, former = (Path(os.path.normpath(Path(start) / path)) for start in (folder, cwd))
    if not here.exists() and former.exists():
        cure = f"write {os.path.relpath(former, folder)} for {former}, or create {here}"
        raise UniferumError(where, path, must=f"be relative to the folder of the file ({folder})", cure=cure)
    return str(here.relative_to(cwd) if here.is_relative_to(cwd) else here)
