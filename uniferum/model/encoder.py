"""The vision encoder: a timm-3d EfficientNet up to the configured stride (paper 3.2 and 3.6).

Tensor names are timm's (``conv_stem``, ``bn1``, ``blocks``, ``conv_head``, ``bn2``). At stride 32 only the classifier
is removed; at smaller strides the network ends with the last stage of that stride and has no ``conv_head``.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from uniferum.errors import UniferumError, near_miss
from uniferum.model.config import EncoderConfig
from uniferum.model.inflate import image_weights, inflate_state
from uniferum.model.speed.depthwise import SameConv3d

MEASURED_AFTER = 100
"""Training passes after which undivided batch norms count as measured: 0.9 ** 100 of the stored value remains."""


class Encoder(nn.Module):
    """Map volumes (V, 1, X, Y, Z) to features (V, ``channels``, X/stride, Y/stride, Z/stride)."""

    folded = False
    """Whether this is a copy without batch norms for prediction (:mod:`uniferum.model.folding`)."""

    def __init__(self, config: EncoderConfig, *, gradient_checkpointing: bool = False) -> None:
        """Build the network with random weights; :func:`build_encoder` loads pretrained ones."""
        super().__init__()
        network = _timm_network(config)
        self.config, self.gradient_checkpointing = config, gradient_checkpointing
        self.conv_stem, self.bn1 = network.conv_stem, network.bn1
        self.blocks = nn.Sequential(*_cut(network, config))
        self.has_head = config.stride == 32
        if self.has_head:
            self.conv_head, self.bn2 = network.conv_head, network.bn2
        self.channels = _channels(self.conv_head if self.has_head else self.blocks[-1])
        _replace_convolutions(self, config)
        self._freeze()

    def forward(self, volume: Float[Tensor, "V 1 X Y Z"]) -> Float[Tensor, "V C x y z"]:
        """Compute the features of each volume.

        Raises:
            UniferumError: evaluation of undivided weights whose batch-norm statistics were never measured anew.
        """
        self.refuse_unmeasured()
        x = self.bn1(self.conv_stem(volume))
        for stage in self.blocks:
            if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
                x = checkpoint(stage, x, use_reentrant=False)
            else:
                x = stage(x)
        return self.bn2(self.conv_head(x)) if self.has_head else x

    def train(self, mode: bool = True) -> "Encoder":
        """Switch modes; with ``frozen_norm: running`` frozen stages keep their stored batch-norm statistics."""
        super().train(mode)
        if mode and self.config.frozen_norm == "running":
            for module in self._frozen():
                module.eval()
        return self

    def _frozen(self) -> Sequence[nn.Module]:
        """The frozen modules: the stem and the first stages; with all stages of a whole network also its head."""
        count, stages = self.config.frozen_stages, list(self.blocks.children())
        if not count:
            return []
        head = [self.conv_head, self.bn2] if self.has_head and count >= len(stages) else []
        return [self.conv_stem, self.bn1, *stages[:count], *head]

    def _freeze(self) -> None:
        for module in self._frozen():
            module.requires_grad_(False)

    def refuse_unmeasured(self) -> None:
        """Refuse undivided kernels with batch-norm statistics that were never measured anew."""
        if self.training or self.folded or self.config.divide_by_depth or self.config.weights == "none":
            return
        passes = int(self.bn1.num_batches_tracked)
        if passes < MEASURED_AFTER:
            raise UniferumError(
                "batch-norm statistics of an encoder with divide_by_depth: false",
                f"{passes} training passes",
                must=f"be measured anew over at least {MEASURED_AFTER} training passes before any evaluation",
                cure="train longer, or call uniferum.model.encoder.measure_norms",
            )


def build_encoder(
    config: EncoderConfig,
    weights_dir: Path | None = None,
    *,
    gradient_checkpointing: bool = False,
    pretrained: bool = True,
) -> Encoder:
    """Build an encoder with the weights that its config names (random if ``pretrained`` is false).

    Raises:
        UniferumError: an unknown network, or weights that are missing or do not fit.
    """
    encoder = Encoder(config, gradient_checkpointing=gradient_checkpointing)
    if pretrained and config.weights != "none":
        with torch.device("meta"):
            names = [name for name in _timm_network(config).state_dict()]
        flat, source = image_weights(config, names, weights_dir)
        state = inflate_state(flat, encoder.state_dict(), divide_by_depth=config.divide_by_depth, source=source)
        encoder.load_state_dict(state)
    return encoder


@torch.no_grad()
def measure_norms(encoder: Encoder, batches: list[Float[Tensor, "V 1 X Y Z"]]) -> None:
    """Replace the batch-norm statistics by their mean over ``batches``.

    Args:
        encoder: changed in place; its mode is kept.
        batches: volumes as in training.
    """
    norms = [module for module in encoder.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    training, momenta = encoder.training, [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all passes
    encoder.train()
    for volume in batches:
        encoder(volume)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.fill_(max(len(batches), MEASURED_AFTER))
    encoder.train(training)


def _timm_network(config: EncoderConfig) -> Any:  # timm-3d has no types
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm-3d scripts its activations with a call that torch deprecates
        import timm_3d
        from timm_3d.models.efficientnet import EfficientNet
    known = timm_3d.list_models("*efficientnet*")
    if config.name not in known:
        must = "be an EfficientNet of timm-3d"
        raise UniferumError("model.encoder.name", config.name, must=must, cure=near_miss(config.name, known))
    network = timm_3d.create_model(config.name, pretrained=False, in_chans=1, drop_path_rate=config.drop_path)
    assert isinstance(network, EfficientNet)
    return network


def _cut(network: Any, config: EncoderConfig) -> list[nn.Module]:
    """The stages up to the last one with the configured stride."""
    stages: list[nn.Module] = []
    stride = 2
    for stage in network.blocks:
        for module in stage.modules():
            if isinstance(module, nn.Conv3d):
                stride *= module.stride[0]
        if stride > config.stride:
            break
        stages.append(stage)
    return stages


def _channels(module: nn.Module) -> int:
    return [part for part in module.modules() if isinstance(part, nn.Conv3d)][-1].out_channels


def _replace_convolutions(module: nn.Module, config: EncoderConfig) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Conv3d):
            setattr(module, name, SameConv3d.of(child, config.fast_depthwise, channels_last=config.channels_last))
        else:
            _replace_convolutions(child, config)
