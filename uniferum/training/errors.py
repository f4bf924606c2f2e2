"""Exceptions that end a training run before its last step."""

from pathlib import Path

from uniferum.errors import UniferumError


class NonFiniteLoss(UniferumError):
    """The loss became NaN or infinite; a retry of the same run would fail again."""


class Interrupted(RuntimeError):
    """Training was stopped on request after writing a checkpoint; the same call resumes from it."""

    def __init__(self, step: int, checkpoint: Path | None) -> None:
        super().__init__(step, checkpoint)
        self.step, self.checkpoint = step, checkpoint

    def __str__(self) -> str:
        where = f"; its checkpoint is {self.checkpoint}" if self.checkpoint else ""
        return f"stopped after step {self.step}{where}"
