"""The input of CT-CLIP: its grid, its axes and its window, from volumes of the run's grid."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from uniferum.model.baselines.ct_clip.input import ClipInput, axis_weights
from uniferum.model.ct_clip_config import CtClipInput
from uniferum.preprocessing.geometry import Geometry

GEOMETRY = Geometry(spacing_mm=(2, 2, 3), box_mm=(24, 16, 18), crop_mm=(24, 16, 18), model_shape=(12, 8, 6))


def _input(**changes: object) -> ClipInput:
    return ClipInput(CtClipInput.model_validate(changes), GEOMETRY)


def test_hu_are_clipped_and_divided() -> None:
    hu = torch.tensor([-3000.0, -1000.0, -250.0, 0.0, 1000.0, 2000.0])
    volume = (hu / 2000 + 0.5).view(1, 1, 6, 1, 1).expand(1, 1, 6, 8, 6)
    shown = _input(spacing_mm=None, orientation="RAS")(volume)[0, 0, 0, :, 0]
    torch.testing.assert_close(shown, torch.tensor([-1.0, -1.0, -0.25, 0.0, 1.0, 1.0]))


def test_slices_are_along_z_rows_along_x_to_the_left_and_columns_along_y_to_the_back() -> None:
    volume = torch.zeros(1, 1, 12, 8, 6)
    volume[0, 0, 11, 7, 5] = 1.0  # most to the right, front and top
    shown = _input(spacing_mm=None)(volume)
    assert shown.shape == (1, 1, 6, 12, 8)
    assert shown[0, 0].argmax() == torch.arange(6 * 12 * 8).view(6, 12, 8)[5, 0, 0]


def test_a_smaller_scan_is_padded_about_its_centre() -> None:
    volume = torch.full((1, 1, 12, 8, 6), 0.5)
    shown = _input(spacing_mm=(2, 2, 3), shape=(16, 8, 10), orientation="RAS")(volume)
    assert shown.shape == (1, 1, 10, 16, 8)
    inside = torch.zeros_like(shown, dtype=torch.bool)
    inside[:, :, 2:8, 2:14, :] = True
    assert torch.equal(shown[inside], torch.zeros(int(inside.sum())))
    assert torch.equal(shown[~inside], torch.full((int((~inside).sum()),), -1.0))


def test_a_larger_scan_is_cropped_about_its_centre() -> None:
    volume = torch.rand(1, 1, 12, 8, 6, generator=torch.Generator().manual_seed(0))
    shown = _input(spacing_mm=(2, 2, 3), shape=(4, 8, 2), orientation="RAS")(volume)
    torch.testing.assert_close(shown[0, 0], (volume[0, 0, 4:8, :, 2:4] * 2 - 1).permute(2, 0, 1))


def test_resampling_is_trilinear_as_torch_does_it() -> None:
    volume = torch.rand(2, 1, 12, 8, 6, generator=torch.Generator().manual_seed(1))
    shown = _input(spacing_mm=(1, 1, 1), shape=(24, 16, 18), orientation="RAS")(volume)
    expected = F.interpolate(volume * 2 - 1, size=(24, 16, 18), mode="trilinear", align_corners=False)
    torch.testing.assert_close(shown, expected.permute(0, 1, 4, 2, 3), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("count", "new_count"), [(5, 3), (4, 9), (1, 3)])
def test_the_weights_of_a_position_inside_the_scan_sum_to_one(count: int, new_count: int) -> None:
    total = axis_weights(count, 2.0, new_count, 1.5).sum(axis=1)
    positions = (np.arange(new_count) - (new_count - 1) / 2) * 0.75 + (count - 1) / 2
    np.testing.assert_allclose(total, (positions >= -0.5) & (positions <= count - 0.5), atol=1e-6)


def test_the_published_grid_is_a_cube_of_36_cm() -> None:
    own = CtClipInput()
    assert own.spacing_mm is not None
    assert [count * mm for count, mm in zip(own.shape, own.spacing_mm, strict=True)] == [360, 360, 360]
