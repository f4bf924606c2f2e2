"""Short texts for the values of a run's keys, as in the names of cells: ``1e-4``, ``true``, ``48x40x32``."""

import math
import re
from typing import Any

_UNSAFE = re.compile(r"[^A-Za-z0-9._+,-]|\.(?=\.)")
_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")


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


def label_order(label: str) -> tuple[int, float, list[str | int]]:
    """Sort key of labels: numbers by value, then texts, in which numbers are sorted by value too.

    Examples:
        >>> sorted(["b10", "1e-3", "b9", "5e-4", "10", "9"], key=label_order)
        ['5e-4', '1e-3', '9', '10', 'b9', 'b10']
    """
    number = number_of(label)
    return (1, 0.0, natural(label)) if number is None else (0, number, [])


def number_of(label: str) -> float | None:
    """The number that a label is; None if it is none."""
    try:
        number = float(label)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def natural(word: str) -> list[str | int]:
    """Sort key that orders numbers within words by value: ``tiny-64`` before ``tiny-128``."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", word)]
