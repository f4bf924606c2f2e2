"""Use oneDNN for float32 matrix products in CPU inference, and PyTorch's default elsewhere.

PyTorch's default library does not use AVX-512 on AMD processors. oneDNN, which is part of PyTorch (its compiler calls
it by these names), does, and is not slower on other processors. The results agree within float32 rounding.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WORTH_IT = 2**16
"""Minimum number of weights for which the reordering pays off; layers of small models have fewer."""


def product(x: Tensor, weight: Tensor, bias: Tensor, then: Literal["none", "gelu"] = "none") -> Tensor:
    """Compute ``x @ weight.T + bias``, then optionally the exact GELU."""
    if _fits(x, weight):
        # Reordered at every call: it costs a few per cent of the product, and a cached copy could become stale.
        ordered = torch.ops.mkldnn._reorder_linear_weight(weight, x.numel() // x.shape[-1])
        return torch.ops.mkldnn._linear_pointwise(x.contiguous(), ordered, bias, then, [], "none")
    result = F.linear(x, weight, bias)
    return F.gelu(result) if then == "gelu" else result


class Product(nn.Linear):
    """Linear layer that uses :func:`product`."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return product(input, self.weight, self.bias)


def _fits(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN can be used: on a CPU, in float32, without a gradient, and large enough."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or x.device.type != "cpu":
        return False
    plain = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu") and type(x) is Tensor
    large = weight.numel() >= WORTH_IT and x.numel() > 0
    return plain and large and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
