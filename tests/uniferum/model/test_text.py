"""Text encoders compared with the transformers library: real BERT weights and a small random Megatron-BERT."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, MegatronBertConfig, MegatronBertModel

from uniferum.errors import StateError, UniferumError
from uniferum.model.config import PUBMEDBERT, TextConfig
from uniferum.model.pretrained import MINILM, in_package
from uniferum.model.text import build_text

PROMPTS = ["Diagnose the presence of pleural effusion around the lungs", "Segment the heart in the image."]


def _own_forward(folder: Path, layers: int) -> torch.Tensor:
    model = AutoModel.from_pretrained(folder, num_hidden_layers=layers, attn_implementation="eager").eval()
    tokens = AutoTokenizer.from_pretrained(folder)(PROMPTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**tokens).last_hidden_state
    return hidden[tokens["attention_mask"].bool()]


def _our_forward(config: TextConfig) -> torch.Tensor:
    text = build_text(config)
    read = text.reader.read(PROMPTS)
    with torch.no_grad():
        return text.transformer.eval().encode_text(read.ids, read.visible)[read.visible]


def _words(folder: Path, extra: int = 0) -> int:
    """Write a WordPiece vocabulary file of whole words; return the number of tokens."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += [*sorted({word.strip(".").lower() for prompt in PROMPTS for word in prompt.split()}), "."]
    words += [f"filler{index}" for index in range(extra)]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    )
    return len(words)


@pytest.fixture
def megatron(tmp_path: Path) -> Path:
    """Write a small random Megatron-BERT in the hub's format, with more embedding rows than tokens, like GatorTron."""
    torch.manual_seed(0)
    tokens = _words(tmp_path)
    config = MegatronBertConfig(
        vocab_size=tokens + 7,
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=64,
        initializer_range=0.4,
    )
    MegatronBertModel(config).save_pretrained(tmp_path)
    return tmp_path


def test_real_bert_weights_give_transformers_own_hidden_states() -> None:
    ours = _our_forward(TextConfig(name="minilm", layers=4))
    torch.testing.assert_close(ours, _own_forward(in_package(*MINILM), 4), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("layers", [1, 3])
def test_megatron_bert_gives_transformers_own_hidden_states(megatron: Path, layers: int) -> None:
    ours = _our_forward(TextConfig(name=str(megatron), layers=layers))
    torch.testing.assert_close(ours, _own_forward(megatron, layers), atol=2e-5, rtol=1e-4)


def test_more_embedding_rows_than_tokens_is_right(megatron: Path) -> None:
    text = build_text(TextConfig(name=str(megatron), layers=1))
    assert text.transformer.embeddings.word.num_embeddings == text.reader.size + 7
    assert text.transformer.shape.pre_norm
    assert text.transformer.shape.hidden == 24


def test_fewer_embedding_rows_than_tokens_is_an_error_that_names_both(megatron: Path) -> None:
    tokens = _words(megatron, extra=9)
    with pytest.raises(UniferumError, match=rf"{tokens} tokens.*at most the {tokens - 2} rows"):
        build_text(TextConfig(name=str(megatron), layers=1))


def test_a_pretraining_checkpoint_with_prefixes_old_norm_names_and_a_pickle_loads_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokens = _words(tmp_path)
    config = BertConfig(
        vocab_size=tokens, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24
    )
    model = BertModel(config)
    model.save_pretrained(tmp_path)
    wanted = _our_forward(TextConfig(name=str(tmp_path), layers=2))
    old = {
        f"bert.{name}".replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in model.state_dict().items()
    }
    (tmp_path / "model.safetensors").unlink()
    torch.save(old | {"cls.predictions.bias": torch.zeros(3)}, tmp_path / "pytorch_model.bin")
    torch.testing.assert_close(_our_forward(TextConfig(name=str(tmp_path), layers=2)), wanted, atol=0, rtol=0)


def test_more_layers_than_the_model_has_is_an_error(megatron: Path) -> None:
    with pytest.raises(UniferumError, match=r"model.text.layers \(4\) must be at most the 3"):
        build_text(TextConfig(name=str(megatron), layers=4))


def test_a_tensor_of_another_shape_is_named_with_both_shapes(megatron: Path) -> None:
    state = {name: tensor.clone() for name, tensor in MegatronBertModel.from_pretrained(megatron).state_dict().items()}
    state["encoder.layer.0.attention.self.key.weight"] = torch.zeros(24, 23)
    save_file(state, megatron / "model.safetensors")
    with pytest.raises(UniferumError, match=r"self.key.weight \(\(24, 23\)\) must have the shape \(24, 24\)"):
        build_text(TextConfig(name=str(megatron), layers=1))


def test_a_model_of_another_family_is_refused(megatron: Path) -> None:
    config = json.loads((megatron / "config.json").read_text())
    (megatron / "config.json").write_text(json.dumps(config | {"model_type": "roberta"}))
    with pytest.raises(UniferumError, match=r"model_type \(roberta\) must be of the BERT family"):
        build_text(TextConfig(name=str(megatron), layers=1))


def test_half_a_weights_file_is_named(megatron: Path) -> None:
    path = megatron / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UniferumError, match=r"model.safetensors \(\d+ bytes\) must be a whole weights file"):
        build_text(TextConfig(name=str(megatron), layers=1))


def test_weights_that_cannot_be_had_are_one_line_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UniferumError) as caught:
        build_text(TextConfig(name=PUBMEDBERT), tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert PUBMEDBERT in message
    assert "--weights-dir" in message
    assert "HF_HOME" in message


def test_a_folder_without_a_model_is_said_beside_the_hubs_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    Path("bert").mkdir()
    with pytest.raises(UniferumError, match="the folder bert here holds no model in the hub's format"):
        build_text(TextConfig(name="bert"))


@pytest.mark.parametrize("name", ["owner/name", "owner--name", "name", "models--owner--name/snapshots/abc"])
def test_the_weights_folder_may_have_any_usual_layout(
    megatron: Path, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    root = tmp_path_factory.mktemp("weights")
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).symlink_to(megatron)
    assert build_text(TextConfig(name="owner/name", layers=1), root).transformer.shape.hidden == 24


@pytest.mark.parametrize(("name", "meant"), [("minlm", "Did you mean 'minilm'?"), ("own/model", None)])
def test_a_misspelt_short_name_is_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name, meant) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(StateError, match=f"^There are no pretrained weights {name} ") as caught:
        build_text(TextConfig(name=name), tmp_path)
    assert ("Did you mean" in str(caught.value)) == (meant is not None)
    assert (meant or "Download them elsewhere") in str(caught.value)


def test_a_weights_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UniferumError, match="--weights-dir"):
        build_text(TextConfig(name="owner/name"), tmp_path / "nowhere")
