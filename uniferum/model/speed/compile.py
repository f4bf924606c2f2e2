"""Compile the parts of a model in place, so that tensor names stay."""

from collections.abc import Iterable
from typing import Any

from torch import nn

VARIANTS = 64
"""Allowed recompilations of one part: with and without gradient, all positions or some, one row or many."""


def compile_parts(parts: Iterable[nn.Module], **options: Any) -> None:
    """Compile each part; sizes that vary (volumes, rows, words of a micro-batch) become dynamic.

    Args:
        parts: changed in place.
        options: for :func:`torch.compile`.
    """
    import torch._dynamo

    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, VARIANTS)
    for part in parts:
        part.compile(**options)
