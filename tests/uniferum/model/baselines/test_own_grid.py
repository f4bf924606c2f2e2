"""The grid of a system's own: resampled about the centre, air outside, axes turned."""

import pytest
import torch

from uniferum.config import parse
from uniferum.errors import UniferumError
from uniferum.model.baselines.own_grid import OwnGrid, to_hu
from uniferum.model.own_input_config import OwnInput, coarser_axes
from uniferum.preprocessing.geometry import Geometry

GEOMETRY = Geometry(spacing_mm=(2, 2, 3), box_mm=(24, 16, 18), crop_mm=(24, 16, 18), model_shape=(12, 8, 6))


def _volume() -> torch.Tensor:
    return torch.rand(2, 1, 12, 8, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("orientation", "flips"), [("RAS", []), ("LPS", [2, 3]), ("LPI", [2, 3, 4]), ("RAI", [4]), ("LAS", [2])]
)
def test_axes_that_point_the_other_way_are_turned(orientation: str, flips: list[int]) -> None:
    grid = OwnGrid(OwnInput(orientation=orientation), GEOMETRY)
    assert grid.shape == (12, 8, 6)
    assert torch.equal(grid(_volume(), 0.0), _volume().flip(flips))


def test_the_same_grid_is_read_as_it_is() -> None:
    grid = OwnGrid(OwnInput(spacing_mm=(2, 2, 3), shape=(12, 8, 6)), GEOMETRY)
    assert torch.equal(grid(_volume(), -1.0), _volume())


def test_outside_of_the_volume_is_the_given_value() -> None:
    grid = OwnGrid(OwnInput(spacing_mm=(2, 2, 3), shape=(14, 8, 8)), GEOMETRY)
    made = grid(_volume(), -7.0)
    torch.testing.assert_close(made[:, :, 1:13, :, 1:7], _volume(), atol=1e-5, rtol=0)
    assert (made[:, :, [0, 13]] == -7).all()
    assert (made[..., [0, 7]] == -7).all()


def test_intensities_become_hu() -> None:
    torch.testing.assert_close(
        to_hu(torch.tensor([0.0, 0.5, 0.6])), torch.tensor([-1000.0, 0.0, 200.0]), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize(
    ("own", "spacing_mm", "axes"),
    [((0.8, 0.8, 0.8), (1.0, 1.0, 1.0), "xyz"), ((1.5, 1.5, 1.0), (1.5, 2.0, 1.0), "y"), (None, (9.0, 9.0, 9.0), "")],
)
def test_the_axes_along_which_a_grid_is_coarser(own, spacing_mm, axes) -> None:
    assert coarser_axes(OwnInput(spacing_mm=own), spacing_mm) == axes


@pytest.mark.parametrize("keys", [{"orientation": "XYZ"}, {"shape": [4, 0, 4]}, {"spacing_mm": [1.0, -1.0, 1.0]}])
def test_an_impossible_grid_is_refused(keys: dict[str, object]) -> None:
    with pytest.raises(UniferumError):
        parse(OwnInput, keys, source="config")
