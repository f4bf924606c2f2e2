"""CNN + Transformer of INSPECT: the published sizes, its equations written again, and what it refuses."""

import math
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.support.small_models import GEOMETRY, SMALL_CNN_TRANSFORMER, small_model, volumes
from uniferum.errors import UniferumError
from uniferum.model.baselines.cnn_transformer import CnnTransformer, WindowedSlices
from uniferum.model.cnn_transformer_config import CnnTransformerInput
from uniferum.model.config import ModelConfig
from uniferum.model.registry import build_model
from uniferum.preprocessing.geometry import Geometry


def _small(**keys: Any) -> CnnTransformer:
    return cast(CnnTransformer, small_model(kind="cnn_transformer", cnn_transformer=SMALL_CNN_TRANSFORMER | keys))


def test_the_published_sizes() -> None:
    config = ModelConfig.model_validate({"kind": "cnn_transformer", "encoder": {"weights": "none"}})
    with torch.device("meta"):
        model = cast(CnnTransformer, build_model(config, Geometry(), ("pulmonary_embolism",), 0))
        maps = model.features(torch.empty(2, 3, 224, 224))
        tokens = model.layers(torch.empty(1, 250, 6144))
    assert model.input.grid.shape == (224, 224, 250)
    assert maps.shape == (2, 6144, 7, 7)
    assert tokens.shape == (1, 250, 6144)
    assert model.head.in_features == 6144
    assert len(model.layers) == 1
    assert not any(weight.requires_grad for weight in model.features.parameters())


def test_three_windows_of_each_slice_normalised_as_photographs() -> None:
    hu = np.random.default_rng(0).uniform(-1600, 1200, (1, 1, 24, 16, 8)).astype(np.float32)
    made = WindowedSlices(CnnTransformerInput(spacing_mm=None), GEOMETRY)(torch.from_numpy(hu / 2000 + 0.5))
    assert made.shape == (1, 8, 3, 16, 24)
    seen = hu[0, 0, ::-1, ::-1].transpose(2, 1, 0)  # slice from the bottom, row from the front, column from the right
    limits = ((-1350, 150), (-100, 900), (-160, 240))
    colours = zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)
    for channel, ((low, high), (mean, std)) in enumerate(zip(limits, colours, strict=True)):
        shown = (np.clip(seen, low, high) - low) / (high - low)
        np.testing.assert_allclose(made[0, :, channel].numpy(), (shown - mean) / std, atol=2e-5)


def _layer(x: Tensor, state: dict[str, Tensor], name: str, heads: int) -> Tensor:
    """A post-norm transformer layer of Vaswani et al. 2017 with ReLU."""

    def part(key: str) -> Tensor:
        return state[f"{name}.{key}"]

    width = x.shape[-1]
    query, key, value = (x @ part("self_attn.in_proj_weight").T + part("self_attn.in_proj_bias")).chunk(3, dim=-1)
    split = [one.unflatten(-1, (heads, width // heads)).transpose(0, 1) for one in (query, key, value)]
    scores = (split[0] @ split[1].transpose(1, 2) / math.sqrt(width // heads)).softmax(-1)
    mixed = (scores @ split[2]).transpose(0, 1).flatten(1)
    mixed = mixed @ part("self_attn.out_proj.weight").T + part("self_attn.out_proj.bias")
    x = F.layer_norm(x + mixed, (width,), part("norm1.weight"), part("norm1.bias"))
    wide = (x @ part("linear1.weight").T + part("linear1.bias")).clamp(min=0)
    return F.layer_norm(
        x + wide @ part("linear2.weight").T + part("linear2.bias"), (width,), part("norm2.weight"), part("norm2.bias")
    )


@pytest.mark.parametrize("pooling", ["mean", "max", "attention", "attention+max"])
def test_the_system_equals_its_equations(pooling: str) -> None:
    model = _small(pooling=pooling, layers=2).double().eval()
    state = model.state_dict()
    if model.attention is not None:
        torch.nn.init.normal_(model.attention.bias, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        slices = model.input(volumes()).double()
        x = torch.stack([model.features(one[None]).mean((2, 3))[0] for one in slices[1]])
        logits = model.head(model._pooled(model.layers(model.tokens(slices))))
        for number in range(2):
            x = _layer(x, state, f"layers.{number}", heads=4)
        parts = [x.mean(0)] if pooling == "mean" else [x.max(0).values] if "max" in pooling else []
        if "attention" in pooling:
            weight = torch.exp(torch.tanh(x @ state["attention.weight"][:, 0] + state["attention.bias"]))
            parts.append(((weight / weight.sum() + 1e-10)[:, None] * x).sum(0))
        expected = torch.cat(parts) @ state["head.weight"].T + state["head.bias"]
    torch.testing.assert_close(logits[1], expected, atol=1e-6, rtol=1e-6)


def test_the_position_in_mm_is_the_last_feature() -> None:
    model = _small(position="append", heads=3).eval()
    with torch.no_grad():
        tokens = model.tokens(model.input(volumes()))
    torch.testing.assert_close(tokens[1, :, -1], torch.arange(8.0) * 8)


def test_a_frozen_network_keeps_its_weights_and_statistics() -> None:
    model = _small(freeze_network=True).train()
    before = {name: value.clone() for name, value in model.features.state_dict().items()}
    model.head(model.encode(volumes())).sum().backward()
    assert not model.features.training
    assert all(weight.grad is None for weight in model.features.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.features.state_dict().items())
    assert model.layers[0].linear1.weight.grad is not None


def test_the_same_seed_gives_the_same_bits() -> None:
    one, other = _small().eval(), _small().eval()
    with torch.no_grad():
        assert torch.equal(one.encode(volumes()), other.encode(volumes()))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"heads": 5}, r"model\.cnn_transformer\.heads \(5\) must divide the 512 features of resnet10t"),
        ({"position": "append"}, "divide the 512 features of resnet10t and 1 of the position"),
        ({"network": "vit_tiny_patch16_224"}, r"model\.cnn_transformer\.network"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_in_one_line(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(UniferumError, match=said) as caught:
        _small(**keys)
    assert "\n" not in str(caught.value)
