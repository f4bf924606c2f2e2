"""Config sections: frozen, strict about unknown keys, read from YAML with dotted overrides, with a stable fingerprint.

Every section is defined beside the code that reads it and derives from :class:`Section`. To change a value, make a
copy with ``section.replace(key=value)``.
"""

import hashlib
import json
import math
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Self, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from uniferum.errors import UniferumError, near_miss

try:
    from yaml import CSafeLoader as _Loader  # of libyaml, twenty times faster
except ImportError:  # PyYAML was built without libyaml
    from yaml import SafeLoader as _Loader

S = TypeVar("S", bound="Section")


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    def replace(self, **changes: Any) -> Self:
        """Copy with some keys changed, validated again."""
        return type(self).model_validate({**self.model_dump(), **changes})


def load_yaml(path: Path | str) -> dict[str, Any]:
    """Read one YAML mapping with the safe loader.

    Raises:
        UniferumError: the file is missing, unreadable, not YAML, or not a mapping, or it gives a key twice.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UniferumError(str(path), must="exist", cure="check the path, or give another config file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UniferumError(str(path), must="be a readable UTF-8 file", cure=_one_line(error)) from None
    try:
        loaded = _load(text, str(path))
    except yaml.YAMLError as error:
        raise UniferumError(str(path), must="be valid YAML", cure=_one_line(error)) from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise UniferumError(str(path), type(loaded).__name__, must="hold a YAML mapping of keys to values")
    return loaded


def _load(text: str, source: str) -> Any:
    """Load YAML; a key that is given twice is an error, where YAML's own loader silently keeps the second value."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_repeated(node, source, set())
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _refuse_repeated(node: yaml.Node, source: str, seen: set[int]) -> None:
    """Refuse a key that a mapping has twice; the merge key ``<<`` may be repeated, as YAML has it."""
    if id(node) in seen:  # an alias, which may contain itself
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated(item, source, seen)
    if isinstance(node, yaml.MappingNode):
        lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                name, line = (key.tag, key.value), key.start_mark.line + 1
                if name in lines:
                    must = f"be given once in its section, but stands in lines {lines[name]} and {line}"
                    raise UniferumError(f"{source}: {key.value}", must=must, cure="remove one of the two")
                lines[name] = line
            _refuse_repeated(value, source, seen)


def parse(kind: type[S], data: Mapping[str, Any], *, source: str) -> S:
    """Validate ``data`` as a section; the first error is reported as ``source: key (value) must ...``.

    Raises:
        UniferumError: a key is unknown (the error suggests the nearest known one), missing, or has an invalid value.
    """
    try:
        return kind.model_validate(dict(data))
    except ValidationError as error:
        raise _as_user_error(error, kind, source) from None


def load(kind: type[S], path: Path | str, overrides: Iterable[str] = ()) -> S:
    """Read a YAML file into a section after applying ``a.b=value`` overrides.

    Raises:
        UniferumError: see :func:`load_yaml`, :func:`override` and :func:`parse`.
    """
    return parse(kind, override(load_yaml(path), overrides), source=str(path))


