"""Reporters: objects that receive what a training run reports, so that the trainer needs no tracking server.

A reporter does not change what is trained. One that raises stops the run, so a reporter that uses a network should
write to a local file and send later.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uniferum.atomic import write_text
from uniferum.run_files import RunFiles


class Reporter:
    """Base class of reporters: every method does nothing, and a subclass overrides those it needs.

    Order of calls: ``params`` once, ``metrics`` and ``checkpoint`` during training, ``artifact`` at the end.
    """

    def params(self, values: Mapping[str, Any]) -> None:
        """Receive the resolved config of the run, nested."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Receive numbers measured after ``step`` optimizer steps."""

    def artifact(self, path: Path) -> None:
        """Receive a complete file of the run's folder."""

    def checkpoint(self, path: Path, step: int) -> None:
        """Receive a complete checkpoint folder; a later checkpoint may replace it."""


class JsonlReporter(Reporter):
    """Write metrics as one JSON object per line to ``steps.jsonl`` in the run's folder.

    A resumed run continues from its last checkpoint; :meth:`rewind` drops the lines after that step, so the file is the
    same as that of a run without interruption.
    """

    def __init__(self, folder: Path) -> None:
        self.path = RunFiles(folder).steps
        folder.mkdir(parents=True, exist_ok=True)

    def rewind(self, step: int, *, validated: bool = True) -> None:
        """Drop the lines after ``step``, and an incomplete last line.

        With ``validated`` false the validation at ``step`` will run again, so its line is dropped too.
        """
        if not self.path.exists():
            return
        kept = [line for line in self.path.read_text().splitlines() if _step_of(line, default=step + 1) <= step]
        if not validated:
            kept = [line for line in kept if _step_of(line, default=step) < step or "loss" in json.loads(line)]
        write_text(self.path, "".join(f"{line}\n" for line in kept))

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line."""
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"step": step, **values}) + "\n")


class Fanout(Reporter):
    """Forward every call to several reporters, in their order."""

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self.reporters = tuple(reporters)

    def params(self, values: Mapping[str, Any]) -> None:
        """Forward the settings."""
        for reporter in self.reporters:
            reporter.params(values)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Forward the numbers."""
        for reporter in self.reporters:
            reporter.metrics(step, values)

    def artifact(self, path: Path) -> None:
        """Forward the file."""
        for reporter in self.reporters:
            reporter.artifact(path)

    def checkpoint(self, path: Path, step: int) -> None:
        """Forward the checkpoint."""
        for reporter in self.reporters:
            reporter.checkpoint(path, step)


def read_steps(path: Path) -> list[dict[str, Any]]:
    """Read all complete lines of a ``steps.jsonl``; an incomplete last line is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if _step_of(line, default=-1) >= 0]


def _step_of(line: str, *, default: int) -> int:
    try:
        return int(json.loads(line)["step"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return default
