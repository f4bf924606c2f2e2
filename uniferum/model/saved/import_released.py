"""Import checkpoints of the paper's released code: the ``model.safetensors`` of a Hugging Face Trainer run.

The file contains a second, unused BERT and two poolers that no loss uses; they are left out and counted. All other
tensors have one place in our model, which is built with preset ``released``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from uniferum.errors import UniferumError
from uniferum.model.config import PUBMEDBERT, EncoderConfig, ModelConfig, TextConfig
from uniferum.model.pretrained import find_pretrained
from uniferum.model.saved.hub import load_matching
from uniferum.model.text import Text, check_rows, hub_tensors, read_shape
from uniferum.model.tokenizer import PromptReader, hub_tokenizer
from uniferum.model.transformer import Transformer
from uniferum.model.uniferum import Uniferum, build_uniferum
from uniferum.model.weights import read_state
from uniferum.preprocessing.geometry import Geometry

OUR_NAMES = {
    "vision_model.emb_start": "start",
    "vision_model.emb_end": "separator",
    "vision_model.lm_adaptor.0.": "project.",
    "vision_model.model.": "encoder.",
    "lm_head_cls.": "class_head.",
    "lm_head_seg.": "mask_head.",
}
"""Released name or prefix -> ours; tensors of the fusion transformer (``model.``) are fused separately."""

UNUSED = {
    "embeddings.": "a second BERT that the forward pass never uses",
    "encoder.": "a second BERT that the forward pass never uses",
    "pooler.": "a second BERT that the forward pass never uses",
    "model.pooler.": "a pooler that no loss reads",
    "vision_model.model.classifier.": "the image classifier",
}


@dataclass
class Imported:
    """An imported model, its config, and the tensors of the file that were left out."""

    model: Uniferum
    config: ModelConfig
    left_out: dict[str, int] = field(default_factory=dict)
    """Reason -> number of tensors."""


def import_released(
    path: Path,
    *,
    text: str = PUBMEDBERT,
    geometry: Geometry | None = None,
    weights_dir: Path | None = None,
    encoder: str = "tf_efficientnet_b0",
) -> Imported:
    """Read a released checkpoint.

    Args:
        path: the ``model.safetensors``, or the folder that holds it.
        text: the text encoder of the training run; only its config and tokenizer are read.
        geometry: the grids of its input; None: the paper's.
        weights_dir: a folder that may contain ``text``, see :func:`uniferum.model.pretrained.find_pretrained`.
        encoder: its vision encoder.

    Raises:
        UniferumError: a file of another kind, a tensor without a place, or shapes that do not fit ``text``.
    """
    state = read_state(path)
    groups = _sorted(state, str(path))
    folder = find_pretrained(text, weights_dir, weights=False)
    shape, _ = read_shape(folder, dropout=None)
    layers = _layers(groups.transformer, str(path))
    config = ModelConfig(
        preset="released",
        encoder=EncoderConfig(name=encoder),
        text=TextConfig(name=text, layers=layers),
        patch=_patch(groups.ours, str(path)),
    )
    built = Text(Transformer(shape, layers), PromptReader(hub_tokenizer(folder), config.text.max_tokens))
    check_rows(built, str(folder))
    with torch.random.fork_rng(devices=[]):
        grid = (geometry or Geometry()).model_shape
        model = build_uniferum(config, grid, (), None, pretrained=False, text=built)
    fused = hub_tensors(groups.transformer, model.transformer, source=str(path))
    merged = groups.ours | {f"transformer.{name}": tensor for name, tensor in fused.items()}
    load_matching(model, merged, source=str(path))
    return Imported(model.eval(), config, groups.left_out)


@dataclass
class _Groups:
    ours: dict[str, Tensor] = field(default_factory=dict)
    transformer: dict[str, Tensor] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


def _sorted(state: Mapping[str, Tensor], source: str) -> _Groups:
    groups = _Groups()
    for name, tensor in state.items():
        unused = next((why for prefix, why in UNUSED.items() if name.startswith(prefix)), None)
        known = next((prefix for prefix in OUR_NAMES if name.startswith(prefix)), None)
        if unused is not None:
            groups.left_out[unused] = groups.left_out.get(unused, 0) + 1
        elif known is not None:
            groups.ours[OUR_NAMES[known] + name.removeprefix(known)] = tensor
        elif name.startswith("model."):
            groups.transformer[name.removeprefix("model.")] = tensor
        else:
            raise UniferumError(
                f"{source}: {name}", must="have a place in the released model", cure="is this its model.safetensors?"
            )
    return groups


def _layers(transformer: Mapping[str, Tensor], source: str) -> int:
    layers = {name.split(".")[2] for name in transformer if name.startswith("encoder.layer.")}
    if not layers:
        raise UniferumError(
            f"{source}: model.encoder.layer.*", must="be there", cure="is this a checkpoint of the released code?"
        )
    return len(layers)


def _patch(ours: Mapping[str, Tensor], source: str) -> int:
    head = ours.get("mask_head.weight")
    if head is None:
        raise UniferumError(f"{source}: lm_head_seg.weight", must="be there")
    patch = round(head.shape[0] ** (1 / 3))
    if patch**3 != head.shape[0]:
        raise UniferumError(f"{source}: lm_head_seg.weight", tuple(head.shape), must="have u x u x u rows")
    return patch
