"""How a training ends before its last step, told apart for those who decide what to do next."""

from pathlib import Path

from uniferum.errors import UniferumError


class NonFiniteLoss(UniferumError):
    """The loss became NaN or infinite: the same run would do so again, so it is not to be retried."""


class Interrupted(RuntimeError):
    """A training was asked to stop and has written its checkpoint: the same call goes on from there."""

    def __init__(self, step: int, checkpoint: Path | None) -> None:
        super().__init__(step, checkpoint)
        self.step, self.checkpoint = step, checkpoint

    def __str__(self) -> str:
        where = f"; its checkpoint is {self.checkpoint}" if self.checkpoint else ""
        return f"stopped after step {self.step}{where}"
