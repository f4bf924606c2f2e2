"""Text encoders of the BERT family: embeddings, the first layers and the tokenizer.

Hidden size, heads and all other sizes are read from the config of the pretrained model. GatorTron is a Megatron-BERT
with 50,176 embedding rows for 50,101 tokens: more rows than tokens are allowed, fewer are an error.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError, near_miss
from uniferum.model.config import GATORTRON, PUBMEDBERT, TextConfig
from uniferum.model.pretrained import MINILM, find_pretrained, in_package
from uniferum.model.tokenizer import CXR_BERT_TYPE, PromptReader, hub_tokenizer, word_tokenizer
from uniferum.model.transformer import ACTIVATIONS, Transformer, TransformerShape, draw
from uniferum.model.weights import read_state

KINDS = {"bert": False, "megatron-bert": True, CXR_BERT_TYPE: False}
"""Supported model types in configs of the hub, and whether they are pre-norm."""
PAPERS = {
    PUBMEDBERT: {"model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12, "vocab_size": 30522},
    GATORTRON: {"model_type": "megatron-bert", "hidden_size": 1024, "num_hidden_layers": 24, "vocab_size": 50176},
}
"""Values in the ``config.json`` of the paper's two encoders on the hub."""


@dataclass
class Text:
    """A transformer and its tokenizer."""

    transformer: Transformer
    reader: PromptReader


def build_text(config: TextConfig, weights_dir: Path | None = None, *, pretrained: bool = True) -> Text:
    """Build the text encoder that a config names, with its weights.

    With ``pretrained`` false only its config and tokenizer are read and its weights stay random: the caller loads them.

    Raises:
        UniferumError: missing weights, a model of another family, too few layers or embedding rows.
    """
    if config.name == "tiny":
        return _tiny(config)
    folder = (
        in_package(*MINILM)
        if config.name == "minilm"
        else find_pretrained(config.name, weights_dir, weights=pretrained)
    )
    refuse_other_model(config.name, folder)
    shape, layers = read_shape(folder, config.dropout)
    if config.layers > layers:
        raise UniferumError("model.text.layers", config.layers, must=f"be at most the {layers} that {config.name} has")
    text = Text(Transformer(shape, config.layers), PromptReader(hub_tokenizer(folder), config.max_tokens))
    check_rows(text, str(folder))
    if pretrained:
        text.transformer.load_state_dict(hub_tensors(read_state(folder), text.transformer, source=str(folder)))
    return text


def _tiny(config: TextConfig) -> Text:
    words = Vocabulary.load()
    prompts = [*(label.prompt for label in words.labels.values()), *(s.prompt for s in words.structures.values())]
    reader = PromptReader(word_tokenizer(prompts), config.max_tokens)
    dropout = config.dropout or 0.0
    shape = TransformerShape(
        hidden=config.hidden,
        heads=config.heads,
        intermediate=round(config.hidden * config.expansion),
        words=reader.size,
        norm_eps=1e-5,
        dropout=dropout,
        attention_dropout=dropout,
        pre_norm=config.pre_norm,
    )
    transformer = Transformer(shape, config.layers)
    draw(transformer)
    return Text(transformer, reader)


def read_shape(folder: Path, dropout: float | None = None) -> tuple[TransformerShape, int]:
    """Read the shape and the number of layers from the ``config.json`` of a folder.

    Raises:
        UniferumError: no readable config, or a model that is not a BERT.
    """
    path = folder / "config.json"
    config = _config(path)
    kind = str(config.get("model_type"))
    if kind not in KINDS:
        raise UniferumError(f"{path}: model_type", kind, must="be of the BERT family", cure=near_miss(kind, KINDS))
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise UniferumError(f"{path}: position_embedding_type", config["position_embedding_type"], must="be absolute")
    activation = str(config.get("hidden_act", "gelu"))
    if activation not in ACTIVATIONS:
        raise UniferumError(f"{path}: hidden_act", activation, must="be known", cure=near_miss(activation, ACTIVATIONS))
    return _shape(path, config, kind, activation, dropout), _number(path, config, "num_hidden_layers")


def refuse_other_model(name: str, folder: Path) -> None:
    """Refuse a folder for one of the paper's encoders whose config has other sizes.

    Raises:
        UniferumError: no readable config, or another model.
    """
    path, wanted = folder / "config.json", PAPERS.get(name, {})
    actual = _config(path) if wanted else {}
    for key, value in wanted.items():
        if actual.get(key) != value:
            cure = f"the folder holds another model than {name}"
            raise UniferumError(f"{path}: {key}", actual.get(key), must=f"be {value}", cure=cure)


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UniferumError(str(path), must="be a readable config", cure=type(error).__name__) from None
    if not isinstance(config, dict):
        raise UniferumError(str(path), type(config).__name__, must="hold a mapping of keys to values")
    return config


