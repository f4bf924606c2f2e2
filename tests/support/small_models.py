"""Models small enough for unit tests."""

from typing import Any

import torch

from uniferum.model.base import Model
from uniferum.model.config import ModelConfig
from uniferum.model.registry import build_model
from uniferum.preprocessing.geometry import Geometry

SHAPE = (24, 16, 8)
GEOMETRY = Geometry(spacing_mm=(8, 8, 8), box_mm=(192, 128, 64), crop_mm=(192, 128, 64), model_shape=SHAPE)
LABELS = ("emphysema", "pleural_effusion", "atelectasis")
PROMPTS = (
    "Diagnose the presence of emphysema in the lungs",
    "Diagnose the presence of pleural effusion around the lungs",
    "Segment the heart in the image.",
)
# CT-CLIP with 2 x 3 x 2 tokens (slabs, rows, columns) of the small grid.
SMALL_CT_CLIP: dict[str, Any] = {
    "input": {"spacing_mm": None},
    "vit": {
        "width": 32,
        "patch": 8,
        "patch_slices": 4,
        "spatial_layers": 2,
        "temporal_layers": 2,
        "heads": 4,
        "head_width": 8,
        "codes": 64,
    },
    "latent": 16,
}

# CT-Net with two triplets of 24 x 16 voxels, and CNN + Transformer with a small trained network over eight slices.
SMALL_CT_NET: dict[str, Any] = {
    "input": {"spacing_mm": None},
    "network": "resnet10t",
    "convs": [
        {"out": 4, "kernel": [3, 1, 1], "stride": [3, 1, 1]},
        {"out": 2, "kernel": [5, 1, 1], "stride": [5, 1, 1]},
    ],
    "hidden": [12, 8],
}
SMALL_CNN_TRANSFORMER: dict[str, Any] = {
    "input": {"spacing_mm": None},
    "network": "resnet10t",
    "freeze_network": False,
    "heads": 4,
    "feed_forward": 16,
}
SMALL_OWN: dict[str, dict[str, Any]] = {
    "ct_clip": {"ct_clip": SMALL_CT_CLIP},
    "ct_net": {"ct_net": SMALL_CT_NET},
    "cnn_draelos": {"ct_net": SMALL_CT_NET},
    "cnn_transformer": {"cnn_transformer": SMALL_CNN_TRANSFORMER},
}


def small_config(**changes: Any) -> ModelConfig:
    """Config of a Uniferum with 3 x 2 x 1 visual tokens and hidden size 16; ``changes`` override its sections."""
    sections: dict[str, Any] = {
        "encoder": {"name": "tf_efficientnet_lite0", "weights": "none", "stride": 8},
        "text": {"name": "tiny", "layers": 2, "hidden": 16, "heads": 2},
        "patch": 2,
        **SMALL_OWN.get(changes.get("kind", ""), {}),
    }
    for name, change in changes.items():
        sections[name] = sections.get(name, {}) | change if isinstance(change, dict) else change
    return ModelConfig.model_validate(sections)


def small_model(seed: int = 0, **changes: Any) -> Model:
    """A small model in training mode."""
    return build_model(small_config(**changes), GEOMETRY, LABELS, seed)


def volumes(count: int = 2, seed: int = 0) -> torch.Tensor:
    """Random volumes in [0, 1]."""
    return torch.rand(count, 1, *SHAPE, generator=torch.Generator().manual_seed(seed))
