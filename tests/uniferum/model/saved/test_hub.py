"""Saved models: complete folders that need neither the hub nor the pretrained parts."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.small_models import GEOMETRY, LABELS, PROMPTS, small_config, small_model, volumes
from uniferum.errors import UniferumError
from uniferum.model.base import Model
from uniferum.model.saved.hub import from_pretrained, save_pretrained
from uniferum.model.weights import read_state

ROWS = torch.tensor([0, 1, 0])


def _answer(model: Model) -> torch.Tensor:
    with torch.no_grad():
        return model.eval().read(model.encode(volumes()), ROWS, list(PROMPTS), list(LABELS)).class_logit


def _saved(folder: Path, kind: str = "uniferum", **changes: object) -> tuple[Model, Path]:
    model, saved = small_model(kind=kind, **changes), folder / "saved"
    save_pretrained(model, saved, small_config(kind=kind, **changes), GEOMETRY, LABELS, trained_on="phantoms")
    return model, saved


@pytest.mark.parametrize("kind", ["uniferum", "cnn", "ct_clip"])
def test_a_saved_model_comes_back_with_the_same_answers(tmp_path: Path, kind: str) -> None:
    model, saved = _saved(tmp_path, kind)
    torch.testing.assert_close(_answer(from_pretrained(saved)), _answer(model), atol=0, rtol=0, equal_nan=True)


@pytest.mark.parametrize("kind", ["uniferum", "ct_clip"])
def test_a_saved_model_needs_no_pretrained_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    model, saved = _saved(tmp_path, kind, encoder={"weights": "offline"}, text={"name": "minilm", "layers": 1})
    monkeypatch.setattr("uniferum.model.pretrained.find_spec", lambda name: None)
    torch.testing.assert_close(_answer(from_pretrained(saved)), _answer(model), atol=0, rtol=0)


def test_the_folder_holds_safetensors_a_tokenizer_and_a_card_and_no_pickle(tmp_path: Path) -> None:
    _, saved = _saved(tmp_path)
    assert {path.name for path in saved.iterdir()} == {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "README.md",
    }
    card = (saved / "README.md").read_text()
    assert "Trained on phantoms." in card
    assert "not for diagnosis" in card
    assert "24 x 16 x 8 voxels" in card
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    model, saved = _saved(tmp_path)
    before = (saved / "model.safetensors").read_bytes()
    with pytest.raises(UniferumError, match="must not exist yet"):
        save_pretrained(model, saved, small_config(), GEOMETRY, LABELS)
    assert (saved / "model.safetensors").read_bytes() == before


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        _saved(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_wrong_shapes_are_named_on_both_sides(tmp_path: Path) -> None:
    _, saved = _saved(tmp_path)
    state = load_file(saved / "model.safetensors")
    save_file(state | {"class_head.weight": torch.zeros(1, 17)}, saved / "model.safetensors")
    with pytest.raises(UniferumError, match=r"class_head.weight \(1 x 17\) must be as the model has it \(1 x 16\)"):
        from_pretrained(saved)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    _, saved = _saved(tmp_path)
    state = load_file(saved / "model.safetensors")
    del state["start"]
    save_file(state, saved / "model.safetensors")
    with pytest.raises(UniferumError, match=r"start \(absent\) must be as the model has it \(1 x 1 x 16\)"):
        from_pretrained(saved)


def test_half_a_file_is_named(tmp_path: Path) -> None:
    _, saved = _saved(tmp_path)
    path = saved / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1000])
    sizes = rf"model.safetensors \({len(whole) - 1000} bytes\) must be a whole weights file of {len(whole)} bytes"
    with pytest.raises(UniferumError, match=sizes):
        from_pretrained(saved)
    path.write_bytes(whole[:20])
    with pytest.raises(UniferumError, match=r"\(20 bytes\) must be a whole weights file"):
        from_pretrained(saved)


@pytest.mark.parametrize("content", [b"garbage", b"", b"\x80\x02}q\x00."])
def test_a_file_that_is_no_weights_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(content)
    with pytest.raises(UniferumError, match=r"pytorch_model.bin .*must"):
        read_state(path)


def test_a_file_of_nested_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.zeros(2)}}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UniferumError, match="hold tensors by name and nothing else; give its state dict alone"):
        read_state(tmp_path)


def test_a_saved_model_is_read_from_safetensors_only(tmp_path: Path) -> None:
    model, saved = _saved(tmp_path)
    torch.save(model.state_dict(), saved / "pytorch_model.bin")
    (saved / "model.safetensors").unlink()
    with pytest.raises(UniferumError, match=r"model.safetensors must be a weights file"):
        from_pretrained(saved)


@pytest.mark.parametrize("key", ["model", "geometry", "labels", "text_shape"])
def test_a_config_without_one_of_its_keys_is_refused(tmp_path: Path, key: str) -> None:
    _, saved = _saved(tmp_path)
    described = json.loads((saved / "config.json").read_text())
    del described[key]
    (saved / "config.json").write_text(json.dumps(described))
    with pytest.raises(UniferumError, match=f"have the keys .* but {key} are absent"):
        from_pretrained(saved)


def test_a_config_of_another_format_is_refused(tmp_path: Path) -> None:
    _, saved = _saved(tmp_path)
    (saved / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(UniferumError, match="config of format 1"):
        from_pretrained(saved)