def _shape(
    path: Path, config: Mapping[str, Any], kind: str, activation: str, dropout: float | None
) -> TransformerShape:
    own = _real(path, config, "hidden_dropout_prob", 0.1)
    attention = _real(path, config, "attention_probs_dropout_prob", 0.1)
    hidden, heads = _number(path, config, "hidden_size"), _number(path, config, "num_attention_heads")
    if hidden % heads:
        raise UniferumError(f"{path}: hidden_size", hidden, must=f"be a multiple of num_attention_heads ({heads})")
    return TransformerShape(
        hidden=hidden,
        heads=heads,
        intermediate=_number(path, config, "intermediate_size"),
        words=_number(path, config, "vocab_size"),
        positions=_number(path, config, "max_position_embeddings", 512),
        types=_number(path, config, "type_vocab_size", 2),
        norm_eps=_real(path, config, "layer_norm_eps", 1e-12),
        dropout=own if dropout is None else dropout,
        attention_dropout=attention if dropout is None else dropout,
        pre_norm=KINDS[kind],
        activation=activation,
    )


def _number(path: Path, config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = config.get(key, default)
    if not isinstance(value, int) or value < 1:
        raise UniferumError(f"{path}: {key}", value, must="be a whole number of at least 1")
    return value


def _real(path: Path, config: Mapping[str, Any], key: str, default: float) -> float:
    value = config.get(key, default)
    if not isinstance(value, int | float):
        raise UniferumError(f"{path}: {key}", value, must="be a number")
    return float(value)


def check_rows(text: Text, source: str) -> None:
    """Refuse a tokenizer with more tokens than the embedding has rows.

    Raises:
        UniferumError: fewer rows than tokens; the message has both numbers.
    """
    rows, tokens = text.transformer.shape.words, text.reader.size
    if tokens > rows:
        raise UniferumError(
            f"{source}: tokenizer", f"{tokens} tokens", must=f"have at most the {rows} rows of the word embedding"
        )


def hub_tensors(state: Mapping[str, Tensor], transformer: Transformer, *, source: str) -> dict[str, Tensor]:
    """Rename the tensors of a model of the hub to our names and check their shapes.

    Args:
        state: tensors under BERT's or Megatron-BERT's names, with or without a leading ``bert.``; additional tensors
            are ignored (further layers, pooler, language-model head).
        transformer: gives the expected names and shapes.
        source: the origin of ``state``, for errors.

    Raises:
        UniferumError: a tensor is missing or has another shape; the message has both shapes.
    """
    plain = {_modern(name): tensor for name, tensor in state.items()}
    return {
        name: _matched(plain, hub_names(name, pre_norm=transformer.shape.pre_norm), like, source)
        for name, like in transformer.state_dict().items()
    }


def _modern(name: str) -> str:
    name = name.removeprefix("bert.")
    return re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))


def _matched(plain: Mapping[str, Tensor], names: list[str], like: Tensor, source: str) -> Tensor:
    missing = [name for name in names if name not in plain]
    if missing:
        raise UniferumError(f"{source}: {missing[0]}", must="be there", cure="is this the model that the config names?")
    parts = [plain[name] for name in names]
    expected = (like.shape[0] // len(parts), *like.shape[1:])
    for name, part in zip(names, parts, strict=True):
        if tuple(part.shape) != expected:
            raise UniferumError(
                f"{source}: {name}", tuple(part.shape), must=f"have the shape {expected} that its config gives"
            )
    return torch.cat(parts).to(like.dtype)


def hub_names(name: str, *, pre_norm: bool) -> list[str]:
    """Names on the hub of the tensors that form one of ours (three for the fused queries, keys and values)."""
    if name.startswith("embeddings."):
        _, part, kind = name.split(".")
        return [f"embeddings.LayerNorm.{kind}" if part == "norm" else f"embeddings.{_TABLES[part]}.{kind}"]
    if name.startswith("norm."):
        return [f"encoder.ln.{name.removeprefix('norm.')}"]
    _, index, part, kind = name.split(".")
    inside = (_MEGATRON_PARTS if pre_norm else _BERT_PARTS)[part]
    return [f"encoder.layer.{index}.{path}.{kind}" for path in inside]


_TABLES = {"word": "word_embeddings", "position": "position_embeddings", "token_type": "token_type_embeddings"}
_COMMON = {
    "qkv": ["attention.self.query", "attention.self.key", "attention.self.value"],
    "out": ["attention.output.dense"],
    "up": ["intermediate.dense"],
    "down": ["output.dense"],
}
_BERT_PARTS = {**_COMMON, "attention_norm": ["attention.output.LayerNorm"], "norm": ["output.LayerNorm"]}
_MEGATRON_PARTS = {**_COMMON, "attention_norm": ["attention.ln"], "norm": ["ln"]}
