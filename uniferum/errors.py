"""The error for wrong user input, with a message that names the fault and its remedy.

``UniferumError`` is a ``ValueError``: the command line prints it in one line and exits with code 2. Bugs of this
package are assertions, never this class.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches


class UniferumError(ValueError):
    """Wrong user input: *subject (value) must be condition; remedy*."""

    def __init__(self, subject: str, value: object = None, *, must: str, cure: str = "") -> None:
        """Store the parts of the message.

        Args:
            subject: the wrong file and the field in it, e.g. ``configs/a.yaml: training.steps``.
            value: the wrong value; ``None`` leaves it out.
            must: the condition, as it continues the word "must", e.g. ``be at least 1``.
            cure: the remedy, as a separate clause.
        """
        self.subject, self.value, self.must, self.cure = subject, value, must, cure
        super().__init__(subject, value, must, cure)

    def __str__(self) -> str:
        shown = "" if self.value is None else f" ({_short(self.value)})"
        cure = f"; {self.cure}" if self.cure else ""
        return f"{_one_line(without_passwords(self.subject))}{shown} must {self.must}{without_passwords(cure)}"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle all arguments: the default pickling of exceptions loses keyword arguments."""
        return (_rebuild, (type(self), self.subject, self.value, self.must, self.cure))


def _rebuild(kind: type[UniferumError], subject: str, value: object, must: str, cure: str) -> UniferumError:
    return kind(subject, value, must=must, cure=cure)


def without_passwords(text: str) -> str:
    """Hide the password of every address in the text, because errors end in logs."""
    text = re.sub(r"(?<=://)([^\s/:@]*):\S*@", r"\1:***@", text)
    return re.sub(r"(?<=[?&]password=)[^\s&]*", "***", text)


def _one_line(text: str) -> str:
    """Escape line breaks and bytes that are not UTF-8; a file name may contain both."""
    text = text.replace("\r", "\\r").replace("\n", "\\n")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _short(value: object) -> str:
    text = without_passwords(str(value).replace("\n", " "))
    return text if len(text) <= 120 else f"{text[:117]}..."


def near_miss(name: str, allowed: Iterable[str]) -> str:
    """Suggest the closest allowed name, and list all allowed names if there are few."""
    names = sorted(allowed)
    close = get_close_matches(name, names, n=1)
    listed = ", ".join(names) if len(names) <= 20 else f"one of {len(names)} names"
    return f"did you mean '{close[0]}'? (allowed: {listed})" if close else f"allowed: {listed}"


class StateError(UniferumError):
    """A state of the machine or the grid that stops a command: a plain statement and its remedy, no "must"."""

    def __init__(self, statement: str, *, cure: str = "") -> None:
        """Store the parts of the message.

        Args:
            statement: what the state is, without its full stop.
            cure: the remedy, as a sentence of its own.
        """
        super().__init__(statement, must="", cure=cure)

    def __str__(self) -> str:
        cure = f" {without_passwords(self.cure)}" if self.cure else ""
        return f"{_one_line(without_passwords(self.subject))}.{cure}"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the statement and its remedy."""
        return (_rebuild_state, (type(self), self.subject, self.cure))


class OtherHardware(StateError):
    """Work that another kind of machine began and only that kind of machine can continue."""


def _rebuild_state(kind: type[StateError], statement: str, cure: str) -> StateError:
    return kind(statement, cure=cure)
