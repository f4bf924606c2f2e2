"""The one error that a user's input can cause, worded so that it names the fault and its cure.

``UniferumError`` is a ``ValueError``: the command line prints it in one line and exits with code 2. Faults of our own
are assertions, never this class.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches


class UniferumError(ValueError):
    """Something that the user gave is wrong: *subject (value) must be condition; cure*."""

    def __init__(self, subject: str, value: object = None, *, must: str, cure: str = "") -> None:
        """Word the error.

        Args:
            subject: the file, and within it the field, that is wrong, e.g. ``configs/a.yaml: training.steps``.
            value: what stands there; ``None`` leaves it out.
            must: what should hold, continuing the sentence after "must", e.g. ``be at least 1``.
            cure: what to do about it, a clause of its own.
        """
        self.subject, self.value, self.must, self.cure = subject, value, must, cure
        super().__init__(subject, value, must, cure)

    def __str__(self) -> str:
        shown = "" if self.value is None else f" ({_short(self.value)})"
        cure = f"; {self.cure}" if self.cure else ""
        return f"{_one_line(without_passwords(self.subject))}{shown} must {self.must}{without_passwords(cure)}"

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes whole (keyword arguments do not survive the default pickling of exceptions)."""
        return (_rebuild, (type(self), self.subject, self.value, self.must, self.cure))


class OtherHardware(UniferumError):
    """This machine cannot go on with what another one began; one like that other machine can."""


def _rebuild(kind: type[UniferumError], subject: str, value: object, must: str, cure: str) -> UniferumError:
    return kind(subject, value, must=must, cure=cure)


def without_passwords(text: str) -> str:
    """The text with the password of every address in it hidden; errors end in logs."""
    text = re.sub(r"(?<=://)([^\s/:@]*):\S*@", r"\1:***@", text)
    return re.sub(r"(?<=[?&]password=)[^\s&]*", "***", text)


def _one_line(text: str) -> str:
    """The text with line breaks, and bytes of a file name that are no UTF-8, written out; both may stand in a name."""
    text = text.replace("\r", "\\r").replace("\n", "\\n")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _short(value: object) -> str:
    text = without_passwords(str(value).replace("\n", " "))
    return text if len(text) <= 120 else f"{text[:117]}..."


def near_miss(name: str, allowed: Iterable[str]) -> str:
    """A clause that suggests the closest allowed name, and lists all of them where they are few."""
    names = sorted(allowed)
    close = get_close_matches(name, names, n=1)
    listed = ", ".join(names) if len(names) <= 20 else f"one of {len(names)} names"
    return f"did you mean '{close[0]}'? (allowed: {listed})" if close else f"allowed: {listed}"


class StateError(UniferumError):
    """A state of the machine or the grid that stops a command: a plain statement and its remedy, no "must"."""

    def __init__(self, subject: str, value: object = None, *, must: str = "", cure: str = "") -> None:
        """Store the parts of the message; ``subject`` is the statement, without its full stop."""
        super().__init__(subject, value, must=must, cure=cure)

    def __str__(self) -> str:
        cure = f" {without_passwords(self.cure)}" if self.cure else ""
        return f"{_one_line(without_passwords(self.subject))}.{cure}"
