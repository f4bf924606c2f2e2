"""Axes of a grid: keys of a run with the values that cells have, as data of the grid file.

A value is known by its label: a short text that depends on the value alone, so that the names of cells stay as they
are when an axis gains a value.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Self

import yaml
from pydantic import Field, model_validator

from uniferum.config import Section

FACTS = ("model", "text_encoder", "train_on", "seed")
"""What every cell has beside its axes; conditions (``when``, ``exclude``, ``--only``) name both."""
RESERVED = (*FACTS, "name", "seeds", "cells")
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"
"""Names that a grid file gives to cells and values: safe as a part of a file name, in a shell and in ``--only``."""
LONGEST = 200
"""Bytes of a cell's name. File systems hold 255; folders and temporary files add a fingerprint or a number to it."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._+,-]|\.(?=\.)")
_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")


class Axis(Section):
    """One key of a run with its values, or named bundles of keys."""

    key: str | None = Field(default=None, description="dotted key of a run; none: each value is a bundle of keys")
    values: dict[str, Any] | tuple[Any, ...] = Field(
        description="a list of values of the key; or labels with the value, without a key with the keys, of each"
    )

    @model_validator(mode="after")
    def _values_with_labels(self) -> Self:
        if not self.values:
            raise ValueError("have at least one value")
        if isinstance(self.values, dict):
            self._check_labels(self.values)
        elif self.key is None:
            raise ValueError("have a key, or named bundles of keys as values: {NAME: {section: {key: value}}}")
        else:
            self._check_distinct(self.values)
        return self

    def _check_labels(self, values: dict[str, Any]) -> None:
        for label, value in values.items():
            if not re.fullmatch(NAME, label) or ".." in label:
                raise ValueError(f"name its values with letters, digits and _ . + -, not '{label}'")
            if self.key is None and not isinstance(value, dict):
                raise ValueError(f"have a key, or a bundle {{section: {{key: value}}}} as the value of {label}")

    @staticmethod
    def _check_distinct(values: tuple[Any, ...]) -> None:
        labels: set[str] = set()
        for value in values:
            if isinstance(value, dict):
                raise ValueError("name values that are mappings: values: {NAME: {...}}")
            label = label_of(value)
            if label in labels:
                raise ValueError(f"have distinct values, but has {label} twice")
            labels.add(label)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the values in their order."""
        return tuple(self.values) if isinstance(self.values, dict) else tuple(map(label_of, self.values))

    def setting(self, label: str) -> dict[str, Any]:
        """Keys of a run, nested, that a value sets."""
        value = self.values[label] if isinstance(self.values, dict) else self.values[self.labels.index(label)]
        if self.key is None:
            return value
        for part in reversed(self.key.split(".")):
            value = {part: value}
        return value

    @property
    def keys(self) -> tuple[str, ...]:
        """Dotted keys that any of its values sets."""
        if self.key is not None:
            return (self.key,)
        return tuple(dict.fromkeys(key for label in self.labels for key in leaves(self.setting(label))))


def leaves(keys: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted keys of a nested mapping; an empty mapping is a value."""
    for key, value in keys.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def overlap(first: str, second: str) -> bool:
    """Whether two dotted keys are equal, or one is a section that holds the other."""
    return f"{first}.".startswith(f"{second}.") or f"{second}.".startswith(f"{first}.")


def label_of(value: Any) -> str:
    """Write a value shortly: ``1e-4``, ``true``, ``null``, ``48x40x32``; equal values have equal labels.

    Examples:
        >>> [label_of(value) for value in (1.0e-4, 0.05, 50000, 2.0, True, None, [1, 2], "b0")]
        ['1e-4', '0.05', '50000', '2', 'true', 'null', '1x2', 'b0']
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        parts = [label_of(one) for one in value]
        return ("x" if all(isinstance(one, int | float) for one in value) else "+").join(parts) or "empty"
    if isinstance(value, str) and _EXPONENT.fullmatch(value):  # YAML 1.1 reads 1e-4 as a text, 1.0e-4 as a number
        value = float(value)
    if isinstance(value, float):
        return _number(value)
    return str(value)


def _number(value: float) -> str:
    """The shorter one of 0.05 and 5e-2; both are exact, as Python writes floats."""
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    text = repr(value)
    digits = text.partition("e")[0].lstrip("-").replace(".", "").strip("0")
    exponent = _exponent(text)
    scientific = f"{'-' if value < 0 else ''}{digits[0]}{'.' + digits[1:] if digits[1:] else ''}e{exponent}"
    return text if "e" not in text and len(text) <= len(scientific) else scientific


def _exponent(text: str) -> int:
    mantissa, _, exponent = text.lstrip("-").partition("e")
    whole, _, rest = mantissa.partition(".")
    if whole.strip("0"):
        return int(exponent or 0) + len(whole.lstrip("0")) - 1
    return int(exponent or 0) - (len(rest) - len(rest.lstrip("0")) + 1)


def name_part(axis: str, label: str) -> str:
    """Part of a cell's name for one axis: ``lr1e-4``, ``freeze_true``; unsafe characters as ``%2F``."""
    joint = "" if label[:1].isdigit() or re.match(r"[+-][\d.]", label) else "_"
    escaped = _UNSAFE.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "replace")), label)
    return f"{axis}{joint}{escaped}"


def unsafe(name: str) -> str:
    """Why a text is no file name that is safe in a shell; empty if it is."""
    faults = {
        "has '/' or '\\'": any(one in name for one in "/\\"),
        "has a quote": any(one in name for one in "'\"`"),
        "has a control character": any(not one.isprintable() for one in name),
        "has '..'": ".." in name,
        "starts with '.' or '-'": name.startswith((".", "-")),
        f"has more than {LONGEST} bytes": len(name.encode("utf-8", "replace")) > LONGEST,
    }
    return next((fault for fault, here in faults.items() if here), "")


def matches(condition: Mapping[str, Any], facts: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a cell fits a condition of a grid file: each key has the cell's value, or a list that contains it.

    Args:
        condition: of ``when`` or ``exclude``.
        facts: the cell's values of :data:`FACTS`.
        labels: the cell's labels by axis; an axis that the cell does not have fits nothing.
    """
    return all(
        facts[key] in (wanted if isinstance(wanted, list | tuple) else (wanted,))
        if key in FACTS
        else labels.get(key) in labels_wanted(wanted)
        for key, wanted in condition.items()
    )


def labels_wanted(wanted: Any) -> set[str]:
    """Labels that a condition on an axis accepts; a list is a choice, or one value that is a list."""
    return {label_of(wanted), *map(label_of, wanted if isinstance(wanted, list | tuple) else ())}


def fits(pattern: str, text: str) -> bool:
    """Whether a value of a cell fits a pattern of ``--only``: ``CTRATE*``, or a number in any form."""
    if fnmatchcase(text, pattern):
        return True
    try:
        return label_of(yaml.safe_load(pattern)) == text
    except yaml.YAMLError:
        return False


def shown(labels: Mapping[str, Any]) -> str:
    """``lr=1e-4, freeze=true``."""
    return ", ".join(f"{axis}={label if isinstance(label, str) else label_of(label)}" for axis, label in labels.items())


def conditions(text: str) -> Iterable[tuple[str, str]]:
    """Split ``lr=1e-4,train_on=CTRATE*`` into names and patterns."""
    for part in text.split(","):
        name, _, pattern = part.partition("=")
        yield name.strip(), pattern.strip()
