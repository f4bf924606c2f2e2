"""CT-CLIP equals its equations, written out here over the published names with loops instead of modules."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.support.small_models import small_model
from uniferum.model.baselines.ct_clip.checkpoint import published_state
from uniferum.model.baselines.ct_clip.clip import CtClip, contrastive_loss

HEADS, HEAD_WIDTH = 4, 8
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def model() -> CtClip:
    model = small_model(kind="ct_clip").eval()
    assert isinstance(model, CtClip)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture(scope="module")
def state(model: CtClip) -> State:
    return published_state(model)


@pytest.fixture(scope="module")
def video() -> Tensor:
    return torch.rand(2, 1, 8, 24, 16, generator=torch.Generator().manual_seed(2)) * 2 - 1


def test_patch_embedding(model: CtClip, state: State, video: Tensor) -> None:
    expected = _patches(state, video)
    torch.testing.assert_close(model.visual.patches(video), expected, atol=1e-5, rtol=1e-5)


def test_encoder(model: CtClip, state: State, video: Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(
            model.visual.encode(_patches(state, video)), _encoded(state, video), atol=1e-4, rtol=0
        )


def test_quantiser_takes_the_code_with_the_highest_cosine(model: CtClip, state: State, video: Tensor) -> None:
    encoded, codes = _encoded(state, video), state["visual_transformer.vq._codebook.embed"][0]
    assert torch.allclose(codes.norm(dim=-1), torch.ones(len(codes)), atol=1e-5)
    quantised = model.visual.quantizer(encoded)
    for position in ((0, 0, 0, 0), (1, 1, 2, 1), (0, 1, 1, 0)):
        cosine = [float(F.cosine_similarity(encoded[position], code, dim=0)) for code in codes]
        assert torch.equal(quantised[position], codes[max(range(len(codes)), key=cosine.__getitem__)])


def test_image_latent_is_the_mean_over_slabs_flattened_projected_and_of_length_one(
    model: CtClip, state: State, video: Tensor
) -> None:
    with torch.no_grad():
        quantised = model.visual.stages(video).quantised
        flat = (quantised[:, 0] + quantised[:, 1]) / 2
        latent = torch.stack([one.reshape(-1) @ state["to_visual_latent.weight"].T for one in flat])
        torch.testing.assert_close(
            model.image_latents(video), latent / latent.norm(dim=-1, keepdim=True), atol=1e-5, rtol=0
        )


def test_similarity_and_loss(model: CtClip) -> None:
    with torch.no_grad():
        image, text = (F.normalize(torch.randn(3, 16), dim=-1) for _ in range(2))
        similarity = model.similarity(image, text)
        factor = math.exp(float(model.temperature))
        assert similarity[1, 2].item() == pytest.approx(factor * float(image[1] @ text[2]), abs=1e-5)
    loss = 0.0
    for own in range(3):
        row, column = similarity[own].tolist(), similarity[:, own].tolist()
        for side in (row, column):
            loss -= (side[own] - math.log(sum(map(math.exp, side)))) / 6
    assert contrastive_loss(similarity).item() == pytest.approx(loss, abs=1e-5)


def _patches(state: State, video: Tensor) -> Tensor:
    at = "visual_transformer.to_patch_emb."
    out = torch.zeros(2, 2, 3, 2, 32)
    for b, t, h, w in torch.cartesian_prod(*map(torch.arange, out.shape[:4])).tolist():
        voxels = video[b, 0, 4 * t : 4 * t + 4, 8 * h : 8 * h + 8, 8 * w : 8 * w + 8].reshape(-1)
        x = F.layer_norm(voxels, (256,), state[f"{at}1.weight"], state[f"{at}1.bias"])
        x = state[f"{at}2.weight"] @ x + state[f"{at}2.bias"]
        out[b, t, h, w] = F.layer_norm(x, (32,), state[f"{at}3.weight"], state[f"{at}3.bias"])
    return out


def _encoded(state: State, video: Tensor) -> Tensor:
    tokens = _patches(state, video)
    bias = _bias(state)
    spatial = tokens.reshape(4, 6, 32)  # slabs of both volumes
    spatial = _stack(state, "enc_spatial_transformer", spatial, bias).reshape(2, 2, 6, 32)
    tokens = spatial.permute(0, 2, 1, 3).reshape(12, 2, 32)
    tokens = _stack(state, "enc_temporal_transformer", tokens, torch.zeros(HEADS, 2, 2))
    return tokens.reshape(2, 3, 2, 2, 32).permute(0, 3, 1, 2, 4)


def _bias(state: State) -> Tensor:
    at = "visual_transformer.spatial_rel_pos_bias.net."
    bias = torch.zeros(HEADS, 6, 6)
    for query in range(6):
        for key in range(6):
            apart = [query // 2 - key // 2, query % 2 - key % 2]
            x = torch.tensor([math.copysign(math.log1p(abs(d)), d) for d in apart])
            for layer in ("0.0", "1.0"):
                x = state[f"{at}{layer}.weight"] @ x + state[f"{at}{layer}.bias"]
                x = torch.where(x > 0, x, 0.1 * x)
            bias[:, query, key] = state[f"{at}2.weight"] @ x + state[f"{at}2.bias"]
    return bias


def _stack(state: State, stack: str, x: Tensor, bias: Tensor) -> Tensor:
    for layer in range(2):
        at = f"visual_transformer.{stack}.layers.{layer}."
        x = x + _position(state, at, x)
        x = x + _attention(state, f"{at}1.", x, bias)
        x = x + _feed_forward(state, f"{at}3.", x)
    end = f"visual_transformer.{stack}.norm_out."
    return F.layer_norm(x, (32,), state[f"{end}gamma"])


def _position(state: State, at: str, x: Tensor) -> Tensor:
    """Each channel with its own 3 x 3 x 3 kernel; the tokens in memory order are read as (2, 2, 3, 2)."""
    weight, bias = state[f"{at}0.dsconv.weight"][:, 0], state[f"{at}0.dsconv.bias"]
    grid = x.reshape(2, 2, 3, 2, 32)
    out = torch.zeros_like(grid) + bias
    for b, t, h, w in torch.cartesian_prod(*map(torch.arange, grid.shape[:4])).tolist():
        for dt, dh, dw in torch.cartesian_prod(*[torch.arange(3)] * 3).tolist():
            to, ho, wo = t + dt - 2, h + dh - 1, w + dw - 1
            if to >= 0 and 0 <= ho < 3 and 0 <= wo < 2:
                out[b, t, h, w] += weight[:, dt, dh, dw] * grid[b, to, ho, wo]
    return out.reshape(x.shape)


def _attention(state: State, at: str, x: Tensor, bias: Tensor) -> Tensor:
    queries = F.layer_norm(x, (32,), state[f"{at}norm.gamma"]) @ state[f"{at}to_q.weight"].T
    keys, values = (x @ part.T for part in state[f"{at}to_kv.weight"].chunk(2))
    heads = []
    for head in range(HEADS):
        own = slice(HEAD_WIDTH * head, HEAD_WIDTH * (head + 1))
        query, key = (part[..., own] / part[..., own].norm(dim=-1, keepdim=True) for part in (queries, keys))
        scores = (query * state[f"{at}q_scale"]) @ (key * state[f"{at}k_scale"]).mT * 8 + bias[head]
        heads.append(scores.softmax(dim=-1) @ values[..., own])
    return torch.cat(heads, dim=-1) @ state[f"{at}to_out.weight"].T


def _feed_forward(state: State, at: str, x: Tensor) -> Tensor:
    x = F.layer_norm(x, (32,), state[f"{at}0.weight"], state[f"{at}0.bias"]) @ state[f"{at}1.weight"].T
    half = x.shape[-1] // 2
    assert half == int(32 * 4 * 2 / 3)
    gate = x[..., half:]
    return (x[..., :half] * gate * (1 + torch.erf(gate / 2**0.5)) / 2) @ state[f"{at}4.weight"].T
