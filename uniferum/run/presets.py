"""Presets ``paper`` and ``released``: values for keys where the paper's text and its released code differ.

``model.preset: released`` fills the keys of :data:`RELEASED` and :data:`SHARED` that a run does not give; an explicit
``null`` is kept. The values that both presets share are in configs/base.yaml, with their sources. The presets of the
preparation are in :mod:`uniferum.preprocessing.pipeline`, those of the model in :mod:`uniferum.model.config`.
"""

from collections.abc import Mapping
from typing import Any

from uniferum.config import Section, merge

SHARED: dict[str, dict[str, Any]] = {
    # Released: a dataset item is one (volume, prompt) row, and the volume is decoded for each.
    "data": {"tasks_per_volume": 1},
    # Default of the Hugging Face Trainer, which the released code uses (max_grad_norm).
    "optim": {"clip_norm": 1.0},
    # The Trainer's defaults: neither fp16 nor bf16; tf32 None keeps PyTorch's default: TF32 in convolutions only.
    "training": {"precision": "fp32", "tf32": "convolutions"},
}
"""Values for both the paper's numbers and the released code."""

PAPER: dict[str, dict[str, Any]] = {
    # Section 3.5 names no interpolation: these are this project's choices, and the defaults.
    "augmentation": {"masks": "nearest", "resampling": "once"},
    "data": {"level": "train"},
}

RELEASED: dict[str, dict[str, Any]] = {
    # Image and mask use bilinear and area interpolation; rotation and zoom interpolate separately.
    "augmentation": {"masks": "linear", "resampling": "stepwise"},
    # Augmentation is applied to the volume of 1 mm, which is resized afterwards.
    "data": {"level": "full"},
}


def with_preset(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the keys of a run's preset that it does not give; the paper's values are the defaults."""
    if _plain(given.get("model")).get("preset") != "released":
        return dict(given)
    filled = dict(given)
    for name, keys in merge(SHARED, RELEASED).items():
        own = given.get(name, {})
        if isinstance(own, Section | Mapping):  # the validation refuses anything else
            filled[name] = {**keys, **_plain(own)}
    return filled


def _plain(section: Any) -> dict[str, Any]:
    """The keys that were given in a section."""
    if isinstance(section, Section):
        return section.model_dump(exclude_unset=True)
    return dict(section) if isinstance(section, Mapping) else {}
