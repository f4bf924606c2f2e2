"""The systems whose numbers the paper cites: the row of a cell in its table, and their published settings.

A cited value stands beside a cell only if the cell has the published sizes, input and weights to start from. A test
compares the settings here with the defaults of ``uniferum.model``, which the report does not import.
"""

from collections.abc import Mapping
from typing import Any

from uniferum.systems import section_of

CXR_BERT = {"name": "microsoft/BiomedVLP-CXR-BERT-specialized", "layers": 12}
"""The text encoder of CT-CLIP: the keys of ``model.text``."""

SETTINGS: dict[str, dict[str, Any]] = {
    "ct_net": {
        "input": {
            "spacing_mm": [0.8, 0.8, 0.8],
            "shape": [420, 420, 402],
            "orientation": "LPI",
            "hu": [-1000.0, 200.0],
            "subtract": 0.449,
        },
        "network": "resnet18.tv_in1k",
        "convs": [
            {"out": 64, "kernel": [3, 3, 3], "stride": [3, 1, 1]},
            {"out": 32, "kernel": [3, 3, 3], "stride": [3, 1, 1]},
            {"out": 16, "kernel": [3, 2, 2], "stride": [3, 2, 2]},
        ],
        "hidden": [128, 96],
        "dropout": 0.5,
    },
    "cnn_transformer": {
        "input": {
            "spacing_mm": [1.5, 1.5, 1.0],
            "shape": [224, 224, 250],
            "orientation": "LPS",
            "windows_hu": [[-600.0, 1500.0], [400.0, 1000.0], [40.0, 400.0]],
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
        },
        "network": "resnetv2_101x3_bit.goog_in21k",
    },
    "ct_clip": {
        "input": {
            "spacing_mm": [0.75, 0.75, 1.5],
            "shape": [480, 480, 240],
            "orientation": "LPS",
            "hu": [-1000.0, 1000.0],
            "divide_by": 1000.0,
            "pad": -1.0,
        },
        "vit": {
            "width": 512,
            "patch": 20,
            "patch_slices": 10,
            "spatial_layers": 4,
            "temporal_layers": 4,
            "heads": 8,
            "head_width": 32,
            "codes": 8192,
            "codebook_decay": 0.8,
        },
        "latent": 512,
        "present": "{label} is present.",
        "absent": "{label} is not present.",
    },
}
"""Keys of a system's own section in ``model``. The transformer of CNN + Transformer is not among them, because its
authors searched its sizes."""


FOOTNOTES = {
    "cnn_transformer": "The cited CNN+Transformer was pretrained on slices of RSNA's pulmonary embolism data (Huang et "
    "al. 2023); the cells here are not.",
}
"""What a cited system has that no setting of a cell gives, by system; printed below a table with its cited value."""


def row_model(kind: str, model: Mapping[str, Any]) -> str:
    """The name of a system in the rows of tables: ``ct_clip`` with its way, e.g. ``ct_clip_vocabfine``.

    Args:
        kind: ``model.kind``.
        model: the keys of ``model``; an empty mapping where they are unknown.
    """
    way = (model.get("ct_clip") or {}).get("way") if kind == "ct_clip" else None
    return f"{kind}_{way}" if way else kind


def own_text(kind: str, text: Mapping[str, Any]) -> bool:
    """Whether a text encoder is the one that belongs to the system, so that the rows of tables do not name it."""
    return kind == "ct_clip" and {key: text.get(key) for key in CXR_BERT} == CXR_BERT


def other_settings(kind: str, model: Mapping[str, Any]) -> list[str]:
    """The settings of a cited system that are not the published ones, e.g. ``ct_net.input.spacing_mm None``.

    Args:
        kind: ``model.kind``.
        model: the keys of ``model``, all of them as a run records them.
    """
    section = section_of(kind)
    if section not in SETTINGS:
        return []
    differences = _differing(section, model.get(section) or {}, SETTINGS[section])
    if kind == "ct_clip":
        if not own_text(kind, model.get("text") or {}):
            differences.append("another text encoder")
    elif (model.get("encoder") or {}).get("weights") != "imagenet":
        differences.append("encoder.weights none")
    return differences


def _differing(name: str, keys: Mapping[str, Any], published: Mapping[str, Any]) -> list[str]:
    differences: list[str] = []
    for key, value in published.items():
        given = keys.get(key)
        if isinstance(value, dict):
            differences += _differing(f"{name}.{key}", given or {}, value)
        elif given != value:
            differences.append(f"{name}.{key} {given}")
    return differences
