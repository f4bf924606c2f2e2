"""Inflate 2D image weights to 3D: repeat each filter along the depth (paper 3.6).

Depth: as many copies as the filter is wide, divided by their number (timm-3d, which the paper used). For an image
repeated along the depth, interior slices then have the same output as in 2D. Without the division activations grow with
every layer and the stored batch-norm statistics no longer fit.

One input channel: the sum over the three colours, which equals the output of the 2D network for a grey image.
"""

from collections.abc import Mapping
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from uniferum.errors import UniferumError
from uniferum.model.config import EncoderConfig
from uniferum.model.pretrained import OFFLINE, find_pretrained, image_hub_id, in_package
from uniferum.model.weights import read_state


def inflate(kernel: Float[Tensor, "O I K K"], *, divide_by_depth: bool = True) -> Float[Tensor, "O I K K K"]:
    """Repeat a 2D kernel along a new last axis, as many times as it is wide."""
    depth = kernel.shape[-1]
    repeated = kernel.unsqueeze(-1).repeat(1, 1, 1, 1, depth)
    return repeated / depth if divide_by_depth else repeated


def one_channel(kernel: Float[Tensor, "O 3 K K"]) -> Float[Tensor, "O 1 K K"]:
    """Convert the first convolution to one grey channel: the sum over the three colours."""
    return kernel.sum(dim=1, keepdim=True)


def inflate_state(
    flat: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, divide_by_depth: bool, source: str
) -> dict[str, Tensor]:
    """Fit the 2D tensors ``flat`` to the 3D state dict ``wanted``, name by name.

    Args:
        flat: tensors of the 2D network; additional ones are ignored (the classifier, removed stages).
        wanted: the state dict of the 3D network, which gives names and shapes.
        divide_by_depth: see the module.
        source: the origin of ``flat``, for errors.

    Raises:
        UniferumError: a tensor is missing, or its inflated shape is not the wanted one; the message has both.
    """
    return {name: _fit(name, flat, like, divide_by_depth, source) for name, like in wanted.items()}


def _fit(name: str, flat: Mapping[str, Tensor], like: Tensor, divide: bool, source: str) -> Tensor:
    if name.endswith("num_batches_tracked"):
        return like  # the passes of this network (none so far), not those of the 2D one
    tensor = flat.get(name)
    if tensor is None:
        raise UniferumError(f"{source}: {name}", must="be there", cure=f"the encoder needs shape {tuple(like.shape)}")
    flat_shape = tuple(tensor.shape)
    if tensor.ndim == 4 and like.ndim == 5:
        tensor = one_channel(tensor) if like.shape[1] == 1 and tensor.shape[1] == 3 else tensor
        tensor = inflate(tensor, divide_by_depth=divide)
    if tensor.shape != like.shape:
        raise UniferumError(
            f"{source}: {name}",
            flat_shape,
            must=f"inflate to the encoder's {tuple(like.shape)}",
            cure="check model.encoder.name",
        )
    return tensor.to(like.dtype)


def image_weights(config: EncoderConfig, names: list[str], weights_dir: Path | None) -> tuple[dict[str, Tensor], str]:
    """Read the 2D ImageNet tensors of an encoder under timm's names, and their origin.

    Args:
        config: the network and the source of its weights.
        names: the tensor names of the whole 2D network in order, for the tensors of the offline package.
        weights_dir: see :func:`uniferum.model.pretrained.find_pretrained`.

    Raises:
        UniferumError: the weights are missing.
    """
    if config.weights == "imagenet":
        folder = find_pretrained(image_hub_id(config.name), weights_dir)
        return read_state(folder), str(folder)
    if config.name not in OFFLINE:
        known = ", ".join(OFFLINE)
        raise UniferumError(
            "model.encoder.weights",
            "offline",
            must=f"go with an encoder that has them ({known})",
            cure="or use imagenet",
        )
    path = in_package(*OFFLINE[config.name])
    state = read_state(path)
    if len(state) != len(names):
        raise UniferumError(str(path), f"{len(state)} tensors", must=f"hold the {len(names)} of {config.name}")
    return dict(zip(names, state.values(), strict=True)), str(path)
