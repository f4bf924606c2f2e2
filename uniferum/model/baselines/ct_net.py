"""CT-Net (Draelos et al. 2021): 2D image features of slice triplets, then 3D convolutions, one logit per label.

As published: three slices as the colour channels of an ImageNet ResNet-18 without its head, feature maps stacked along
z, 3D convolutions that reduce them to a vector, fully connected layers. Different here: the input is the same prepared
volume as of all systems (not 402 x 420 x 420 voxels at 0.8 mm), and the last maps are averaged to a fixed size, so that
any geometry fits.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uniferum.model.baselines.label_heads import LabelHeads, LabelReader, no_mask_grid
from uniferum.model.baselines.slices import slice_network
from uniferum.model.config import ModelConfig
from uniferum.systems import system_of

TRIPLETS_AT_ONCE = 32


class CtNet(LabelHeads):
    """CT-Net: ResNet-18 over slice triplets, 3D convolutions, one logit per label."""

    def __init__(
        self, config: ModelConfig, model_shape: tuple[int, int, int], features: nn.Module, labels: Sequence[str]
    ) -> None:
        super().__init__()
        self.tokens_shape, self.patch = no_mask_grid(model_shape), 1
        self.config, self.features, self.labels = config, features, LabelReader(labels)
        self.reduce = nn.Sequential(
            nn.Conv3d(512, 64, 3, padding=1),
            nn.ReLU(),
            nn.Conv3d(64, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv3d(32, 16, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool3d((3, 3, 3)),
        )
        head = config.head
        self.head = nn.Sequential(
            nn.Linear(16 * 27, 128),
            nn.ReLU(),
            nn.Dropout(head.dropout),
            nn.Linear(128, 96),
            nn.ReLU(),
            nn.Dropout(head.dropout),
            nn.Linear(96, len(labels)),
        )

    def encode(self, volume: Float[Tensor, "V 1 X Y Z"]) -> Float[Tensor, "V F"]:
        """Compute one vector per volume; the last triplet is padded with air."""
        count = len(volume)
        slices = nn.functional.pad(volume[:, 0], (0, -volume.shape[-1] % 3))
        triplets = slices.unflatten(-1, (-1, 3)).permute(0, 3, 4, 1, 2).flatten(0, 1)
        maps = torch.cat([self.features(part) for part in triplets.split(TRIPLETS_AT_ONCE)])
        stacked = maps.unflatten(0, (count, -1)).permute(0, 2, 3, 4, 1)
        return self.reduce(stacked).flatten(1)


def build_ct_net(
    config: ModelConfig,
    model_shape: tuple[int, int, int],
    labels: Sequence[str],
    weights_dir: Path | None,
    *,
    pretrained: bool = True,
) -> CtNet:
    """Build CT-Net with one output for each of ``labels``; ``encoder.weights``: whether it is pretrained."""
    features = slice_network("resnet18", system_of("ct_net").image_weights, config, weights_dir, pretrained=pretrained)
    return CtNet(config, model_shape, features, labels)
