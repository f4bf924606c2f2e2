"""CT-Net (Draelos et al. 2021) as published: a 2D network over triplets of slices, 3D convolutions, a classifier.

Three neighbouring slices are the colours of one image for an ImageNet network. The triplets are the channels of the
reducing convolutions, which run over the network's channels, rows and columns. The input has its own grid and window
(:mod:`uniferum.model.ct_net_config`, with the sources). ``cnn_draelos`` is the same system.

Shapes: V volumes, T triplets, C channels, H rows and W columns of the network's maps.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uniferum.errors import UniferumError
from uniferum.model.baselines.label_heads import LabelHeads, LabelReader, no_mask_grid
from uniferum.model.baselines.own_grid import OwnGrid, to_hu
from uniferum.model.baselines.slices import maps_shape, slice_network
from uniferum.model.config import ModelConfig
from uniferum.model.ct_net_config import Conv, CtNetInput, Sizes
from uniferum.preprocessing.geometry import Geometry


class TripletInput:
    """Converts volumes of one run's geometry to triplets of slices."""

    def __init__(self, config: CtNetInput, geometry: Geometry) -> None:
        self.config, self.grid = config, OwnGrid(config, geometry)
        self.columns, self.rows, slices = self.grid.shape
        self.triplets = slices // 3
        if self.triplets == 0:
            raise UniferumError(*_shape_of(config, geometry), must="have at least 3 slices, one triplet")

    def __call__(self, volume: Float[Tensor, "V 1 X Y Z"]) -> Float[Tensor, "V T 3 R K"]:
        """Resample, clip and normalise volumes; slices that fill no triplet are left out, as in the code."""
        config = self.config
        low, high = config.hu
        hu = self.grid(to_hu(volume), low).clamp(low, high)
        x = (hu - low) / (high - low) - config.subtract
        slices = x[:, 0].permute(0, 3, 2, 1)[:, : 3 * self.triplets]
        return slices.unflatten(1, (self.triplets, 3))


class CtNet(LabelHeads):
    """CT-Net: one logit per label."""

    def __init__(self, config: ModelConfig, geometry: Geometry, features: nn.Module, labels: Sequence[str]) -> None:
        super().__init__()
        own = config.ct_net
        self.tokens_shape, self.patch = no_mask_grid(geometry.model_shape), 1
        self.config, self.labels = config, LabelReader(labels)
        self.input, self.features = TripletInput(own.input, geometry), features
        maps = maps_shape(features, config, self.input.rows, self.input.columns)
        reduced = reduced_shape(maps, own.convs)
        self.reduce = _reducing(self.input.triplets, own.convs)
        widths = [own.convs[-1].out * math.prod(reduced), *own.hidden]
        self.head = _classifier(widths, own.dropout).append(nn.Linear(widths[-1], len(labels)))

    def encode(self, volume: Float[Tensor, "V 1 X Y Z"]) -> Float[Tensor, "V F"]:
        """Compute one vector per volume.

        The batch norm of the network sees the triplets of one volume at a time, so that a volume does not depend on
        those beside it.
        """
        return torch.stack([self._vector(triplets) for triplets in self.input(volume)])

    def _vector(self, triplets: Float[Tensor, "T 3 R K"]) -> Float[Tensor, " F"]:
        return self.reduce(self.features(triplets)[None]).flatten()


def reduced_shape(maps: Sizes, convs: Sequence[Conv]) -> Sizes:
    """Size of the last maps of the reducing convolutions, along channels, rows and columns of the network's maps.

    Raises:
        UniferumError: a kernel is larger than what it is applied to.
    """
    shape = maps
    for number, conv in enumerate(convs):
        if any(kernel > side for kernel, side in zip(conv.kernel, shape, strict=True)):
            raise UniferumError(
                f"model.ct_net.convs.{number}.kernel",
                list(conv.kernel),
                must=f"fit into its input of {' x '.join(map(str, shape))}",
                cure="make it smaller, or model.ct_net.input.shape larger",
            )
        a, b, c = ((side - k) // s + 1 for side, k, s in zip(shape, conv.kernel, conv.stride, strict=True))
        shape = (a, b, c)
    return shape


def _reducing(triplets: int, convs: Sequence[Conv]) -> nn.Sequential:
    channels = [triplets, *(conv.out for conv in convs)]
    parts = nn.Sequential()
    for before, conv in zip(channels, convs, strict=False):
        parts.extend([nn.Conv3d(before, conv.out, conv.kernel, conv.stride), nn.ReLU()])
    return parts


def _classifier(widths: Sequence[int], dropout: float) -> nn.Sequential:
    parts = nn.Sequential()
    for before, after in pairwise(widths):
        parts.extend([nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)])
    return parts


def _shape_of(config: CtNetInput, geometry: Geometry) -> tuple[str, list[int]]:
    """The key that gives the input's shape, and its value."""
    if config.spacing_mm is None:
        return "geometry.model_shape", list(geometry.model_shape)
    return "model.ct_net.input.shape", list(config.shape)


def build_ct_net(
    config: ModelConfig,
    model_shape: tuple[int, int, int],
    labels: Sequence[str],
    weights_dir: Path | None,
    *,
    geometry: Geometry,
    pretrained: bool = True,
) -> CtNet:
    """Build CT-Net with one output for each of ``labels``; ``encoder.weights``: whether it is pretrained.

    Raises:
        UniferumError: an input that is too small, missing weights, or no label.
    """
    assert model_shape == geometry.model_shape
    if not labels:
        raise UniferumError("model.kind", config.kind, must="have at least one label to predict", cure="check train_on")
    return CtNet(config, geometry, slice_network(config, weights_dir, pretrained=pretrained), labels)
