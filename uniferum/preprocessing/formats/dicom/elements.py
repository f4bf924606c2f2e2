"""Single elements of a header, where any of them may be absent, empty or of another kind than its name says."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from pydicom.tag import BaseTag, Tag


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom's warnings from the terminal: they quote the values of elements."""
    logger = logging.getLogger("pydicom")
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def value(data: Any, name: str) -> Any:
    """The element's value; ``None`` where it is absent, empty or cannot be converted to its type."""
    tag = _tag(name)
    if tag not in data:
        return None
    try:
        found = data[tag].value
    except Exception:  # noqa: BLE001 - pydicom's converters raise what they like on odd bytes; odd is as good as absent
        return None
    return None if found is None or (isinstance(found, str | bytes) and not found) else found


@cache
def _tag(name: str) -> BaseTag:
    """By name, kept: pydicom looks a keyword up anew at each access."""
    return Tag(name)


def text(data: Any, name: str) -> str:
    """The element as text, several values joined by a backslash as in the file; empty where there is none."""
    found = value(data, name)
    if found is None:
        return ""
    return "\\".join(str(part) for part in found) if _several(found) else str(found).strip()


def numbers(data: Any, name: str, count: int) -> np.ndarray | None:
    """Exactly ``count`` finite numbers; ``None`` where the element does not hold them."""
    found = value(data, name)
    if found is None:
        return None
    try:
        parts = np.array([float(part) for part in (found if _several(found) else [found])], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return parts if len(parts) == count and bool(np.isfinite(parts).all()) else None


def number(data: Any, name: str) -> float | None:
    """One finite number, or ``None``."""
    found = numbers(data, name, 1)
    return None if found is None else float(found[0])


def whole(data: Any, name: str) -> int | None:
    """One whole number, or ``None``."""
    found = number(data, name)
    return None if found is None or found != int(found) else int(found)


def first(data: Any, name: str) -> Any:
    """The first data set of a sequence, or ``None``."""
    found = value(data, name)
    try:
        return found[0] if found else None
    except (TypeError, IndexError, KeyError, AttributeError):
        return None


def _several(found: Any) -> bool:
    return not isinstance(found, str | bytes) and hasattr(found, "__iter__")
