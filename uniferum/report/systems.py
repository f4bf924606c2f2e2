"""Names of text encoders, made from the config of a cell, and the check whether a cell is the paper's system.

``pubmedbert`` and ``gatortron`` are the paper's two text encoders and nothing else: the hub ids below with their first
four layers (paper 3.6 and 4). People read the hub id. A published value stands beside a cell of the same system only:
never beside another text or image encoder, another fusion, an input of another size, or phantoms.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uniferum.config import load_yaml
from uniferum.data.folds import Folds
from uniferum.errors import UniferumError
from uniferum.report.cited_systems import other_settings, own_text
from uniferum.run_files import RunFiles
from uniferum.systems import UNIFERUM, reads_text, section_of, trained_by_paper

PAPER_LAYERS = 4
PAPER_TEXT = {
    "pubmedbert": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext",
    "gatortron": "UFNLP/gatortron-base",
}
PAPER_IMAGE = {"name": "tf_efficientnet_b0", "weights": "imagenet", "stride": 32, "frozen_stages": 0}
"""The keys of ``model.encoder`` that make it the paper's (paper 3.6, and its released configuration)."""
PAPER_INPUT = {"crop_mm": [384, 320, 256], "model_shape": [256, 160, 128]}
"""The keys of ``geometry`` that make the model's input, and so its visual tokens, the paper's (paper 3.5)."""
UNRECORDED = "its config is not recorded"


def encoder_word(kind: str, text: Mapping[str, Any]) -> str:
    """What a text encoder is: ``tiny-64`` by its width, ``minilm-4`` by its layers, else its hub id or folder.

    A hub id or folder stands for its first four layers; another number of layers follows it. A model without a text
    encoder has none, and the published one of CT-CLIP is not named.

    Args:
        kind: ``model.kind``.
        text: the keys of ``model.text``.
    """
    name, layers = str(text.get("name") or ""), text.get("layers")
    if not reads_text(kind) or not name or own_text(kind, text):
        return ""
    if name == "tiny":
        return f"tiny-{text['hidden']}" if "hidden" in text else name
    if name == "minilm":
        return f"minilm-{layers}" if layers else name
    paper = {hub: word for word, hub in PAPER_TEXT.items()}
    if name in paper and layers == PAPER_LAYERS:
        return paper[name]
    if name in PAPER_TEXT:  # a folder that bears the name
        name = f"./{name}"
    return name if layers in (None, PAPER_LAYERS) else f"{name}-{layers}"


def shown_encoder(word: str) -> str:
    """The printed name of a text encoder: the hub id for the paper's two."""
    return PAPER_TEXT.get(word, word)


def other_system(kind: str, model: Mapping[str, Any], geometry: Mapping[str, Any] | None = None) -> str:
    """Why a model is not the paper's system of its kind; empty if it is.

    Args:
        kind: ``model.kind``; only those that the paper trained or cites can be the paper's.
        model: the keys of ``model``, all of them as a run records them; an empty mapping where they are unknown.
        geometry: the keys of ``geometry``; those that are not given are the paper's, as in a run.
    """
    if section_of(kind):
        return ", ".join(other_settings(kind, model)) if model.get(section_of(kind)) else UNRECORDED
    if not trained_by_paper(kind):
        return ""
    if not model.get("encoder"):
        return UNRECORDED
    differences = _text_differs(kind, model.get("text") or {}) + _differing("encoder", model["encoder"], PAPER_IMAGE)
    if kind == UNIFERUM:
        fusion = model.get("fusion") or {}  # positions: both presets' are the paper's
        differences += [f"fusion.{key}" for key, value in fusion.items() if key != "positions" and value not in _OFF]
    return ", ".join([*differences, *_differing("geometry", PAPER_INPUT | dict(geometry or {}), PAPER_INPUT)])


_OFF = (None, False, 0, "none")


def _text_differs(kind: str, text: Mapping[str, Any]) -> list[str]:
    word = encoder_word(kind, text)
    return [] if not reads_text(kind) or word in PAPER_TEXT else [f"text encoder {word}"]


def _differing(name: str, keys: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    return [f"{name}.{key} {keys.get(key)}" for key, value in wanted.items() if keys.get(key) != value]


def recorded(folder: Path) -> Mapping[str, Any]:
    """Read the recorded config of a cell; empty if it is missing or unreadable."""
    try:
        return load_yaml(RunFiles(folder).config)
    except UniferumError:
        return {}


def section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the keys of a section of a recorded config; empty if it is missing or damaged."""
    keys = config.get(name)
    return keys if isinstance(keys, dict) else {}


def recorded_folds(data: Mapping[str, Any]) -> Folds | None:
    """The fold that a run holds out, from the keys of ``data``; None without folds."""
    if not data.get("folds"):
        return None
    seed, nested = int(data.get("fold_seed") or 0), bool(data.get("nested_folds"))
    return Folds(int(data["folds"]), int(data.get("fold") or 0), seed, nested)
