"""Numbers as rounded text, which CSV and JSON print in full.

A cell of a sheet is text. A :class:`Rounded` one also has all digits of its number, for formats that machines read.
"""

import math

NONE = "-"
"""Printed where there is no number."""


class Rounded(str):
    """A rounded number as text.

    Attributes:
        full: the same with all digits.
    """

    full: str

    def __new__(cls, text: str, full: str) -> "Rounded":
        """Make it from both texts."""
        made = super().__new__(cls, text)
        made.full = full
        return made


def rounded(value: float, form: str = ".4f") -> str:
    """A number to four digits; a hyphen if it is not finite."""
    return Rounded(format(value, form), repr(float(value))) if math.isfinite(value) else NONE


def signed(value: float) -> str:
    """A number to four digits with its sign; a hyphen if it is not finite."""
    return rounded(value, "+.4f")


def bounds(lo: float, hi: float, form: str = ".4f") -> str:
    """An interval to four digits; a hyphen without one."""
    if not math.isfinite(lo):
        return NONE
    return Rounded(f"[{lo:{form}}, {hi:{form}}]", f"[{float(lo)!r}, {float(hi)!r}]")


def shown_p(value: float) -> str:
    """A p value to four digits, never as 0; a hyphen without a test."""
    if not math.isfinite(value):
        return NONE
    return Rounded("<0.0001" if value < 0.0001 else f"{value:.4g}", repr(float(value)))
