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
from uniferum.errors import UniferumError
from uniferum.value_labels import label_of

FACTS = ("model", "text_encoder", "train_on", "seed")
"""What every cell has beside its axes; conditions (``when``, ``exclude``, ``--only``) name both."""
RESERVED = (*FACTS, "name", "seeds", "cells", "cohort", "group", "label")
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"
"""Names that a grid file gives to cells and values: safe as a part of a file name, in a shell and in ``--only``."""
LONGEST = 200
"""Bytes of a cell's name. File systems hold 255; folders and temporary files add a fingerprint or a number to it."""


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

    def label_of_value(self, value: Any) -> str:
        """The label that the file gives to a value of the key; the label made from the value if it has none."""
        named = self.values if isinstance(self.values, dict) else {}
        return next((label for label, one in named.items() if label_of(one) == label_of(value)), label_of(value))

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


def check_name(name: str, where: str, *, plus: bool = True) -> None:
    """Check a name that becomes a part of cell names and that ``--only`` patterns use.

    Args:
        name: the name.
        where: the key of the grid file.
        plus: whether it may contain ``+``, which joins cohorts to a mix.

    Raises:
        UniferumError: it has other characters than letters, digits and ``_ . + -``.
    """
    fault = unsafe(name) or ("" if re.fullmatch(NAME, name) else "has a character that a pattern can use")
    fault = fault or ("has '+', which joins cohorts" if "+" in name and not plus else "")
    if fault:
        allowed = "_ . + -" if plus else "_ . -"
        must = f"be a name for cells and --only, but it {fault}"
        raise UniferumError(where, name, must=must, cure=f"use letters, digits and {allowed}")


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
