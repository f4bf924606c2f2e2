"""Build a compared system from its config section (:mod:`uniferum.systems` lists the systems).

The same config and seed give the same weights on every machine: the build uses its own random state and leaves the
caller's unchanged.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch

from uniferum.errors import UniferumError
from uniferum.model.base import Model
from uniferum.model.config import ModelConfig
from uniferum.preprocessing.geometry import Geometry
from uniferum.systems import SYSTEMS, System, system_of

Builder = Callable[..., Model]
"""``(config, model_shape, labels, weights_dir, *, pretrained)`` to a model; with ``text`` where it reads prompts, and
``geometry`` where it has its own grid."""


def builder_of(system: System) -> Builder:
    """Import the builder of a system."""
    module, _, function = system.builder.partition(":")
    return getattr(import_module(module), function)


def build_model(
    config: ModelConfig,
    geometry: Geometry,
    labels: tuple[str, ...],
    seed: int,
    *,
    weights_dir: Path | None = None,
    pretrained: bool = True,
) -> Model:
    """Build a compared system with its pretrained weights loaded.

    Args:
        config: the model's section.
        geometry: gives the input's shape in voxels.
        labels: every label id that a row may ask for; models with one output per label keep this order.
        seed: of the randomly initialised weights.
        weights_dir: a folder of pretrained weights in the hub's format; None: ``UNIFERUM_WEIGHTS_DIR``, then the hub
            or its cache (``HF_HOME``, ``HF_HUB_OFFLINE``).
        pretrained: false where a checkpoint's weights will be loaded: only the text encoder's config and tokenizer are
            then needed.

    Raises:
        UniferumError: an unknown system, a shape that does not fit, or missing weights.
    """
    system = system_of(config.kind)
    for key in ("compile", "gradient_checkpointing"):
        if getattr(config, key) and not system.own_encoder:
            able = [name for name, one in SYSTEMS.items() if one.own_encoder]
            raise UniferumError(
                f"model.{key}", True, must=f"be false for {config.kind}", cure=f"only {' and '.join(able)} have it"
            )
    build = builder_of(system)
    grid = {"geometry": geometry} if system.own_grid else {}
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        return build(config, geometry.model_shape, labels, weights_dir, pretrained=pretrained, **grid)
