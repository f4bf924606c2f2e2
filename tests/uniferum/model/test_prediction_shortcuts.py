"""Fast prediction on a CPU equals plain prediction, and leaves model and process unchanged."""

import ctypes
import sys
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.support.small_models import LABELS, PROMPTS, small_model, volumes
from uniferum.errors import UniferumError
from uniferum.model.config import EncoderConfig
from uniferum.model.encoder import Encoder, build_encoder
from uniferum.model.folding import fold_norms, folded
from uniferum.model.speed import linear
from uniferum.model.speed.depthwise import SameConv3d
from uniferum.model.speed.malloc import kept_memory


def _trained_norms(encoder: Encoder) -> Encoder:
    """Set statistics, scales and offsets that differ from those of a new norm."""
    generator = torch.Generator().manual_seed(1)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm3d):
            for tensor in (module.running_mean, module.bias):
                assert tensor is not None
                tensor.data = 0.1 * torch.randn(tensor.shape, generator=generator)
            for tensor in (module.running_var, module.weight):
                assert tensor is not None
                tensor.data = 0.5 + torch.rand(tensor.shape, generator=generator)
    return encoder.eval()


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "tf_efficientnet_b0"])
@pytest.mark.parametrize("sides", [(32, 32, 32), (33, 20, 15)])
def test_an_encoder_without_its_norms_answers_the_same(name: str, sides: tuple[int, int, int]) -> None:
    encoder = _trained_norms(Encoder(EncoderConfig(name=name, weights="none")))
    volume = torch.rand(2, 1, *sides)
    with torch.inference_mode():
        short = fold_norms(encoder)
        assert not any(isinstance(module, nn.BatchNorm3d) for module in short.modules())
        torch.testing.assert_close(short(volume), encoder(volume), atol=2e-4, rtol=2e-4)


def test_the_model_has_its_own_encoder_again_afterwards_and_training_is_untouched() -> None:
    model = small_model().eval()
    before, names = model.encoder, list(model.state_dict())
    with torch.inference_mode(), folded(model):
        assert model.encoder is not before
    assert model.encoder is before
    assert list(model.state_dict()) == names
    with folded(model.train()):
        assert model.encoder is before


def test_folding_still_refuses_norms_that_were_never_measured() -> None:
    config = EncoderConfig(name="tf_efficientnet_lite0", weights="offline", stride=8, divide_by_depth=False)
    with pytest.raises(UniferumError, match="measured anew"):
        fold_norms(build_encoder(config).eval())


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 2), (2, 1)])
@pytest.mark.parametrize("groups", [1, 4])
def test_a_widened_kernel_gives_what_a_padded_volume_gives(kernel: int, stride: int, groups: int) -> None:
    conv = SameConv3d.of(nn.Conv3d(4, 4, kernel, stride, groups=groups, bias=False), "off")
    volume = torch.randn(2, 4, 8, 7, 6)
    padded = conv(volume)
    with torch.no_grad():
        torch.testing.assert_close(conv(volume), padded, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("then", ["none", "gelu"])
def test_products_without_gradient_agree_with_pytorchs(monkeypatch: pytest.MonkeyPatch, then: str) -> None:
    monkeypatch.setattr(linear, "WORTH_IT", 1)
    x, weight, bias = torch.randn(3, 5, 24), torch.randn(40, 24), torch.randn(40)
    plain = F.linear(x, weight, bias)
    with torch.no_grad():
        assert linear._fits(x, weight)
        product = linear.product(x, weight, bias, then)  # pyright: ignore[reportArgumentType]
        # A slice of positions and of rows of a fused matrix, as in the last layer.
        part = linear.product(x[:, 1:3], weight[8:], bias[8:])
    torch.testing.assert_close(product, F.gelu(plain) if then == "gelu" else plain, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(part, plain[:, 1:3, 8:], atol=1e-5, rtol=1e-5)


def test_where_gradients_or_narrow_numbers_are_wanted_the_product_is_pytorchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "WORTH_IT", 1)
    x, weight = torch.randn(2, 8), torch.randn(8, 8)
    assert not linear._fits(x, weight)
    with torch.no_grad():
        assert not linear._fits(x.bfloat16(), weight)
        with torch.autocast("cpu", torch.bfloat16):
            assert not linear._fits(x, weight)


def test_a_whole_model_gives_the_same_logits_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "WORTH_IT", 1)
    model = small_model().eval().requires_grad_(False)
    _trained_norms(model.encoder)
    rows = torch.tensor([0, 1, 0])
    plain = model.read(model.encode(volumes()), rows, list(PROMPTS), list(LABELS))
    with torch.inference_mode(), folded(model):
        short = model.read(model.encode(volumes()), rows, list(PROMPTS), list(LABELS))
    torch.testing.assert_close(short.class_logit, plain.class_logit, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(short.mask_logit, plain.mask_logit, atol=1e-4, rtol=1e-4)


class Mallinfo(ctypes.Structure):
    """glibc's ``struct mallinfo2``."""

    _fields_: ClassVar = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="mallinfo2 is glibc's")
def test_large_buffers_come_from_kept_memory_within_and_from_the_system_afterwards() -> None:
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        pytest.skip("this C library has no mallinfo2")
    library.mallinfo2.restype = Mallinfo
    side = 2**31  # more than any hole that is left in the heap of a long test process; its pages are never touched

    def mapped() -> int:
        before = library.mallinfo2().hblkhd
        buffer = torch.empty(side, dtype=torch.uint8)
        grown = library.mallinfo2().hblkhd - before
        assert len(buffer) == side
        return grown

    with kept_memory():
        assert mapped() == 0
    assert mapped() >= side


def test_memory_is_not_touched_where_it_is_not_wanted() -> None:
    with kept_memory(wanted=False):
        assert torch.ones(3).sum() == 3
