"""The body's centre against scikit-image's hull, and the lungs with and without a cut field of view."""

import numpy as np
import pytest
from skimage.measure import label, regionprops
from skimage.morphology import convex_hull_image

from tests.support.raw_scans import AFFINE, IDS_LUNGS, thorax
from uniferum.preprocessing import body, lungs
from uniferum.preprocessing.volume import Volume

HU, IDS = thorax(noise=30)


def test_the_largest_component_is_scikit_images():
    tissue = (HU >= -150) & (HU <= 250)
    labels = label(tissue, connectivity=1)
    largest = max(regionprops(labels), key=lambda region: region.area).label
    np.testing.assert_array_equal(body.largest_soft_tissue(HU, -150, 250), labels == largest)


def test_air_alone_has_no_body():
    assert body.largest_soft_tissue(np.full((4, 4, 4), -1000, np.int16), -150, 250) is None


def test_the_hull_centre_is_the_centre_of_scikit_images_hulls():
    shape = np.zeros((40, 50, 3), dtype=bool)
    shape[5:30, 8:20, 0] = True
    shape[20:25, 8:45, 0] = True
    shape[np.hypot(*np.ogrid[-10:30, -25:25]) < 9, 1] = True
    hulls = np.stack([convex_hull_image(shape[:, :, k]) for k in range(2)], axis=2)
    wanted = np.argwhere(hulls)[:, :2].mean(axis=0)
    np.testing.assert_allclose(body.hull_centre(shape), wanted, atol=0.2)


def test_hull_and_component_centres_differ_where_the_body_is_concave():
    shape = np.zeros((30, 30, 1), dtype=bool)
    shape[5:25, 5:8, 0] = shape[5:8, 5:25, 0] = True
    assert np.hypot(*(np.array(body.hull_centre(shape)) - body.component_centre(shape))) > 1


@pytest.mark.parametrize("rows", [slice(0, 20), slice(0, 1)])
def test_a_body_that_ends_at_a_side_is_cut(rows):
    shape = np.zeros((20, 20, 10), dtype=bool)
    shape[5:15, 5:15] = True
    assert not body.touches_sides(shape)
    shape[rows, 5:15] = True
    assert body.touches_sides(shape)


def test_block_means_lie_where_their_blocks_lie():
    small = body.reduced(Volume(HU, AFFINE), 8.5)
    assert small.spacing_mm == (8, 8, 5)
    np.testing.assert_allclose(small.affine @ [0, 0, 0, 1], AFFINE @ [0.5, 0.5, 0, 1])


def _found(hu):
    tissue = body.largest_soft_tissue(hu, -150, 250)
    assert tissue is not None
    return lungs.find_lungs(Volume(hu, AFFINE), tissue)


def test_lungs_found_by_threshold_overlap_the_true_ones():
    lung, true = _found(HU), np.isin(IDS, IDS_LUNGS)
    assert lung is not None
    assert 2 * (lung & true).sum() / (lung.sum() + true.sum()) > 0.95


def test_their_limits_are_those_of_the_mask_within_a_slice():
    lung = _found(HU)
    assert lung is not None
    by_mask = lungs.limits_from_mask(IDS, AFFINE, IDS_LUNGS)
    assert by_mask == pytest.approx(lungs.limits_from_found(lung, AFFINE), abs=5.01)


def test_a_field_of_view_that_cuts_through_a_lung_still_shows_it():
    lung = _found(np.ascontiguousarray(HU[30:60, 20:60, 20:50]))
    assert lung is not None
    assert (lung & np.isin(IDS, IDS_LUNGS)[30:60, 20:60, 20:50]).sum() > 0.8 * lung.sum()


def test_a_limb_and_the_room_beside_it_hold_no_lung():
    limb = np.random.default_rng(0).normal(-985, 15, (60, 60, 40))
    limb[10:50, 20:45] = 40
    assert _found(np.rint(limb).astype(np.int16)) is None


def test_stray_voxels_are_no_lung():
    few = np.zeros_like(IDS)
    few[40:43, 30:33, 20:23] = 10
    assert lungs.limits_from_mask(few, AFFINE, IDS_LUNGS) is None


def test_a_lung_mask_that_lies_in_soft_tissue_is_seen_through():
    liver = (IDS == 5).astype(np.uint8)
    small = Volume(HU, AFFINE)
    assert not lungs.holds_air(liver, AFFINE, (1,), small)
    assert lungs.holds_air(IDS, AFFINE, IDS_LUNGS, small)
