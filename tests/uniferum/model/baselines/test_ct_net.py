"""CT-Net: the published sizes, its equations written again, and what it refuses."""

from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.support.small_models import GEOMETRY, LABELS, SMALL_CT_NET, small_config, small_model, volumes
from uniferum.errors import UniferumError
from uniferum.model.baselines.ct_net import CtNet, TripletInput
from uniferum.model.config import ModelConfig
from uniferum.model.ct_net_config import CtNetInput
from uniferum.model.registry import build_model
from uniferum.preprocessing.geometry import Geometry


def _small(**keys: Any) -> CtNet:
    return cast(CtNet, small_model(kind="ct_net", ct_net=SMALL_CT_NET | keys))


def test_the_published_sizes() -> None:
    config = ModelConfig.model_validate({"kind": "ct_net", "encoder": {"weights": "none"}})
    with torch.device("meta"):
        model = cast(CtNet, build_model(config, Geometry(), tuple(f"label {n}" for n in range(83)), 0))
        maps = model.features(torch.empty(134, 3, 420, 420))
        reduced = model.reduce(maps[None])
        logits = model.head(reduced.flatten(1))
    assert model.input.triplets == 134
    assert model.input.grid.shape == (420, 420, 402)
    assert maps.shape == (134, 512, 14, 14)
    assert reduced.shape == (1, 16, 18, 5, 5)
    assert logits.shape == (1, 83)
    assert [part.in_features for part in model.head if hasattr(part, "in_features")] == [7200, 128, 96]


def test_a_triplet_is_three_slices_from_the_top_clipped_and_centred() -> None:
    hu = np.random.default_rng(0).uniform(-1500, 600, (1, 1, 24, 16, 8)).astype(np.float32)
    made = TripletInput(CtNetInput(spacing_mm=None), GEOMETRY)(torch.from_numpy(hu / 2000 + 0.5))
    assert made.shape == (1, 2, 3, 16, 24), "two slices fill no triplet"
    seen = hu[0, 0, ::-1, ::-1, ::-1].transpose(
        2, 1, 0
    )  # slice from the top, row from the front, column from the right
    expected = (np.clip(seen, -1000, 200) + 1000) / 1200 - 0.449
    np.testing.assert_allclose(made[0].numpy().reshape(6, 16, 24), expected[:6], atol=1e-6)


def test_the_system_equals_its_equations() -> None:
    model, state = _small().eval(), {}
    state = model.state_dict()
    with torch.no_grad():
        ours = model.head(model.encode(volumes()))
        for volume, logits in zip(volumes(), ours, strict=True):
            maps = torch.stack([model.features(one[None])[0] for one in model.input(volume[None])[0]])
            x = maps[None]
            for number, conv in enumerate(model.config.ct_net.convs):
                weight, bias = (state[f"reduce.{2 * number}.{name}"] for name in ("weight", "bias"))
                x = F.conv3d(x, weight, bias, stride=conv.stride).clamp(min=0)
            x = x.reshape(1, -1)
            for layer in (0, 3):
                x = (x @ state[f"head.{layer}.weight"].T + state[f"head.{layer}.bias"]).clamp(min=0)
            x = x @ state["head.6.weight"].T + state["head.6.bias"]
            torch.testing.assert_close(logits[None], x, atol=1e-6, rtol=1e-6)


def test_a_volume_does_not_depend_on_those_beside_it_in_training() -> None:
    model = _small().train()
    together = model.encode(volumes(2))
    torch.testing.assert_close(together[1:], model.encode(volumes(2)[1:]), atol=1e-6, rtol=1e-5)


def test_the_same_seed_gives_the_same_bits() -> None:
    one, other = _small().eval(), _small().eval()
    with torch.no_grad():
        assert torch.equal(one.encode(volumes()), other.encode(volumes()))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"convs": [{"out": 4, "kernel": [3, 2, 2], "stride": [1, 1, 1]}]}, r"model\.ct_net\.convs\.0\.kernel"),
        ({"input": {"spacing_mm": [8.0, 8.0, 8.0], "shape": [24, 16, 2]}}, r"model\.ct_net\.input\.shape.*3 slices"),
        ({"network": "resnet18x"}, r"model\.ct_net\.network \(resnet18x\) must be a network of timm.*resnet18"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_in_one_line(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(UniferumError, match=said) as caught:
        _small(**keys)
    assert "\n" not in str(caught.value)


def test_pretrained_weights_must_be_named() -> None:
    config = small_config(kind="ct_net", encoder={"weights": "imagenet"})
    with pytest.raises(UniferumError, match=r"model\.ct_net\.network \(resnet10t\) must name its weights"):
        build_model(config, GEOMETRY, LABELS, 0)


def test_a_system_without_a_label_is_refused() -> None:
    with pytest.raises(UniferumError, match="at least one label"):
        build_model(small_config(kind="cnn_draelos"), GEOMETRY, (), 0)


def test_cnn_draelos_is_ct_net_under_its_own_name() -> None:
    one, other = _small(), small_model(kind="cnn_draelos")
    weights = one.state_dict().values(), other.state_dict().values()
    assert all(torch.equal(*pair) for pair in zip(*weights, strict=True))
