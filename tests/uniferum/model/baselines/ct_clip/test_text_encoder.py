"""CXR-BERT, the published text encoder, is read as the BERT that it is, without the code of its repository."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.hub_folders import write_bert
from uniferum.model.config import TextConfig
from uniferum.model.text import build_text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small BERT in the form in which CXR-BERT is published."""
    folder = write_bert(tmp_path / "cxr")
    config = json.loads((folder / "config.json").read_text())
    own_code = {"auto_map": {"AutoConfig": "configuration_cxrbert.CXRBertConfig"}, "model_type": "cxr-bert"}
    (folder / "config.json").write_text(json.dumps(config | own_code | {"projection_size": 8}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CXRBertTokenizer"}))
    path = folder / "model.safetensors"
    named = {f"bert.{name}": tensor for name, tensor in load_file(path).items()}
    save_file(named | {"cls_projection_head.dense_to_hidden.bias": torch.zeros(8)}, path)
    return folder


def test_its_layers_and_words_are_read(folder: Path) -> None:
    text = build_text(TextConfig(name=str(folder), layers=5))
    assert text.reader.tokenizer.encode("Effusion").tokens == ["[CLS]", "effusion", "[SEP]"]
    held = load_file(folder / "model.safetensors")
    weight = text.transformer.state_dict()["layers.4.up.weight"]
    torch.testing.assert_close(weight, held["bert.encoder.layer.4.intermediate.dense.weight"])
