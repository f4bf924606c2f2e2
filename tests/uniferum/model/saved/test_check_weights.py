"""Weights that pass the check load, and every faulty folder gives an error of one line."""

import hashlib
import json
import shutil
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer, GPT2Config, GPT2Model, ViTConfig, ViTModel

from tests.support.hub_folders import write_bert, write_megatron, write_words
from tests.support.small_models import small_config
from uniferum.errors import UniferumError
from uniferum.model.baselines.slices import slice_network
from uniferum.model.config import GATORTRON, PUBMEDBERT, EncoderConfig, TextConfig
from uniferum.model.saved import check_weights
from uniferum.model.saved.check_weights import PROMPT, check_image, check_name, check_slices
from uniferum.model.text import build_text


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("weights")
    return {"bert": write_bert(root / "bert"), "megatron": write_megatron(root / "megatron")}


@pytest.fixture
def bert(written: dict[str, Path], tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(written["bert"], tmp_path / "bert"))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("kind", ["bert", "megatron"])
def test_a_folder_that_loads_has_its_checksum_and_transformers_own_forward_pass(
    written: dict[str, Path], kind: str
) -> None:
    folder = written[kind]
    check = check_name(str(folder))
    assert check.fault == ""
    assert check.loaded.startswith("4 of 5 layers, ")
    assert check.sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert check.difference is not None
    assert check.difference < check_weights.TOLERANCE
    model = AutoModel.from_pretrained(folder, num_hidden_layers=4).eval()
    with torch.no_grad():
        cls = model(**AutoTokenizer.from_pretrained(folder)(PROMPT, return_tensors="pt")).last_hidden_state[0, 0]
    assert check.numbers == pytest.approx(cls[:4].tolist(), abs=2e-5)


@pytest.mark.usefixtures("no_network")
def test_a_hub_id_is_found_in_the_weights_folder(bert: Path, tmp_path: Path) -> None:
    bert.rename(tmp_path / "owner--name")
    check = check_name("owner/name", weights_dir=tmp_path)
    assert (check.fault, check.name, check.path) == ("", "owner/name", str(tmp_path / "owner--name"))


@pytest.mark.parametrize(
    ("name", "key", "said"), [(PUBMEDBERT, "bert", "hidden_size"), (GATORTRON, "bert", "model_type")]
)
def test_another_model_under_the_id_of_one_of_the_papers_is_refused(
    written: dict[str, Path], tmp_path: Path, name: str, key: str, said: str
) -> None:
    shutil.copytree(written[key], tmp_path / name)
    fault = f"config.json: {said}"
    assert fault in check_name(name, weights_dir=tmp_path).fault
    with pytest.raises(UniferumError, match=f"{fault}.*the folder holds another model than {name}"):
        build_text(TextConfig(name=name), tmp_path)


def _gpt2(folder: Path) -> None:
    config = GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=11, n_positions=16)
    GPT2Model(config).save_pretrained(folder)


def _vit(folder: Path) -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    ViTModel(ViTConfig(image_size=8, patch_size=4, **sizes)).save_pretrained(folder)


def _gpt2_called_bert(folder: Path) -> None:
    config = (folder / "config.json").read_text()
    _gpt2(folder)
    (folder / "config.json").write_text(config)


def _other_tokenizer(folder: Path) -> None:
    for path in folder.glob("*token*"):
        path.unlink()
    write_words(folder)
    words = (folder / "vocab.txt").read_text().replace("pleural\n", "")
    (folder / "vocab.txt").write_text(words)


def _broken_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "None of ours"}}')


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


def _config(**changes: object):
    def write(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps(config))

    return write


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_gpt2, "model_type (gpt2) must be of the BERT family"),
        (_vit, "model_type (vit) must be of the BERT family"),
        (_gpt2_called_bert, "must be there; is this the model that the config names?"),
        (_other_tokenizer, "[UNK]"),
        (_broken_tokenizer, "must hold a tokenizer"),
        (_no_weights, "must hold model.safetensors or pytorch_model.bin"),
        (_pointer, "must be a whole weights file"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json (list) must hold a mapping"),
        (lambda folder: (folder / "config.json").write_text("{"), "must be a readable config"),
        (_config(num_attention_heads=5), "hidden_size (24) must be a multiple of num_attention_heads (5)"),
        (_config(num_attention_heads=0), "num_attention_heads (0) must be a whole number of at least 1"),
        (_config(layer_norm_eps="small"), "layer_norm_eps (small) must be a number"),
        (_config(hidden_act=["gelu"]), "hidden_act (['gelu']) must be known"),
        (_config(num_hidden_layers=3), "model.text.layers (4) must be at most the 3"),
        (_config(intermediate_size=44), "must have the shape (44, 24)"),
    ],
)
def test_what_does_not_load_is_one_line(bert: Path, damage, words: str) -> None:
    damage(bert)
    check = check_name(str(bert))
    assert words in check.fault
    assert "\n" not in check.fault


def test_a_forward_pass_that_is_not_transformers_own_is_a_fault(
    written: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = check_weights._transformers
    monkeypatch.setattr(check_weights, "_transformers", lambda folder, layers: own(folder, layers) * 1.001)
    check = check_name(str(written["bert"]))
    assert "its forward pass differs from transformers' by 1.0e-03" in check.fault
    assert check.sha256


def test_a_damaged_file_of_the_hubs_cache_is_found_by_its_name(bert: Path) -> None:
    weights, content = bert / "model.safetensors", (bert / "model.safetensors").read_bytes()
    for name, fault in ((hashlib.sha256(content).hexdigest(), ""), ("0" * 64, "must have the checksum of the hub")):
        weights.unlink()
        (bert / name).write_bytes(content)
        weights.symlink_to(bert / name)
        assert fault in check_name(str(bert)).fault
        assert bool(check_name(str(bert)).fault) == bool(fault)


@pytest.mark.usefixtures("no_network")
def test_an_image_encoder_answers_with_the_same_numbers_each_time() -> None:
    check = check_name("timm/tf_efficientnet_lite0")
    assert (check.kind, check.fault) == ("image", "")
    assert check == check_image(EncoderConfig(name="tf_efficientnet_lite0", weights="offline"))
    assert len(set(check.numbers)) == 4


def test_image_weights_that_are_not_here_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    check = check_name("tf_efficientnet_b0", weights_dir=tmp_path)
    assert "timm/tf_efficientnet_b0.in1k" in check.fault
    write_bert(tmp_path / "timm" / "tf_efficientnet_b0.in1k")
    assert "conv_stem.weight must be there" in check_name("tf_efficientnet_b0", weights_dir=tmp_path).fault


def test_the_network_of_a_system_over_slices_is_checked_by_its_own_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    config = small_config(kind="ct_net", ct_net={"network": "resnet10t.c3_in1k"}, encoder={"weights": "imagenet"})
    absent = check_slices(config, tmp_path)
    assert absent.name == "timm/resnet10t.c3_in1k"
    assert "timm/resnet10t.c3_in1k" in absent.fault
    folder = tmp_path / "timm" / "resnet10t.c3_in1k"
    folder.mkdir(parents=True)
    network = slice_network(config, None, pretrained=False)
    save_file(network.state_dict(), folder / "model.safetensors")
    loaded = check_slices(config, tmp_path)
    assert (loaded.fault, loaded.path) == ("", str(folder / "model.safetensors"))
    assert len(set(loaded.numbers)) == 4
    assert check_slices(small_config(kind="ct_net")).loaded == "drawn at random, nothing to load"
