"""Same padding and the fast backward pass, compared with PyTorch's own convolution and gradient."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from uniferum.model.speed import depthwise
from uniferum.model.speed.depthwise import FastDepthwise, SameConv3d, same_padding


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(7, 8, 9), (6, 5, 4), (12, 10, 8)])
def test_fast_gradients_equal_the_native_ones(
    kernel: int, stride: int, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depthwise, "pays", lambda kernel, stride: True)
    torch.manual_seed(0)
    conv = nn.Conv3d(6, 6, kernel, stride, groups=6, bias=False)
    x = torch.randn(3, 6, *shape, requires_grad=True)
    gradients = []
    for fast in ("on", "off"):
        answer = SameConv3d.of(conv, fast)(x)
        assert (type(answer.grad_fn).__name__ == "FastDepthwiseBackward") == (fast == "on")
        gradients.append(torch.autograd.grad(answer.sin().sum(), [x, conv.weight]))
    for ours, native in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, native, atol=4e-6 * float(native.abs().max()), rtol=0)


@pytest.mark.parametrize("learnt", ["both", "kernel", "input"])
def test_gradients_under_bf16_autocast_are_the_native_ones_in_their_own_formats(learnt: str) -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv3d(6, 6, 3, groups=6, bias=False), torch.randn(2, 6, 8, 8, 8)
    x.requires_grad_(learnt != "kernel")
    conv.weight.requires_grad_(learnt != "input")
    wanted = [tensor for tensor in (x, conv.weight) if tensor.requires_grad]
    gradients = []
    for fast in ("on", "off"):
        with torch.autocast("cpu", torch.bfloat16):
            answer = SameConv3d.of(conv, fast)(x)
        gradients.append(torch.autograd.grad(answer.float().sin().sum(), wanted))
    for ours, native in zip(*gradients, strict=True):
        assert ours.dtype == native.dtype == torch.float32
        torch.testing.assert_close(ours, native, atol=0.05 * float(native.abs().max()), rtol=0)


def test_the_gradient_formula_holds_against_finite_differences() -> None:
    x = torch.randn(2, 3, 5, 4, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 1, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: FastDepthwise.apply(a, b, (2, 2, 2), (1, 1, 1)), (x, weight))


@pytest.mark.parametrize(("side", "kernel", "stride"), [(5, 3, 2), (6, 3, 2), (4, 5, 2), (7, 5, 1), (1, 3, 2)])
def test_same_padding_gives_ceil_side_over_stride(side: int, kernel: int, stride: int) -> None:
    before, after = same_padding(side, kernel, stride)
    assert (side + before + after - kernel) // stride + 1 == -(-side // stride)
    assert 0 <= after - before <= 1


def test_each_axis_is_padded_by_its_own_rule() -> None:
    conv = nn.Conv3d(2, 3, 3, 2, bias=False)
    x = torch.randn(1, 2, 6, 5, 4)
    wanted = F.conv3d(F.pad(x, (0, 1, 1, 1, 0, 1)), conv.weight, stride=2)
    torch.testing.assert_close(SameConv3d.of(conv, "off")(x), wanted)
    assert wanted.shape[2:] == (3, 3, 2)


def test_auto_is_fast_on_the_cpu_where_it_pays_and_only_with_gradients() -> None:
    x = torch.randn(1, 4, 6, 6, 6)
    paying = SameConv3d.of(nn.Conv3d(4, 4, 5, 2, groups=4, bias=False), "auto")
    not_paying = SameConv3d.of(nn.Conv3d(4, 4, 3, 2, groups=4, bias=False), "auto")
    full = SameConv3d.of(nn.Conv3d(4, 4, 3, 1, bias=False), "on")
    assert type(paying(x).grad_fn).__name__ == "FastDepthwiseBackward"
    assert type(not_paying(x).grad_fn).__name__ == "ConvolutionBackward0"
    assert type(full(x).grad_fn).__name__ == "ConvolutionBackward0"
    with torch.no_grad():
        assert paying(x).grad_fn is None
