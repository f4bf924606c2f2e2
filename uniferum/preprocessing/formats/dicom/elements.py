"""Read single elements of a header, any of which may be absent, empty or of an unexpected type."""

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
    """Suppress pydicom's warnings, because they quote the values of elements."""
    logger = logging.getLogger("pydicom")
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def value(data: Any, name: str) -> Any:
    """Value of an element; ``None`` if it is absent, empty or cannot be converted to its type."""
    tag = _tag(name)
    if tag not in data:
        return None
    try:
        content = data[tag].value
    except Exception:  # noqa: BLE001 - pydicom's converters raise many kinds of errors; invalid counts as absent
        return None
    return None if content is None or (isinstance(content, str | bytes) and not content) else content


@cache
def _tag(name: str) -> BaseTag:
    """Tag of a keyword, cached: pydicom searches for it at each access."""
    return Tag(name)


def text(data: Any, name: str) -> str:
    """Text of an element, several values joined by a backslash as in the file; empty if there is none."""
    content = value(data, name)
    if content is None:
        return ""
    return "\\".join(str(part) for part in content) if _several(content) else str(content).strip()


def numbers(data: Any, name: str, count: int) -> np.ndarray | None:
    """Exactly ``count`` finite numbers; ``None`` if the element does not hold them."""
    content = value(data, name)
    if content is None:
        return None
    try:
        parts = np.array([float(part) for part in (content if _several(content) else [content])], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return parts if len(parts) == count and bool(np.isfinite(parts).all()) else None


def number(data: Any, name: str) -> float | None:
    """One finite number, or ``None``."""
    content = numbers(data, name, 1)
    return None if content is None else float(content[0])


def whole(data: Any, name: str) -> int | None:
    """One whole number, or ``None``."""
    content = number(data, name)
    return None if content is None or content != int(content) else int(content)


def first(data: Any, name: str) -> Any:
    """First data set of a sequence, or ``None``."""
    content = value(data, name)
    try:
        return content[0] if content else None
    except (TypeError, IndexError, KeyError, AttributeError):
        return None


def _several(content: Any) -> bool:
    return not isinstance(content, str | bytes) and hasattr(content, "__iter__")
