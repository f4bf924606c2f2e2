"""2D image networks over slices, for comparison systems that are not 3D."""

import warnings
from pathlib import Path

from torch import nn

from uniferum.errors import UniferumError
from uniferum.model.config import ModelConfig
from uniferum.model.pretrained import find_pretrained
from uniferum.model.weights import read_state


def slice_network(name: str, hub: str, config: ModelConfig, weights_dir: Path | None, *, pretrained: bool) -> nn.Module:
    """Build a timm network without classifier and pooling: (B, 3, X, Y) to (B, C, x, y).

    Args:
        name: timm's name of the network.
        hub: hub id of its ImageNet weights.
        config: ``encoder.weights`` says whether they are used (``none``: random).
        weights_dir: see :func:`uniferum.model.pretrained.find_pretrained`.
        pretrained: false where a checkpoint provides the weights.

    Raises:
        UniferumError: missing weights, or missing tensors in them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import timm
    network = timm.create_model(name, pretrained=False, num_classes=0, global_pool="")
    if pretrained and config.encoder.weights != "none":
        if config.encoder.weights == "offline":
            raise UniferumError(
                "model.encoder.weights", "offline", must=f"be imagenet or none for {name}", cure="no package has them"
            )
        folder = find_pretrained(hub, weights_dir)
        missing = network.load_state_dict(read_state(folder), strict=False).missing_keys
        if missing:
            raise UniferumError(f"{folder}: {missing[0]}", must="be there", cure=f"is this {name}?")
    return network
