"""Reorientation, resampling, cropping: against nibabel and scipy, and there and back."""

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from tests.support.raw_scans import AFFINE, thorax, turned
from uniferum.preprocessing import resampling
from uniferum.preprocessing.volume import Volume, reorient_to_ras, resample

RANDOM = np.random.default_rng(0).integers(-1000, 1000, (11, 13, 17)).astype(np.int16)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "RPI", "PIR", "SAL", "IPL", "ASR"])
def test_every_orientation_comes_back_to_the_same_ras_voxels(codes):
    stored, affine = turned(RANDOM, AFFINE, codes)
    volume = reorient_to_ras(Volume(stored, affine))
    np.testing.assert_array_equal(volume.hu, RANDOM)
    np.testing.assert_allclose(volume.affine, AFFINE)
    assert np.shares_memory(volume.hu, stored)


def test_oblique_axes_go_to_the_nearest_world_axis():
    turn = np.deg2rad(20)
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    stored, affine = turned(RANDOM, rotation @ AFFINE, "LPS")
    volume = reorient_to_ras(Volume(stored, affine))
    assert nibabel.aff2axcodes(volume.affine) == ("R", "A", "S")
    np.testing.assert_array_equal(volume.hu, RANDOM)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAL"])
def test_linear_resampling_equals_scipys(codes):
    hu, _ = thorax(noise=20)
    stored, affine = turned(hu, AFFINE, codes)
    target = np.diag([3.0, 3.5, 4.5, 1.0])
    target[:3, 3] = (-150, -100, -80)
    got = resample(Volume(stored, affine), target, (60, 50, 40)).hu
    matrix = np.linalg.inv(AFFINE) @ target
    index = np.indices((60, 50, 40)).reshape(3, -1)
    at = matrix[:3, :3] @ index + matrix[:3, 3:]
    wanted = ndimage.map_coordinates(hu.astype(np.float64), at, order=1, mode="nearest").reshape(60, 50, 40)
    assert np.abs(got - wanted).max() <= 0.51


def test_the_oblique_kernel_agrees_with_the_axis_aligned_one():
    matrix = np.diag([0.8, 1.3, 0.9, 1.0])
    matrix[:3, 3] = (0.4, -0.2, 0.7)
    straight = resampling.linear(RANDOM, matrix, (10, 9, 15), fill=-1000)
    tilted = resampling._linear_affine(RANDOM, np.ascontiguousarray(matrix[:3]), (10, 9, 15), np.int16(-1000))
    assert np.abs(straight.astype(int) - tilted).max() <= 1


def test_outside_the_field_of_view_is_fill_and_half_a_voxel_of_edge_is_kept():
    hu = np.full((4, 4, 4), 100, dtype=np.int16)
    target = np.eye(4)
    target[0, 3] = -2.0
    got = resample(Volume(hu, np.eye(4)), target, (8, 4, 4), fill=-1000).hu
    assert got[:, 0, 0].tolist() == [-1000, -1000, 100, 100, 100, 100, -1000, -1000]
    shifted = np.eye(4)
    shifted[0, 3] = -0.5
    assert resample(Volume(hu, np.eye(4)), shifted, (1, 1, 1)).hu.item() == 100


def test_block_means_are_means():
    got = resampling.block_mean(RANDOM, (2, 3, 4))
    wanted = RANDOM[:10, :12, :16].reshape(5, 2, 4, 3, 4, 4).mean(axis=(1, 3, 5))
    assert np.abs(got - wanted).max() <= 0.5


@pytest.mark.parametrize("codes", ["RAS", "LPI", "SAR"])
def test_nearest_resampling_picks_the_voxel_whose_centre_is_nearest(codes):
    ids = np.random.default_rng(1).integers(0, 118, (9, 8, 7)).astype(np.uint8)
    stored, affine = turned(ids, AFFINE, codes)
    target = np.diag([3.1, 2.7, 3.3, 1.0])
    target[:3, 3] = (-170.7, -121.3, -103.1)
    got = resampling.nearest(stored, np.linalg.inv(affine) @ target, (14, 13, 12))
    matrix = np.linalg.inv(AFFINE) @ target
    for index in np.ndindex(14, 13, 12):
        at = np.rint((matrix @ [*index, 1])[:3]).astype(int)
        inside = all(0 <= a < n for a, n in zip(at, ids.shape, strict=True))
        assert got[index] == (ids[tuple(at)] if inside else 0)
