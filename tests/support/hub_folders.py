"""Small random models in the hub's format, made by transformers."""

import json
from pathlib import Path

import torch
from transformers import BertConfig, BertModel, MegatronBertConfig, MegatronBertModel

from uniferum.model.saved.check_weights import PROMPT

SIZES = {"hidden_size": 24, "num_hidden_layers": 5, "num_attention_heads": 4, "intermediate_size": 40}


def write_words(folder: Path, special: tuple[str, ...] = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")) -> int:
    """Write a BERT tokenizer of the words of the reference prompt; return the number of tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [*special, *sorted({word.lower() for word in PROMPT.split()})]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return len(words)


def write_bert(folder: Path) -> Path:
    """Write a BERT of five layers, like PubMedBERT."""
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=write_words(folder), initializer_range=0.4, **SIZES)).save_pretrained(folder)
    return folder


def write_megatron(folder: Path) -> Path:
    """Write a Megatron-BERT of five layers with more embedding rows than tokens, like GatorTron."""
    torch.manual_seed(0)
    config = MegatronBertConfig(vocab_size=write_words(folder) + 7, initializer_range=0.4, **SIZES)
    MegatronBertModel(config).save_pretrained(folder)
    return folder
