"""Loading weights into CT-CLIP: published names, wrappers of training scripts, and refusals with lists of names."""

import hashlib
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.support.small_models import GEOMETRY, LABELS, SMALL_CT_CLIP, small_config, small_model
from uniferum.errors import UniferumError
from uniferum.model.baselines.ct_clip.checkpoint import load_checkpoint, published_state
from uniferum.model.baselines.ct_clip.clip import CtClip
from uniferum.model.baselines.ct_clip.prompts import published_labels
from uniferum.model.registry import build_model


def _model(seed: int = 0, **own: Any) -> CtClip:
    return cast(CtClip, small_model(seed, kind="ct_clip", ct_clip=SMALL_CT_CLIP | own))


def _file(folder: Path, state: dict[str, Tensor]) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "clip.safetensors")
    return folder / "clip.safetensors"


def _same(one: CtClip, other: CtClip) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(mine[name], theirs[name]) for name in mine if not name.startswith("head."))


def test_published_names_go_out_and_come_back(tmp_path: Path) -> None:
    source, model = _model(1), _model(2)
    assert not _same(source, model)
    loaded = load_checkpoint(model, _file(tmp_path, published_state(source)))
    assert loaded.published
    assert _same(source, model)


@pytest.mark.parametrize("prefix", ["module.", "trained_model.", "module.trained_model."])
def test_prefixes_of_training_scripts_are_ignored(tmp_path: Path, prefix: str) -> None:
    source, model = _model(1), _model(2)
    torch.save({prefix + name: tensor for name, tensor in published_state(source).items()}, tmp_path / "clip.pt")
    load_checkpoint(model, tmp_path / "clip.pt")
    assert _same(source, model)


def test_the_weights_of_a_run_are_taken_under_our_names(tmp_path: Path) -> None:
    source, model = _model(1), _model(2)
    assert not load_checkpoint(model, _file(tmp_path, dict(source.state_dict()))).published
    assert _same(source, model)


def test_every_name_that_does_not_fit_is_listed(tmp_path: Path) -> None:
    state = published_state(_model())
    del state["temperature"], state["text_transformer.encoder.layer.1.attention.self.key.bias"]
    state["visual_transformer.dec_spatial_transformer.layers.0.3.0.weight"] = torch.zeros(2)
    state["to_text_latent.weight"] = torch.zeros(16, 17)
    state["visual_transformer.vq._codebook.embed"] = torch.zeros(1, 64, 33)
    with pytest.raises(UniferumError) as refused:
        load_checkpoint(_model(), _file(tmp_path, state))
    message = str(refused.value)
    assert "2 missing: temperature, text_transformer.encoder.layer.1.attention.self.key.bias" in message
    assert "1 unexpected: visual_transformer.dec_spatial_transformer.layers.0.3.0.weight" in message
    assert "2 of another shape: to_text_latent.weight (16 x 17, not 16 x 16)" in message
    assert "visual_transformer.vq._codebook.embed (1 x 64 x 33, not 1 x 64 x 32)" in message


def test_a_refused_file_changes_nothing(tmp_path: Path) -> None:
    model, before = _model(2), {name: tensor.clone() for name, tensor in _model(2).state_dict().items()}
    with pytest.raises(UniferumError, match="1 missing: temperature"):
        load_checkpoint(
            model, _file(tmp_path, {k: v for k, v in published_state(_model(1)).items() if k != "temperature"})
        )
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_another_file_than_the_named_one_is_refused(tmp_path: Path) -> None:
    path = _file(tmp_path, published_state(_model()))
    load_checkpoint(_model(), path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(UniferumError, match="must have checkpoint_sha256"):
        load_checkpoint(_model(), path, sha256="0" * 64)


def test_the_published_head_gives_each_label_its_own_row(tmp_path: Path) -> None:
    order = published_labels()
    assert len(order) == 18
    assert order[:2] == ["medical_material", "arterial_wall_calcification"]
    weight, bias = torch.randn(18, 16), torch.randn(18)
    state = published_state(_model()) | {"classifier.weight": weight, "classifier.bias": bias}
    model = _model(way="classfine")
    load_checkpoint(model, _file(tmp_path, state), labels=LABELS)
    for row, label in enumerate(LABELS):
        torch.testing.assert_close(model.state_dict()["head.weight"][row], weight[order.index(label)])
        torch.testing.assert_close(model.state_dict()["head.bias"][row], bias[order.index(label)])
    assert load_checkpoint(_model(), tmp_path / "clip.safetensors").left_out == {"the head of ClassFine": 2}


def test_a_label_that_the_published_head_does_not_have_is_named(tmp_path: Path) -> None:
    state = published_state(_model()) | {"classifier.weight": torch.zeros(18, 16), "classifier.bias": torch.zeros(18)}
    config = small_config(kind="ct_clip", ct_clip=SMALL_CT_CLIP | {"way": "classfine"})
    model = cast(CtClip, build_model(config, GEOMETRY, ("emphysema", "pacemaker_or_defib"), 0))
    with pytest.raises(UniferumError, match=r"classifier\.bias of pacemaker_or_defib"):
        load_checkpoint(model, _file(tmp_path, state), labels=("emphysema", "pacemaker_or_defib"))


def test_a_config_with_a_checkpoint_builds_with_its_weights(tmp_path: Path) -> None:
    source = _model(1)
    path = _file(tmp_path, published_state(source))
    assert _same(source, _model(2, checkpoint=str(path)))
