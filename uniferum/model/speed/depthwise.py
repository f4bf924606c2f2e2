"""3D convolutions with TensorFlow's same padding and, for depthwise ones, a backward pass that is fast on a CPU.

PyTorch has no fast CPU path for the backward pass of depthwise 3D convolutions, but a fast forward pass. Both
gradients are therefore computed by forward convolutions. Input: the output gradient convolved with the flipped
kernel. Kernel: the input convolved with the output gradient as kernel, each case and channel in its own group. The
gradients are equal up to float32 rounding.

timm-3d's same padding assigns an axis the padding of another axis if the sides differ in parity; here each axis has its
own. For the paper's 256 x 160 x 128 both are equal.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Three = tuple[int, int, int]


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the zeros before and after a side for a result of ceil(side / stride) voxels (TensorFlow's rule)."""
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


class SameConv3d(nn.Conv3d):
    """Convolution whose result has ceil(side / stride) voxels along each axis."""

    fast_backward: Literal["auto", "on", "off"] = "off"
    channels_last = False
    """Whether weights and results are in channels-last order, independent of PyTorch's algorithm."""

    @classmethod
    def of(cls, conv: nn.Conv3d, fast: Literal["auto", "on", "off"], *, channels_last: bool = False) -> "SameConv3d":
        """Convert a convolution, sharing its weights; ``fast`` has an effect on depthwise convolutions only."""
        same = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # pyright: ignore[reportArgumentType]
            conv.stride,  # pyright: ignore[reportArgumentType]
            groups=conv.groups,
            bias=conv.bias is not None,
            device="meta",
        )
        same.weight, same.bias = conv.weight, conv.bias
        if channels_last:
            same.channels_last = True
            same.to(memory_format=torch.channels_last_3d)
        depthwise = conv.groups == conv.in_channels == conv.out_channels and conv.bias is None
        same.fast_backward = fast if depthwise and conv.groups > 1 else "off"
        return same

    def forward(self, input: Tensor) -> Tensor:
        """Pad each axis and convolve."""
        result = self._convolved(input)
        # cuDNN returns the memory order of the weights, so nothing is copied; a CPU does so for some sizes only.
        return result.contiguous(memory_format=torch.channels_last_3d) if self.channels_last else result

    def _convolved(self, input: Tensor) -> Tensor:
        pads = [
            same_padding(side, kernel, stride)
            for side, kernel, stride in zip(input.shape[2:], self.kernel_size, self.stride, strict=True)
        ]
        if self._is_widened(input, pads):
            return self._widened(input, pads)
        if any(before != after for before, after in pads):
            input = F.pad(input, [amount for pad in reversed(pads) for amount in pad])
            pads = [(0, 0)] * 3
        padding = (pads[0][0], pads[1][0], pads[2][0])
        if self._is_fast(input):
            return FastDepthwise.apply(input, self.weight, self.stride, padding)  # pyright: ignore[reportReturnType]
        return F.conv3d(input, self.weight, self.bias, self.stride, padding, 1, self.groups)

    def _is_widened(self, input: Tensor, pads: list[tuple[int, int]]) -> bool:
        """Whether to pad the kernel instead of the volume: on a CPU, copying the volume costs more than extra taps."""
        uneven = [after - before for before, after in pads if after != before]
        return bool(uneven) and set(uneven) == {1} and not torch.is_grad_enabled() and input.device.type == "cpu"

    def _widened(self, input: Tensor, pads: list[tuple[int, int]]) -> Tensor:
        """Convolve with a leading zero in the kernel where a side needs one more zero after than before."""
        leading = [amount for before, after in reversed(pads) for amount in (after - before, 0)]
        padding = (pads[0][1], pads[1][1], pads[2][1])
        return F.conv3d(input, F.pad(self.weight, leading), self.bias, self.stride, padding, 1, self.groups)

    def _is_fast(self, input: Tensor) -> bool:
        if self.fast_backward == "off" or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return False
        if self.fast_backward == "auto" and input.device.type != "cpu":
            return False
        return pays(_three(self.kernel_size), _three(self.stride))


def pays(kernel: Three, stride: Three) -> bool:
    """Whether the alternative backward pass is faster (measured): stride 1, and stride 2 with kernels of 5."""
    return stride == (1, 1, 1) or (stride == (2, 2, 2) and min(kernel) >= 5)


class FastDepthwise(torch.autograd.Function):
    """Depthwise convolution with symmetric padding whose gradients are computed by forward convolutions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Three, padding: Three) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Convolve input (B, C, X, Y, Z) with kernel (C, 1, k, k, k)."""
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv3d(x, weight, None, stride, padding, 1, x.shape[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Compute the gradients of input and kernel."""
        x, weight = ctx.saved_tensors
        grad, wants_x, wants_w = grad.contiguous(), ctx.needs_input_grad[0], ctx.needs_input_grad[1]
        # Under autocast the output gradient has the lower precision; input and kernel may not.
        like, kernel = x.to(grad.dtype), weight.to(grad.dtype)
        grad_x = input_gradient(grad, kernel, x.shape[2:], ctx.stride, ctx.padding) if wants_x else None
        grad_w = kernel_gradient(grad, like, weight.shape[2:], ctx.stride, ctx.padding) if wants_w else None
        return _as(grad_x, x), _as(grad_w, weight), None, None


def _as(gradient: Tensor | None, of: Tensor) -> Tensor | None:
    return None if gradient is None else gradient.to(of.dtype)


def input_gradient(grad: Tensor, weight: Tensor, sides: torch.Size, stride: Three, padding: Three) -> Tensor:
    """Gradient of the input: convolve the output gradient, dilated by the stride, with the flipped kernel."""
    kernel = weight.shape[2:]
    spread = [side + 2 * pad - size + 1 for side, pad, size in zip(sides, padding, kernel, strict=True)]
    if list(grad.shape[2:]) != spread:
        zeros = grad.new_zeros(*grad.shape[:2], *spread)
        zeros[:, :, :: stride[0], :: stride[1], :: stride[2]] = grad
        grad = zeros
    back = [size - 1 - pad for size, pad in zip(kernel, padding, strict=True)]
    return F.conv3d(grad, weight.flip(2, 3, 4), None, 1, back, 1, grad.shape[1])


def kernel_gradient(grad: Tensor, x: Tensor, kernel: torch.Size, stride: Three, padding: Three) -> Tensor:
    """Gradient of the kernel: convolve the input with the output gradient, dilated by the stride."""
    cases, channels = x.shape[:2]
    folded = x.reshape(1, cases * channels, *x.shape[2:])
    each = F.conv3d(
        folded, grad.reshape(cases * channels, 1, *grad.shape[2:]), None, 1, padding, stride, cases * channels
    )
    each = each[..., : kernel[0], : kernel[1], : kernel[2]]
    return each.reshape(cases, channels, *kernel).sum(0).unsqueeze(1)


def _three(value: tuple[int, ...]) -> Three:
    return value[0], value[1], value[2]
