"""Max-pooling of masks with PyTorch, to compare the fused kernels with."""

import numpy as np
import torch

from uniferum.data.loading.targets import TargetGrid


def max_pool(grid: TargetGrid, mask: np.ndarray) -> np.ndarray:
    """Max-pool a binary mask at the model's resolution by ``grid.pool`` on each side."""
    pooled = torch.nn.functional.max_pool3d(torch.from_numpy(mask)[None].float(), grid.pool)[0]
    return pooled.numpy().astype(np.uint8)
