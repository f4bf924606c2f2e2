"""Fold batch norms into the preceding convolutions, for faster prediction on a CPU.

In evaluation mode a batch norm is a scale and an offset per channel, which the convolution can apply itself. The
results agree within float32 rounding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from uniferum.model.encoder import Encoder


@contextmanager
def folded(model: nn.Module) -> Iterator[None]:
    """Replace the model's encoders on the CPU by folded copies within the context; needs evaluation mode."""
    encoders = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, Encoder) and _pays(child)
    ]
    for parent, name, child in encoders:
        setattr(parent, name, fold_norms(child))
    try:
        yield
    finally:
        for parent, name, child in encoders:
            setattr(parent, name, child)


@torch.no_grad()
def fold_norms(encoder: Encoder) -> Encoder:
    """Copy an encoder in evaluation mode and fold its batch norms into its convolutions.

    Raises:
        UniferumError: the weights are undivided and their batch-norm statistics were never measured anew.
    """
    encoder.refuse_unmeasured()
    copy = deepcopy(encoder)
    copy.folded = True
    for parent in list(copy.modules()):
        conv: nn.Conv3d | None = None
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv3d):
                conv = child
            elif isinstance(child, _BatchNorm):
                assert conv is not None, "in timm's blocks every batch norm follows its convolution"
                _fold(conv, child)
                setattr(parent, name, nn.Sequential(child.drop, child.act))  # pyright: ignore[reportArgumentType]
                conv = None
    return copy


def _fold(conv: nn.Conv3d, norm: _BatchNorm) -> None:
    assert conv.out_channels == norm.num_features
    assert norm.running_mean is not None, "timm's norms track their statistics"
    assert norm.running_var is not None
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )


def _pays(encoder: Encoder) -> bool:
    compiled = encoder._compiled_call_impl is not None
    return not encoder.training and not compiled and next(encoder.parameters()).device.type == "cpu"
