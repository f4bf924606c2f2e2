"""The two sets of choices where the paper's text and its released code differ, or only the code says anything.

``model.preset: released`` fills the keys of :data:`RELEASED` that a run does not give; what both sets share stands in
configs/base.yaml, each value with its source, and :data:`SHARED` holds it for a test. ``null`` given by hand stays.
Preparation has its own (:mod:`uniferum.preprocessing.pipeline`), and so have the model's parts
(:mod:`uniferum.model.config`).
"""

from collections.abc import Mapping
from typing import Any

from uniferum.config import Section, merge

SHARED: dict[str, dict[str, Any]] = {
    # Released: one (volume, prompt) row is one item, and a volume is decoded for each.
    "data": {"tasks_per_volume": 1},
    # Default of the Hugging Face Trainer, which the released code uses (max_grad_norm).
    "optim": {"clip_norm": 1.0},
    # The Trainer's defaults: neither fp16 nor bf16, and tf32 None, which leaves PyTorch's: TF32 in convolutions alone.
    "training": {"precision": "fp32", "tf32": "convolutions"},
}
"""What holds for the paper's numbers and for the released code alike."""

PAPER: dict[str, dict[str, Any]] = {
    # The text of 3.5 names no interpolation: our own choices, which are the keys' defaults.
    "augmentation": {"masks": "nearest", "resampling": "once"},
    "data": {"level": "train"},
}

RELEASED: dict[str, dict[str, Any]] = {
    # Image and mask share bilinear and area interpolation; rotation and zoom are two transforms, each interpolated.
    "augmentation": {"masks": "linear", "resampling": "stepwise"},
    # Augmentation acts on the volume of 1 mm, which is resized last.
    "data": {"level": "full"},
}


def with_preset(given: Mapping[str, Any]) -> dict[str, Any]:
    """A run's keys with those of its preset laid under them; the paper's are the defaults and are not filled in."""
    if _plain(given.get("model")).get("preset") != "released":
        return dict(given)
    filled = dict(given)
    for name, keys in merge(SHARED, RELEASED).items():
        own = given.get(name, {})
        if isinstance(own, Section | Mapping):  # anything else is left for the validation to refuse
            filled[name] = {**keys, **_plain(own)}
    return filled


def _plain(section: Any) -> dict[str, Any]:
    """The keys that a section was given."""
    if isinstance(section, Section):
        return section.model_dump(exclude_unset=True)
    return dict(section) if isinstance(section, Mapping) else {}
