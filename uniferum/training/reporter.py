"""Who listens to a training: one seam, so that the trainer knows no tracking server and no scheduler.

A reporter has no say in what is trained; one that raises would fail a run, so implementations that talk to a network
spool instead of raising.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from uniferum.atomic import write_text
from uniferum.run_files import RunFiles


@runtime_checkable
class Reporter(Protocol):
    """What a listener is told, in this order: params once, metrics as they come, checkpoints, artifacts at the end."""

    def params(self, values: Mapping[str, Any]) -> None:
        """The resolved settings of the run, nested."""
        ...

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers measured after ``step`` optimizer steps."""
        ...

    def artifact(self, path: Path) -> None:
        """A file of the run's folder that is complete."""
        ...

    def checkpoint(self, path: Path, step: int) -> None:
        """A checkpoint folder that is complete; it may be replaced by a later one."""
        ...


class Silent:
    """A reporter that listens and says nothing."""

    def params(self, values: Mapping[str, Any]) -> None:
        """Not kept."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Not kept."""

    def artifact(self, path: Path) -> None:
        """Not kept."""

    def checkpoint(self, path: Path, step: int) -> None:
        """Not kept."""


class JsonlReporter:
    """Metrics as one JSON object a line in ``steps.jsonl`` of the run's folder.

    A resumed run goes on from its last checkpoint, so lines after that step were undone: :meth:`rewind` drops them, and
    the file reads like that of a run never stopped.
    """

    def __init__(self, folder: Path) -> None:
        self.path = RunFiles(folder).steps
        folder.mkdir(parents=True, exist_ok=True)

    def rewind(self, step: int, *, validated: bool = True) -> None:
        """Drop the lines of later steps than ``step``, and a last line cut short by a kill.

        With ``validated`` false the validation of ``step`` is still to come, so its line goes too.
        """
        if not self.path.exists():
            return
        kept = [line for line in self.path.read_text().splitlines() if _step_of(line, default=step + 1) <= step]
        if not validated:
            kept = [line for line in kept if _step_of(line, default=step) < step or "loss" in json.loads(line)]
        write_text(self.path, "".join(f"{line}\n" for line in kept))

    def params(self, values: Mapping[str, Any]) -> None:
        """Not kept here: ``config.yaml`` holds them."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line."""
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"step": step, **values}) + "\n")

    def artifact(self, path: Path) -> None:
        """Not kept here: the file lies in the same folder."""

    def checkpoint(self, path: Path, step: int) -> None:
        """Not kept here: the checkpoint lies in the same folder."""


class Fanout:
    """Tells several reporters the same, in their order."""

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self.reporters = tuple(reporters)

    def params(self, values: Mapping[str, Any]) -> None:
        """Pass on."""
        for reporter in self.reporters:
            reporter.params(values)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Pass on."""
        for reporter in self.reporters:
            reporter.metrics(step, values)

    def artifact(self, path: Path) -> None:
        """Pass on."""
        for reporter in self.reporters:
            reporter.artifact(path)

    def checkpoint(self, path: Path, step: int) -> None:
        """Pass on."""
        for reporter in self.reporters:
            reporter.checkpoint(path, step)


def read_steps(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a ``steps.jsonl``; a last line cut short by a kill is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if _step_of(line, default=-1) >= 0]


def _step_of(line: str, *, default: int) -> int:
    try:
        return int(json.loads(line)["step"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return default
