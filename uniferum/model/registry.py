"""From a model's section to the model: one line a compared system.

The same config and seed build the same weights on every machine, whatever ran before: the build has a random state of
its own and leaves the caller's alone.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from uniferum.errors import UniferumError, near_miss
from uniferum.model.base import Model
from uniferum.model.baselines.cnn import build_cnn
from uniferum.model.baselines.cnn_transformer import build_cnn_transformer
from uniferum.model.baselines.ct_clip import build_ct_clip
from uniferum.model.baselines.ct_net import build_ct_net
from uniferum.model.config import ModelConfig
from uniferum.model.uniferum import build_uniferum
from uniferum.preprocessing.geometry import Geometry

Builder = Callable[..., Model]
"""``(config, model_shape, labels, weights_dir, *, pretrained)`` to a model."""

SYSTEMS: dict[str, Builder] = {
    "uniferum": build_uniferum,
    "cnn": build_cnn,
    "ct_net": build_ct_net,
    "cnn_transformer": build_cnn_transformer,
    "ct_clip": build_ct_clip,
}

WITH_PARTS = ("uniferum", "cnn")
"""Systems with this project's encoder, whose stages can be compiled or computed again in the backward pass."""


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
        labels: every label id that a row may ask for; models with one output a label keep this order.
        seed: of the weights that are drawn.
        weights_dir: a folder of pretrained weights in the hub's format; None: ``UNIFERUM_WEIGHTS_DIR``, then the hub
            or its cache (``HF_HOME``, ``HF_HUB_OFFLINE``).
        pretrained: false where a checkpoint's weights will be loaded: then no pretrained weights need be had, only the
            text encoder's config and tokenizer.

    Raises:
        UniferumError: an unknown kind, a shape that does not fit, or weights that cannot be had.
    """
    if config.kind not in SYSTEMS:
        raise UniferumError("model.kind", config.kind, must="be a known system", cure=near_miss(config.kind, SYSTEMS))
    for key in ("compile", "gradient_checkpointing"):
        if getattr(config, key) and config.kind not in WITH_PARTS:
            raise UniferumError(
                f"model.{key}",
                True,
                must=f"be false for {config.kind}",
                cure=f"only {' and '.join(WITH_PARTS)} have it",
            )
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        return SYSTEMS[config.kind](config, geometry.model_shape, labels, weights_dir, pretrained=pretrained)
