"""Settings of the scoring of a trained run: in the evaluation fingerprint only, so that a change re-scores.

At its defaults the section is in no fingerprint.
"""

import re
from pathlib import Path
from string import Formatter
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from uniferum.config import Section
from uniferum.data.settings import AugmentationConfig

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
FIELDS = ("name", "prompt")
"""What a template of a prompt can contain: the label's name, and its own prompt."""

Strength = Literal["none", "small", "training"]
STRENGTHS: dict[Strength, AugmentationConfig] = {
    "none": AugmentationConfig(probability=1, rotation_deg=0, zoom=0, noise=0, offset=0),
    "small": AugmentationConfig(probability=1, rotation_deg=5, zoom=0.03, noise=0.005, offset=0.005),
    "training": AugmentationConfig(probability=1, rotation_deg=15, zoom=0.1, noise=0.01, offset=0.01),
}
"""Ranges of test-time augmentation; no step is left out by chance. They are ours, since the paper has no such
augmentation; ``training`` has the ranges of paper 3.5. None has a flip, because anatomy has sides."""


class EvaluationConfig(Section):
    """How the test splits are scored, beyond the cohorts that ``evaluate_on`` names."""

    augmentations: int = Field(
        default=0, ge=0, le=64, description="augmented passes over each test volume; logits are averaged with the plain"
    )
    strength: Strength = Field(
        default="small", description="ranges of rotation, zoom, noise and offset of these passes"
    )
    prompts: tuple[str, ...] = Field(
        default=(),
        description="templates of other prompts, with {name} or {prompt}, each scored beside the own prompts",
    )
    labels: dict[str, dict[str, Path]] = Field(
        default={}, description="cohort to name to label file: other labels of its test scans, scored beside its own"
    )

    def __hash__(self) -> int:
        """Hash of all values, since a plan keeps cells in sets and mappings cannot be hashed."""
        return hash(self.model_dump_json())

    @field_validator("prompts")
    @classmethod
    def _templates(cls, prompts: tuple[str, ...]) -> tuple[str, ...]:
        for template in prompts:
            try:
                fields = [field for _, field, _, _ in Formatter().parse(template) if field is not None]
            except ValueError as error:
                raise ValueError(f"be texts with {{name}} or {{prompt}}, but '{template}' is not: {error}") from None
            if not fields or not set(fields) <= set(FIELDS):
                raise ValueError(f"contain {{name}} or {{prompt}} and no other field, unlike '{template}'")
        if len(set(prompts)) < len(prompts):
            raise ValueError("be distinct")
        return prompts

    @model_validator(mode="after")
    def _names_of_label_sets(self) -> Self:
        for cohort, files in self.labels.items():
            for name in files:
                if not NAME.fullmatch(name):
                    raise ValueError(f"name label sets with letters, digits and _ . -, not '{name}' of {cohort}")
        return self


def worded(template: str, name: str, prompt: str) -> str:
    """The prompt of a label in another wording; its name is written as within a sentence.

    Examples:
        >>> worded("Is there {name}?", "Emphysema", "Diagnose the presence of emphysema in the lungs")
        'Is there emphysema?'
    """
    return template.format(name=name if name.isupper() else name.lower(), prompt=prompt)