def override(data: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Copy nested ``data`` and apply ``a.b.c=value`` settings; values are parsed as YAML.

    Raises:
        UniferumError: an override has no ``=``, its value is no YAML, or a key on its path is not a mapping.
    """
    result = json.loads(json.dumps(data, default=str)) if data else {}
    for setting in overrides:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise UniferumError("--set", setting, must="look like section.key=value")
        *parents, last = key.split(".")
        node = result
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise UniferumError("--set", setting, must=f"name a key, but '{parent}' is a plain value")
        try:
            node[last] = _load(text, f"--set {key}")
        except yaml.YAMLError as error:
            raise UniferumError(
                "--set", setting, must="have a value that is valid YAML", cure=_one_line(error)
            ) from None
    return result


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Copy ``base`` and apply ``changes``: mappings are merged key by key, other values replaced."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def canonical_json(value: Any) -> str:
    """JSON text that is equal for equal values: keys sorted, no spaces, tuples as lists, paths and sets refused.

    Raises:
        TypeError: the value has no stable form (a path, a set, a callable, NaN).
    """
    return _CANONICAL.encode(_stable(value))


def canonical_mapping(texts: Mapping[str, str]) -> str:
    """Canonical JSON of a mapping whose values are canonical JSON already, so that shared parts are encoded once."""
    return "{" + ",".join(f"{_CANONICAL.encode(key)}:{texts[key]}" for key in sorted(texts)) + "}"


def fingerprint(value: Any, *, length: int = 16) -> str:
    """SHA-256 of the canonical JSON, in ``length`` hexadecimal digits."""
    return text_fingerprint(canonical_json(value), length=length)


def text_fingerprint(text: str, *, length: int = 16) -> str:
    """The :func:`fingerprint` of the value whose canonical JSON is ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


# Types that need no conversion, compared exactly for speed: a config has hundreds of leaves, a plan a thousand configs.
_PLAIN, _TEXTS = frozenset({str, int, bool, type(None)}), frozenset({str})


def _stable(value: Any) -> Any:
    if type(value) is dict or isinstance(value, Mapping):
        assert _TEXTS.issuperset(map(type, value)) or all(isinstance(key, str) for key in value), "keys are texts"
        return {key: item if type(item) in _PLAIN else _stable(item) for key, item in value.items()}
    if type(value) is float:
        return _stable_leaf(value)
    if isinstance(value, list | tuple):
        return [item if type(item) in _PLAIN else _stable(item) for item in value]
    if isinstance(value, BaseModel):
        return _stable(value.model_dump())
    return _stable_leaf(value)


def _stable_leaf(value: Any) -> Any:
    if isinstance(value, Enum):
        return _stable(value.value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    raise TypeError(f"{type(value).__name__} has no stable form for a fingerprint: {value!r}")


def _as_user_error(error: ValidationError, kind: type[Section], source: str) -> UniferumError:
    faults = error.errors(include_url=False)
    faults = [one for one in faults if not _follows(one, faults)]
    fault = next((f for f in faults if f["type"] == "extra_forbidden"), faults[0])
    where = ".".join(str(part) for part in fault["loc"])
    subject = f"{source}: {where}" if where else source
    more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
    if fault["type"] == "extra_forbidden":
        allowed = _keys_at(kind, fault["loc"][:-1])
        return UniferumError(subject, must=f"be a known key{more}", cure=near_miss(str(fault["loc"][-1]), allowed))
    if fault["type"] == "missing":
        return UniferumError(subject, must=f"be given{more}", cure="add this key")
    message = fault["msg"].removeprefix("Value error, ")
    message = re.sub(r"^(Input|String|Tuple|List|Dictionary) should | after validation", "", message)
    return UniferumError(subject, fault.get("input"), must=f"{message}{more}")


def _follows(fault: Any, faults: Sequence[Any]) -> bool:
    """Whether a list only counts as too short because its entries are wrong, which have faults of their own."""
    where = fault["loc"]
    return fault["type"] == "too_short" and any(one["loc"][: len(where)] == where != one["loc"] for one in faults)


def unknown_key(kind: type[BaseModel], key: str) -> str | None:
    """Suggest the nearest known key for a dotted key that a section does not have; None for a key that it has."""
    parts = key.split(".")
    for depth, part in enumerate(parts):
        allowed = _keys_at(kind, tuple(parts[:depth]))
        if part not in allowed:
            return near_miss(".".join(parts[: depth + 1]), [".".join([*parts[:depth], name]) for name in allowed])
    return None


def _keys_at(kind: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Allowed keys of the section at ``path``, through nested sections, lists and optional values."""
    current: set[type[BaseModel]] = {kind}
    for part in path:
        sections: set[type[BaseModel]] = set()
        for section in current:
            if isinstance(part, str) and part in section.model_fields:
                sections |= _sections_in(section.model_fields[part].annotation)
        current = sections or current
    return sorted({name for section in current for name in section.model_fields})


def _sections_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    if get_origin(annotation) in (Union, types.UnionType, list, tuple, dict) or get_args(annotation):
        return set().union(*(_sections_in(argument) for argument in get_args(annotation)), set())
    return set()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
