"""The settings of a training, and which of them are part of a run's identity.

``batch`` and ``micro_batch`` count rows (volume, prompt). Batch norm sees micro-batches, so both are part of what a run
is; how many workers share the micro-batches is not.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from uniferum.config import Section

# Keys that say how or where the same weights are computed: they are in no fingerprint.
NOT_IDENTITY = frozenset({"threads", "checkpoint_every", "log_every", "gradient_checkpointing", "compile"})


class TrainingConfig(Section):
    """Steps, batches, precision and checkpoints.

    Sources: 25,000 steps, validation every 5,000 (paper 3.6); batch 64 (paper 3.6) as 8 a device times 8 accumulated
    (the paper's released code).
    """

    steps: int = Field(25_000, ge=1)
    validate_every: int = Field(5_000, ge=1)
    batch: int = Field(64, ge=1)
    micro_batch: int = Field(8, ge=1)
    precision: Literal["fp32", "bf16", "auto"] = "auto"
    checkpoint_every: int = Field(500, ge=1)
    log_every: int = Field(1, ge=1)
    gradient_checkpointing: bool = False
    compile: bool = False
    threads: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> Self:
        if self.batch % self.micro_batch:
            raise ValueError(f"be a multiple of micro_batch ({self.micro_batch}), but batch is {self.batch}")
        return self

    @property
    def micro_batches(self) -> int:
        """How many micro-batches make one optimizer step."""
        return self.batch // self.micro_batch
