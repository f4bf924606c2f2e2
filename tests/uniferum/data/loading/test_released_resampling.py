"""The resampling of the released code: masks interpolated as the image, rotation and zoom one after the other."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from tests.support.small_stores import PATCH, SMALL, TOKENS, organs, volume
from uniferum.data.loading.augmentation import Draw
from uniferum.data.loading.device import DeviceResampling
from uniferum.data.loading.resample import (
    level_grid,
    moved_source,
    output_grid,
    resample_fractions,
    resample_image,
    resample_mask,
    turned,
)
from uniferum.data.loading.targets import TargetGrid
from uniferum.preprocessing.pipeline import training_level

BOTH = Draw(angles_deg=(8.0, -12.0, 5.0), zoom=1.07)
TARGETS = TargetGrid.of(SMALL.model_shape, TOKENS, PATCH)
HEART = np.zeros(256, np.uint8)
HEART[51] = 1


def sampled(values: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...], spacing: Any, into: Any) -> np.ndarray:
    """Trilinear values by scipy, positions from the definition in mm about the centre."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    mm = (index - (np.array(shape) - 1) / 2) * into
    where = np.moveaxis(mm @ matrix.T / spacing + (np.array(values.shape) - 1) / 2, -1, 0)
    return ndimage.map_coordinates(values.astype(float), where, order=1, mode="nearest")


def stepwise_by_scipy(values: np.ndarray, drawn: Draw) -> np.ndarray:
    stored, output = level_grid(SMALL, "train"), output_grid(SMALL)
    rotated = sampled(values, drawn.rotation(), stored.shape, stored.spacing_mm, stored.spacing_mm)
    return sampled(rotated, drawn.zoomed(), output.shape, stored.spacing_mm, output.spacing_mm)


def test_stepwise_interpolates_twice_and_once_only_once() -> None:
    source = training_level(volume(3), SMALL)
    parts = moved_source(source, BOTH, SMALL, level="train", outside="edge", stepwise=True)
    made = resample_image(*parts, SMALL, level="train")
    # The volume between the two steps is rounded to whole HU.
    np.testing.assert_allclose(made, stepwise_by_scipy(source, BOTH) / 2000 + 0.5, atol=3e-4)
    once = resample_image(source, BOTH.source_from_output(), SMALL, level="train")
    assert np.abs(made - once).mean() > 0.01, "a second interpolation blurs noise further"


@pytest.mark.parametrize("drawn", [Draw(zoom=1.07), Draw(angles_deg=(8.0, 0.0, 0.0)), Draw()])
def test_a_draw_of_one_movement_is_one_interpolation_either_way(drawn: Draw) -> None:
    source = training_level(volume(3), SMALL)
    moved, movement = moved_source(source, drawn, SMALL, level="train", outside="edge", stepwise=True)
    assert moved is source
    assert (movement is None) is not drawn.moves


@pytest.mark.parametrize("stepwise", [False, True])
def test_an_interpolated_mask_is_the_share_of_the_structure_and_then_max_pooled(stepwise: bool) -> None:
    ids = organs(0)
    made = resample_fractions(ids, HEART, BOTH, SMALL, level="train", stepwise=stepwise, pool=2)
    stored, output = level_grid(SMALL, "train"), output_grid(SMALL)
    member = (ids == 51).astype(float)
    fine = (
        stepwise_by_scipy(member, BOTH)
        if stepwise
        else sampled(member, BOTH.source_from_output(), output.shape, stored.spacing_mm, output.spacing_mm)
    )
    x, y, z = output.shape
    pooled = fine.reshape(x // 2, 2, y // 2, 2, z // 2, 2).max(axis=(1, 3, 5))
    np.testing.assert_allclose(made, pooled, atol=1e-3)
    assert ((made > 0.1) & (made < 0.9)).sum() > 20, "targets are fractional"
    nearest = resample_mask(ids, HEART, BOTH.source_from_output(), SMALL, level="train", pool=2)
    assert set(np.unique(nearest)) == {0, 1}


def test_beyond_the_stored_box_air_has_no_structure() -> None:
    full = np.full(SMALL.level_shape, 51, np.uint8)
    far = Draw(zoom=0.5)
    made = resample_fractions(full, HEART, far, SMALL, level="train", outside="air", pool=2)
    assert made[0, 0, 0] == 0.0
    assert made[made.shape[0] // 2, made.shape[1] // 2, made.shape[2] // 2] == 1.0


@pytest.mark.parametrize("outside", ["edge", "air"])
@pytest.mark.parametrize("stepwise", [False, True])
def test_the_device_does_what_the_host_does(stepwise: bool, outside: str) -> None:
    source, ids = training_level(volume(1), SMALL), organs(1)
    left = DeviceResampling(
        sources=torch.from_numpy(source)[None],
        masks=torch.from_numpy(HEART[ids])[None],
        mask_volume=torch.tensor([0]),
        draws=(BOTH,),
        geometry=SMALL,
        level="train",
        outside=outside,
        targets=TARGETS,
        linear_masks=True,
        stepwise=stepwise,
    )
    image, patches = left.on(torch.device("cpu"))
    parts = moved_source(source, BOTH, SMALL, level="train", outside=outside, stepwise=stepwise)
    np.testing.assert_allclose(
        image[0, 0].numpy(), resample_image(*parts, SMALL, level="train", outside=outside), atol=1e-3
    )
    kept = resample_fractions(
        ids, HEART, BOTH, SMALL, level="train", outside=outside, stepwise=stepwise, pool=TARGETS.pool
    )
    np.testing.assert_allclose(patches[0].numpy(), TARGETS.to_patches(kept), atol=1e-3)


def test_a_level_turned_by_nothing_is_itself() -> None:
    source = training_level(volume(2), SMALL)
    np.testing.assert_array_equal(turned(source, np.eye(3), SMALL, level="train"), source)
