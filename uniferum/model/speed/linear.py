"""Matrix products of the transformer: oneDNN's where nothing is learnt on a CPU, PyTorch's own elsewhere.

PyTorch multiplies float32 matrices on a CPU with a library that leaves AVX-512 unused on processors of another maker;
oneDNN, which PyTorch carries too and its own compiler calls by these names, uses it, and is no slower without. The
results agree within float32 rounding.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WORTH_IT = 2**16
"""Weights in a matrix from which on its reordering is repaid; the layers of small models have fewer."""


def product(x: Tensor, weight: Tensor, bias: Tensor, then: Literal["none", "gelu"] = "none") -> Tensor:
    """``x @ weight.T + bias``, and where wanted the exact GELU of it."""
    if _fits(x, weight):
        # Reordered anew at every call: a few per cent of the product, and no copy of the weights that could be stale.
        ordered = torch.ops.mkldnn._reorder_linear_weight(weight, x.numel() // x.shape[-1])
        return torch.ops.mkldnn._linear_pointwise(x.contiguous(), ordered, bias, then, [], "none")
    result = F.linear(x, weight, bias)
    return F.gelu(result) if then == "gelu" else result


class Product(nn.Linear):
    """A linear layer whose product is :func:`product`."""

    def forward(self, input: Tensor) -> Tensor:
        """Multiply and add."""
        return product(input, self.weight, self.bias)


def _fits(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN may do it: on a CPU, in float32, without a gradient, and large enough."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or x.device.type != "cpu":
        return False
    plain = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu") and type(x) is Tensor
    large = weight.numel() >= WORTH_IT and x.numel() > 0
    return plain and large and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
