"""The checks of types and shapes that conftest.py installs are on."""

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from numba.core.registry import CPUDispatcher

from uniferum.data.loading import kernels
from uniferum.preprocessing.volume import Volume
from uniferum.training.loss import focal_loss


def test_arguments_of_unlike_shapes_are_refused() -> None:
    with pytest.raises(TypeCheckError, match="focal_loss"):
        focal_loss(torch.zeros(2, 3), torch.zeros(3, 2), alpha=0.25, gamma=2.0)


def test_an_array_of_another_rank_or_type_is_refused() -> None:
    with pytest.raises(TypeCheckError, match="Volume"):
        Volume(np.zeros((4, 4), np.int16), np.eye(4))
    with pytest.raises(TypeCheckError, match="Volume"):
        Volume(np.zeros((4, 4, 4), np.float32), np.eye(4))  # pyright: ignore[reportArgumentType]


def test_an_int_may_stand_for_a_float() -> None:
    assert focal_loss(torch.zeros(2), torch.zeros(2), alpha=0, gamma=2).tolist() == pytest.approx(
        [0.1733, 0.1733], abs=1e-3
    )


def test_numba_compiles_the_functions_themselves() -> None:
    assert isinstance(kernels.crop, CPUDispatcher)
    assert not hasattr(kernels.crop.py_func, "__wrapped__")
