"""Config sections of training, and which keys are part of a run's fingerprint.

``batch`` and ``micro_batch`` count rows (volume, prompt). With ``micro_batch_volumes`` instead of ``micro_batch``, both
count volumes, independent of the number of rows per volume. Batch norm depends on micro-batches, so they are in the
fingerprint; the number of workers that share them is not.
"""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from uniferum.config import Section

# Keys without effect on the weights: they are in no fingerprint.
NOT_IDENTITY = frozenset({"threads", "checkpoint_every", "log_every", "mask_scans"})

Tf32 = Literal["none", "convolutions", "all"]


class TrainingConfig(Section):
    """Steps, batches, precision and checkpoints.

    Sources: 25,000 steps, validation every 5,000 (paper 3.6); batch 64 (paper 3.6) as 8 per device times 8 accumulated
    (the paper's released code). ``tf32``: which float32 products may use TF32 on a GPU; ``convolutions`` is PyTorch's
    default, which the Hugging Face Trainer of the released code keeps.
    """

    steps: int = Field(default=25_000, ge=0)
    validate_every: int = Field(default=5_000, ge=1)
    batch: int = Field(default=64, ge=1)
    micro_batch: int | None = Field(default=8, ge=1)
    micro_batch_volumes: int | None = Field(default=None, ge=1)
    precision: Literal["fp32", "bf16", "auto"] = "auto"
    tf32: Tf32 = "convolutions"
    checkpoint_every: int = Field(default=500, ge=1)
    log_every: int = Field(default=1, ge=1)
    threads: int | None = Field(default=None, ge=1)
    mask_scans: int = Field(
        default=32, ge=0, description="with SEG: scans per cohort whose masks a validation scores; the test scores all"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_unit(cls, given: Any) -> Any:
        """Set ``micro_batch`` to null if only ``micro_batch_volumes`` is given."""
        if isinstance(given, dict) and given.get("micro_batch_volumes") is not None and "micro_batch" not in given:
            return {**given, "micro_batch": None}
        return given

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> Self:
        if (self.micro_batch is None) == (self.micro_batch_volumes is None):
            shown = f"micro_batch is {self.micro_batch}, micro_batch_volumes is {self.micro_batch_volumes}"
            raise ValueError(f"give either micro_batch (rows) or micro_batch_volumes, the other null: {shown}")
        if self.batch % self.micro:
            name = "micro_batch_volumes" if self.by_volumes else "micro_batch"
            raise ValueError(f"be a multiple of {name} ({self.micro}), but batch is {self.batch}")
        return self

    @property
    def by_volumes(self) -> bool:
        """Whether ``batch`` and micro-batches count volumes instead of rows."""
        return self.micro_batch_volumes is not None

    @property
    def micro(self) -> int:
        """The size of a micro-batch, in rows or volumes."""
        size = self.micro_batch_volumes or self.micro_batch
        assert size is not None, "one of the two is given"
        return size

    @property
    def micro_batches(self) -> int:
        """Number of micro-batches per optimizer step."""
        return self.batch // self.micro

    def validations(self, step: int) -> int:
        """Number of validations up to and including ``step``; the last step has one, also if it is step 0."""
        every = self.validate_every
        if not self.steps:
            return 1
        return step // every + (step == self.steps and step % every > 0)


class OptimConfig(Section):
    """Optimizer, schedule and the weights of the two losses.

    Sources: warm-up of 25 steps, AdamW, linear decay, focal loss times 10: paper 3.2 and 3.6. Learning rate 5e-5,
    weight decay 1e-4, focal alpha 0.25 and gamma 2: the paper's released code. Plateau factor and patience: PyTorch's
    and this project's choice (the paper states none).
    """

    lr: float = Field(default=5e-5, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    warmup_steps: int = Field(default=25, ge=0)
    schedule: Literal["linear", "plateau", "constant"] = "linear"
    plateau_factor: float = Field(default=0.1, gt=0, lt=1)
    plateau_patience: int = Field(default=2, ge=0)
    clip_norm: float | None = Field(default=None, gt=0)
    encoder_lr: float | None = Field(default=None, gt=0)
    """Learning rate of the vision encoder, with the same warm-up and schedule; ``null``: ``lr`` (the paper has one rate
    for all weights)."""
    segmentation_weight: float = Field(default=10.0, ge=0)
    focal_alpha: float = Field(default=0.25, ge=0, le=1)
    focal_gamma: float = Field(default=2.0, ge=0)
    positive_weight: Literal["none", "ratio"] = "none"
    """Factor of the loss of positive labels: 1, or the ratio of a label's negative to its positive training rows
    (ClassFine of CT-CLIP; with ``sampling.balance`` the ratio is 1 where there are enough negatives)."""
