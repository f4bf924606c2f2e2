"""The part of a config that a run's fingerprints cover."""

from collections.abc import Mapping
from typing import Any

from uniferum.evaluation.config import STRENGTHS
from uniferum.model.needs import starting_checkpoint
from uniferum.model.pretrained import digest_of_weights
from uniferum.run.config import RunConfig
from uniferum.run.no_effect import has_effect, with_defaults, without_effect
from uniferum.training.config import NOT_IDENTITY

# Keys of the model section that change how results are computed, but not the results (within rounding).
_MODEL_NOT_IDENTITY = {"gradient_checkpointing": True, "compile": True, "encoder": {"fast_depthwise", "channels_last"}}

# Keys that were added after runs had finished, with the value of the earlier behaviour: at that value they are in no
# fingerprint, so that finished runs stay valid.
_AS_BEFORE: dict[str, dict[str, Any]] = {
    "data": {"transforms": ()},
    "model": {"mask_prior": None, "ct_clip": None, "ct_net": None, "cnn_transformer": None},
    "training": {"micro_batch_volumes": None, "tf32": "convolutions"},
    "augmentation": {"unit": "volume", "masks": "nearest", "resampling": "once"},
    "sampling": {"organ_share_of": "rows", "label_count": None, "labels": "paper"},
    "optim": {"encoder_lr": None, "positive_weight": "none"},
}


# Sections and keys that are not dumped whole: they are in no training fingerprint, or have a form of their own there.
_ELSEWHERE = {"name", "evaluate_on", "evaluation", "data", "sampling", "training", "model"}


def identity_of(config: RunConfig) -> dict[str, Any]:
    """Return the part of a config that affects the weights; a key without effect has its default."""
    idle = without_effect(config)
    return as_recorded(with_defaults(whole_keys(config), idle), idle)


def whole_keys(config: RunConfig) -> dict[str, Any]:
    """Return the keys of a config that may affect the weights, those without effect among them."""
    kept = config.model_dump(mode="json", exclude=_ELSEWHERE)
    return {
        **kept,
        "select_on": list(config.selection_cohorts),
        "data": config.data.identity(),
        "sampling": config.sampling.identity(),
        "training": config.training.model_dump(mode="json", exclude=set(NOT_IDENTITY)),
        "model": _model(config),
    }


def _model(config: RunConfig) -> dict[str, Any]:
    """The model's section; a file of weights counts by its content, so that it may be moved, and not changed."""
    model = config.model.model_dump(mode="json", exclude=_MODEL_NOT_IDENTITY)
    start = starting_checkpoint(config.model)
    if start is not None and (digest := digest_of_weights(start)) is not None:
        model["ct_clip"]["checkpoint"] = digest
    return model


def as_recorded(whole: dict[str, Any], idle: frozenset[str]) -> dict[str, Any]:
    """Leave out the keys of ``_AS_BEFORE`` at their earlier behaviour or without effect."""
    for section, keys in _AS_BEFORE.items():
        for key, as_before in keys.items():
            if whole[section][key] == as_before or not has_effect(f"{section}.{key}", idle):
                del whole[section][key]
    return whole


def scoring_keys(config: RunConfig) -> dict[str, Any]:
    """Keys of the section ``evaluation`` that affect the scores, without label files; empty at the defaults."""
    own = config.evaluation
    keys: dict[str, Any] = {}
    if own.augmentations:
        ranges = STRENGTHS[own.strength].model_dump(include={"rotation_deg", "zoom", "noise", "offset"})
        keys |= {"augmentations": own.augmentations, "strength": own.strength, "ranges": ranges}
    return keys | ({"prompts": list(own.prompts)} if own.prompts else {})


def with_label_files(keys: dict[str, Any], digests: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Add the digests of label files, by cohort and name, to :func:`scoring_keys`."""
    return {**keys, **({"labels": digests} if digests else {})}
