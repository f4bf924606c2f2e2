"""The vision encoder: strides, frozen stages, and batch norms that must be measured anew."""

import pytest
import torch
from torch import nn

from tests.support.small_models import volumes
from uniferum.errors import UniferumError
from uniferum.model.config import EncoderConfig
from uniferum.model.encoder import Encoder, build_encoder, measure_norms


def _config(**changes: object) -> EncoderConfig:
    base = {"name": "tf_efficientnet_lite0", "weights": "none", "stride": 8}
    return EncoderConfig.model_validate(base | changes)


@pytest.mark.parametrize(("stride", "channels"), [(4, 24), (8, 40), (16, 112), (32, 1280)])
def test_the_network_is_cut_after_the_last_stage_of_the_wanted_stride(stride: int, channels: int) -> None:
    encoder = Encoder(_config(stride=stride)).eval()
    with torch.no_grad():
        assert encoder(torch.rand(1, 1, 64, 32, 32)).shape == (1, channels, 64 // stride, 32 // stride, 32 // stride)
    assert encoder.channels == channels


def test_the_papers_encoder_has_the_papers_stem_and_head() -> None:
    state = Encoder(EncoderConfig(weights="none")).state_dict()
    assert state["conv_stem.weight"].shape == (32, 1, 3, 3, 3)
    assert state["conv_head.weight"].shape == (1280, 320, 1, 1, 1)


def test_frozen_stages_get_no_gradient_and_save_their_backward_pass() -> None:
    encoder = Encoder(_config(frozen_stages=2)).train()
    encoder(volumes()).sum().backward()
    without = {name.split(".")[0] + name.split(".")[1] for name, p in encoder.named_parameters() if p.grad is None}
    assert without == {"conv_stemweight", "bn1weight", "bn1bias", "blocks0", "blocks1"}


def test_all_stages_frozen_freeze_the_whole_network_its_head_too() -> None:
    whole = Encoder(EncoderConfig(weights="none", frozen_stages=7, frozen_norm="running")).train()
    assert not any(parameter.requires_grad for parameter in whole.parameters())
    assert not whole.bn2.training
    assert all(parameter.requires_grad for parameter in Encoder(_config(stride=32, frozen_stages=6)).bn2.parameters())


@pytest.mark.parametrize(("norm", "moves"), [("batch", True), ("running", False)])
def test_statistics_of_frozen_stages_follow_the_config(norm: str, moves: bool) -> None:
    encoder = Encoder(_config(frozen_stages=1, frozen_norm=norm)).train()
    encoder(volumes())
    assert (encoder.bn1.num_batches_tracked > 0) == moves
    assert encoder.blocks[2][0].bn1.num_batches_tracked > 0  # pyright: ignore


def test_undivided_weights_are_refused_in_evaluation_until_their_norms_are_measured() -> None:
    encoder = build_encoder(_config(weights="offline", divide_by_depth=False))
    encoder.train()(volumes())
    with pytest.raises(UniferumError, match=r"1 training passes.*measured anew.*measure_norms"):
        encoder.eval()(volumes())
    measure_norms(encoder, [volumes(4, seed) for seed in range(3)])
    assert not encoder.training
    with torch.no_grad():
        measured, batch = encoder(volumes(4)), encoder.train()(volumes(4))
    assert 0.3 < float(measured.std() / batch.std()) < 3


def test_measured_norms_are_the_mean_over_all_batches() -> None:
    encoder = Encoder(_config(stride=4))
    batches = [volumes(3, seed) for seed in range(4)]
    measure_norms(encoder, batches)
    with torch.no_grad():
        wanted = torch.stack([encoder.conv_stem(batch).mean((0, 2, 3, 4)) for batch in batches]).mean(0)
    torch.testing.assert_close(encoder.bn1.running_mean, wanted)


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(UniferumError, match="EfficientNet of timm-3d"):
        Encoder(_config(name="resnet18"))


def test_drop_path_reaches_the_blocks() -> None:
    names = [type(part).__name__ for part in Encoder(_config(drop_path=0.2)).modules()]
    assert "DropPath" in names
    assert isinstance(Encoder(_config()).blocks[1][1].drop_path, nn.Identity)  # pyright: ignore
