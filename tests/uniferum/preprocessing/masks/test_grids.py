"""Masks resampled to the grid of their scan keep their position and every structure."""

import numpy as np
import pytest

from tests.support.raw_scans import AFFINE, thorax, turned
from uniferum.preprocessing.formats.source import Sphere
from uniferum.preprocessing.masks import grids

_, IDS = thorax()
COARSE = np.diag([16.0, 16.0, 20.0, 1.0])
COARSE[:3, 3] = (-167, -117, -97)
COARSE_SHAPE = (22, 17, 14)


def centre_mm(mask, affine):
    return affine[:3, :3] @ np.argwhere(mask).mean(axis=0) + affine[:3, 3]


@pytest.mark.parametrize("codes", ["RAS", "LPS", "ASL"])
def test_a_structure_stays_where_it_is_in_the_world(codes):
    stored, affine = turned(IDS, AFFINE, codes)
    out, kept = grids.onto_grid(stored, affine, COARSE, COARSE_SHAPE)
    assert kept == 0
    for number in (5, 10, 12):
        there, back = centre_mm(number == IDS, AFFINE), centre_mm(out == number, COARSE)
        assert np.abs(there - back).max() < 8
        volume = (out == number).sum() * 16 * 16 * 20 / ((number == IDS).sum() * 80)
        assert volume == pytest.approx(1, abs=0.2)


def test_a_nodule_smaller_than_a_voxel_keeps_the_nearest_one_and_is_counted():
    nodules = np.zeros(IDS.shape, np.uint8)
    voxels = [(10, 10, 10), (50, 40, 30), (81, 62, 50)]
    for voxel in voxels:
        nodules[voxel] = 1
    out, kept = grids.onto_grid(nodules, AFFINE, COARSE, COARSE_SHAPE)
    sampled = (np.linalg.inv(COARSE) @ AFFINE @ np.array([[*voxel, 1] for voxel in voxels]).T)[:3].T
    assert out.sum() == len(voxels)
    assert kept == sum(np.abs(at - np.rint(at)).max() * 16 > 2 for at in sampled)
    for at in sampled:
        assert out[tuple(np.rint(at).astype(int))] == 1


def test_an_organ_that_would_vanish_keeps_a_voxel_and_takes_nobodys_last_one():
    ids = np.zeros(IDS.shape, np.uint8)
    ids[41:43, 31:33, 21:23] = 15
    ids[60:80, 10:30, 10:30] = 5
    out, kept = grids.onto_grid(ids, AFFINE, COARSE, COARSE_SHAPE)
    assert kept == 1
    assert (out == 15).sum() == 1


def test_what_lies_outside_the_grid_is_not_pulled_in():
    ids = np.zeros(IDS.shape, np.uint8)
    ids[0, 0, 0] = 1
    away = COARSE.copy()
    away[:3, 3] += 200
    out, kept = grids.onto_grid(ids, AFFINE, away, COARSE_SHAPE)
    assert (out.any(), kept) == (False, 0)


def test_a_sphere_has_its_diameter_and_its_centre():
    fine = np.diag([1.0, 1.0, 2.0, 1.0])
    out, kept = grids.draw_spheres([Sphere((20.0, 21.0, 30.0), 16.0)], fine, (50, 50, 30))
    assert kept == 0
    np.testing.assert_allclose(centre_mm(out, fine), (20, 21, 30), atol=0.2)
    assert out.sum() * 2 == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.05)


def test_a_tiny_sphere_keeps_the_nearest_voxel_and_one_outside_is_not_drawn():
    spheres = [Sphere((0.0, 0.0, 0.0), 3.0), Sphere((9999.0, 0.0, 0.0), 30.0)]
    out, kept = grids.draw_spheres(spheres, COARSE, COARSE_SHAPE)
    assert (int(out.sum()), kept) == (1, 1)
    assert np.abs(centre_mm(out, COARSE)).max() <= 10


def test_a_sphere_at_the_border_is_cut_not_dropped():
    out, _ = grids.draw_spheres([Sphere((0.0, 10.0, 10.0), 10.0)], np.eye(4), (20, 20, 20))
    assert out[0].any()
    assert not out[6:].any()
