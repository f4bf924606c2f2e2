"""Keys without effect on the weights of a run, because of its other keys.

Only keys are listed of which the code shows it: a key that is missing here trains a run again without need, a key that
is listed wrongly gives a run the weights of another one.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from uniferum.config import Section
from uniferum.model.config import ModelConfig
from uniferum.run.config import RunConfig
from uniferum.systems import SYSTEMS, reads_text, section_of

ORGANS = frozenset(
    {
        "model.mask_prior",  # the initial bias of the mask head, which is not trained without masks
        "augmentation.masks",
        "sampling.organ_share",
        "sampling.organ_share_of",
        "sampling.luna_factor",
        "optim.segmentation_weight",
        "optim.focal_alpha",  # labels have the cross-entropy, only masks the focal loss
        "optim.focal_gamma",
    }
)
"""Without ``SEG`` in ``train_on`` there is no mask, neither to draw nor to learn."""
PLATEAU = frozenset({"optim.plateau_factor", "optim.plateau_patience"})
"""Only ``optim.schedule: plateau`` reads them."""
TINY = frozenset(f"model.text.{key}" for key in ("hidden", "heads", "expansion", "pre_norm"))
"""Only the text encoder ``tiny`` has no sizes of its own."""
STRENGTHS = frozenset(f"augmentation.{key}" for key in ("rotation_deg", "zoom", "noise", "offset"))
"""With ``augmentation.probability: 0`` none of the four steps is applied; the random numbers drawn are the same."""

OWN_SECTIONS = tuple(dict.fromkeys(system.section for system in SYSTEMS.values() if system.section))
"""The sections of ``model`` that one system reads and the others do not."""


def without_effect(config: RunConfig) -> frozenset[str]:
    """List the keys of a run, dotted, whose value changes neither its weights nor its scores.

    Examples:
        >>> from uniferum import RunConfig
        >>> config = RunConfig.model_validate({"name": "first", "train_on": ["CTRATE"]})
        >>> "sampling.luna_factor" in without_effect(config)
        True
    """
    keys = _of_model(config.model)
    if not config.segmentation:
        keys |= ORGANS
    if config.optim.schedule != "plateau":
        keys |= PLATEAU
    if config.augmentation.probability == 0:
        keys |= STRENGTHS
    if config.data.tasks_per_volume == 1:
        keys.add("augmentation.unit")
    if config.evaluation.augmentations == 0:
        keys.add("evaluation.strength")
    return frozenset(keys)


def _of_model(model: ModelConfig) -> set[str]:
    """The keys of the model's section that its system or its other keys leave unread."""
    keys: set[str] = set()
    if not reads_text(model.kind):
        keys.add("model.text")
    elif model.text.name != "tiny":
        keys |= TINY
    if model.encoder.frozen_stages == 0:
        keys.add("model.encoder.frozen_norm")
    own = section_of(model.kind)
    keys |= {f"model.{name}" for name in OWN_SECTIONS if name != own}
    if own:
        keys.add("model.head")
    return keys


def has_effect(key: str, idle: frozenset[str]) -> bool:
    """Whether neither a dotted key nor a section that holds it is among keys without effect."""
    parts = key.split(".")
    return not any(".".join(parts[:length]) in idle for length in range(1, len(parts) + 1))


def with_defaults(keys: dict[str, Any], idle: frozenset[str]) -> dict[str, Any]:
    """Copy the keys of a run with the schema's default for each key without effect that is among them."""
    changed = keys
    for key in sorted(idle):
        changed = _replaced(changed, key.split("."), _default(key))
    return changed


def _replaced(keys: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    first, *rest = path
    if first not in keys:
        return dict(keys)
    return {**keys, first: _replaced(keys[first], rest, value) if rest else value}


@cache
def _default(key: str) -> Any:
    section: Any = RunConfig
    *parents, last = key.split(".")
    for parent in parents:
        section = section.model_fields[parent].annotation
    value = section.model_fields[last].default
    return value.model_dump(mode="json") if isinstance(value, Section) else value
