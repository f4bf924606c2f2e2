"""2D image networks over slices, for comparison systems that are not 3D."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from uniferum.errors import UniferumError
from uniferum.model.config import ModelConfig, slice_network_key, slice_weights
from uniferum.model.networks import check_networks
from uniferum.model.pretrained import find_pretrained
from uniferum.model.weights import read_state


def slice_network(config: ModelConfig, weights_dir: Path | None, *, pretrained: bool) -> nn.Module:
    """Build the slice network of a system without classifier and pooling: (B, 3, rows, columns) to (B, C, r, c).

    Args:
        config: the model's section; the system's own section names the network, and ``encoder.weights`` says whether
            its pretrained weights are used (``none``: random).
        weights_dir: see :func:`uniferum.model.pretrained.find_pretrained`.
        pretrained: false where a checkpoint provides the weights.

    Raises:
        UniferumError: a network that timm does not have, missing weights, or missing tensors in them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import timm
    check_networks(config)
    key, name = slice_network_key(config)
    network = timm.create_model(name.partition(".")[0], pretrained=False, num_classes=0, global_pool="")
    if pretrained and config.encoder.weights != "none":
        if config.encoder.weights == "offline":
            raise UniferumError(
                "model.encoder.weights", "offline", must=f"be imagenet or none for {name}", cure="no package has them"
            )
        _load(network, _found(key, name, weights_dir, slice_weights(config)), name)
    return network


def _found(key: str, name: str, weights_dir: Path | None, hub: str) -> Path:
    if "." not in name:
        raise UniferumError(
            key, name, must="name its weights too, e.g. resnet18.tv_in1k", cure="or set model.encoder.weights=none"
        )
    return find_pretrained(hub, weights_dir)


def _load(network: nn.Module, folder: Path, name: str) -> None:
    state: Mapping[str, Tensor] = read_state(folder)
    missing = network.load_state_dict(state, strict=False).missing_keys
    if missing:
        raise UniferumError(f"{folder}: {missing[0]}", must="be there", cure=f"is this {name}?")


def maps_shape(network: nn.Module, config: ModelConfig, rows: int, columns: int) -> tuple[int, int, int]:
    """Channels, rows and columns of the maps that a network gives of one slice; nothing is computed.

    Raises:
        UniferumError: the slice is too small for it, or it gives no maps.
    """
    key, name = slice_network_key(config)
    mode, tensors = network.training, {**dict(network.named_parameters()), **dict(network.named_buffers())}
    empty = {part: torch.empty_like(tensor, device="meta") for part, tensor in tensors.items()}
    try:
        with torch.no_grad():
            network.eval()
            maps = torch.func.functional_call(network, empty, torch.empty(1, 3, rows, columns, device="meta"))
    except (RuntimeError, AssertionError) as error:
        raise UniferumError(key, name, must=f"take slices of {rows} x {columns}", cure=str(error)[:120]) from None
    finally:
        network.train(mode)
    if maps.ndim != 4:
        raise UniferumError(key, name, must="be a convolutional network, which gives maps", cure="e.g. resnet18")
    return maps.shape[1], maps.shape[2], maps.shape[3]
