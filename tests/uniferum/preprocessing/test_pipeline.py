"""Preparation as in paper 3.5, on a synthetic thorax of known parts."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.support.raw_scans import AFFINE, FAT, LIVER, TISSUE, thorax, turned, write_nifti
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.source import MaskSource, ScanSource, Sphere
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.pipeline import PreparationConfig, prepare, training_level

# The paper's box in voxels of 2 mm: everything is the paper's but eight times faster.
GEOMETRY = Geometry(spacing_mm=(2, 2, 2), model_shape=(128, 80, 64))
CONFIG = PreparationConfig(geometry=GEOMETRY, levels=("train", "full"))
HU, IDS = thorax()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    stored, affine = turned(HU, AFFINE, "LPS")
    scan = write_nifti(folder / "scan.nii.gz", stored, affine)
    mask = write_nifti(folder / "mask.nii.gz", IDS)
    return ScanSource("s", scan, masks=(MaskSource("totalsegmentator", mask),))


@pytest.fixture(scope="module")
def prepared(source):
    return prepare(source, CONFIG)


def test_levels_have_their_shapes_and_lie_within_the_clip(prepared):
    assert prepared.levels["full"].shape == (208, 168, 128)
    assert prepared.levels["train"].shape == GEOMETRY.level_shape
    assert all(hu.dtype == np.int16 for hu in prepared.levels.values())
    assert prepared.levels["full"].min() >= -1000
    assert prepared.lung_source == "mask"


@pytest.mark.parametrize("level", ["train", "full"])
def test_a_point_of_the_raw_scan_lands_within_a_voxel_of_its_place(prepared, level):
    affine = prepared.affine[level]
    for number in (10, 12):
        raw = AFFINE[:3, :3] @ np.argwhere(number == IDS).mean(axis=0) + AFFINE[:3, 3]
        at = np.argwhere(prepared.masks["totalsegmentator"][level] == number).mean(axis=0)
        assert np.abs(np.linalg.inv(affine) @ [*raw, 1] - [*at, 1])[:3].max() < 1


def test_hu_of_air_lung_water_and_bone_are_preserved(prepared):
    full, ids = prepared.levels["full"], prepared.masks["totalsegmentator"]["full"]
    assert full[0, 0, 60] == -1000
    assert np.median(full[ids == 10]) == pytest.approx(-850, abs=1)
    assert np.median(full[ids == 35]) == pytest.approx(400, abs=1)
    assert np.median(prepared.levels["train"][prepared.masks["totalsegmentator"]["train"] == 12]) == -850


def test_right_is_the_larger_lung_and_stands_at_larger_x(prepared):
    ids = prepared.masks["totalsegmentator"]["full"]
    assert (ids == 12).sum() > (ids == 10).sum()
    assert np.argwhere(ids == 12)[:, 0].mean() > np.argwhere(ids == 10)[:, 0].mean()


def test_slices_more_than_5_mm_beyond_the_lungs_are_discarded_and_the_rest_centred(prepared):
    lung = np.flatnonzero(np.isin(IDS, (10, 12)).any(axis=(0, 1)))
    heights = AFFINE[2, 3] + 5 * lung[[0, -1]]
    assert prepared.z_range_mm == (heights[0] - 5, heights[1] + 5)
    body = np.flatnonzero((prepared.levels["full"] > -500).any(axis=(0, 1)))
    z_mm = prepared.affine["full"][2, 3] + 2 * body
    assert z_mm.min() >= heights[0] - 5 - 1
    assert z_mm.max() <= heights[1] + 5 + 1
    assert (z_mm.min() + z_mm.max()) / 2 == pytest.approx(prepared.centre_mm[2], abs=2)


def test_the_body_is_centred_in_x_and_y(prepared):
    full = prepared.levels["full"] > -500
    for axis in (0, 1):
        reach = np.flatnonzero(full.any(axis=tuple(a for a in range(3) if a != axis)))
        assert reach.mean() == pytest.approx((full.shape[axis] - 1) / 2, abs=1.5)


def test_the_training_level_is_torchs_area_resize_of_the_centred_crop():
    geometry = Geometry()
    full = np.random.default_rng(0).integers(-1000, 1001, geometry.box_shape).astype(np.int16)
    level = training_level(full, geometry)
    assert level.shape == (276, 168, 128)
    crop = torch.from_numpy(full[16:400, 8:328].astype(np.float32))[None, None]
    wanted = torch.nn.functional.interpolate(crop, size=(256, 160, 128), mode="area")[0, 0].numpy()
    assert np.abs(level[10:266, 4:164] - wanted).max() <= 0.5 + 1e-3


def test_without_a_mask_the_lungs_are_found_and_marked_so(source):
    unmasked = prepare(ScanSource("s", source.path), CONFIG)
    assert unmasked.lung_source == "threshold"
    assert unmasked.z_range_mm == pytest.approx(prepare(source, CONFIG).z_range_mm, abs=5.01)


def test_without_a_lung_a_scan_is_flagged_keeps_its_heights_and_may_be_excluded(tmp_path):
    leg = np.where(np.isin(IDS, (10, 12)), TISSUE, HU).astype(np.int16)
    scan = ScanSource("leg", write_nifti(tmp_path / "leg.nii.gz", leg))
    prepared = prepare(scan, CONFIG)
    assert "no_lung" in prepared.flags
    assert prepared.lung_source == "none"
    assert prepared.z_range_mm == (-100, 175)
    with pytest.raises(UniferumError, match="must show a lung"):
        prepare(scan, CONFIG.replace(exclude_without_lung=True))


def test_a_lung_mask_of_other_organs_is_not_believed(tmp_path, source):
    wrong = np.where(IDS == LIVER, 13, 0).astype(np.uint8)
    layer = MaskSource("totalsegmentator", write_nifti(tmp_path / "mask.nii.gz", wrong))
    prepared = prepare(ScanSource("s", source.path, masks=(layer,)), CONFIG)
    assert "lung_mask_not_air" in prepared.flags
    assert prepared.lung_source == "threshold"


def test_an_empty_mask_is_flagged_and_one_beside_the_scan_refused(tmp_path, source):
    empty = MaskSource("nodule", write_nifti(tmp_path / "empty.nii.gz", np.zeros_like(IDS)))
    assert "empty_mask:nodule" in prepare(ScanSource("s", source.path, masks=(empty,)), CONFIG).flags
    away = AFFINE.copy()
    away[:3, 3] += 5000
    beside = MaskSource("nodule", write_nifti(tmp_path / "beside.nii.gz", (IDS == LIVER).astype(np.uint8)[5:], away))
    scan = ScanSource("s", source.path, masks=(beside,))
    with pytest.raises(UniferumError, match="overlap"):
        prepare(scan, CONFIG)
    kept = prepare(scan, CONFIG.replace(keep_with_bad_mask=True))
    assert "bad_mask:nodule" in kept.flags
    assert kept.masks == {}


def test_a_mask_on_a_finer_grid_of_another_orientation_lands_in_the_same_place(tmp_path, source):
    fine = np.repeat(np.repeat(IDS, 2, axis=0), 2, axis=1)[20:]
    affine = AFFINE @ np.diag([0.5, 0.5, 1, 1])
    affine[:3, 3] += [-1 + 20 * 2, -1, 0]
    stored, affine = turned(fine, affine, "PLI")
    layer = MaskSource("totalsegmentator", write_nifti(tmp_path / "fine.nii.gz", stored, affine))
    got = prepare(ScanSource("s", source.path, masks=(layer,)), CONFIG).masks["totalsegmentator"]["full"]
    wanted = prepare(source, CONFIG).masks["totalsegmentator"]["full"]
    assert (got == wanted).mean() > 0.999


def test_spheres_are_drawn_at_their_world_place(source):
    layer = MaskSource("nodule", spheres=(Sphere((60.0, 20.0, 60.0), 30.0), Sphere((-70.0, 0.0, 40.0), 0.5)))
    prepared = prepare(ScanSource("s", source.path, masks=(layer,)), CONFIG)
    full = prepared.masks["nodule"]["full"]
    assert prepared.kept_voxels == 1
    at = np.linalg.inv(prepared.affine["full"]) @ [60, 20, 60, 1]
    assert full[tuple(np.rint(at[:3]).astype(int))] == 1
    assert (full.sum() - 1) * 8 == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.05)


def test_released_preset_is_the_released_codes_set_and_keys_outrank_it():
    released = PreparationConfig.model_validate({"preset": "released"})
    assert released.soft_tissue_hu == (-150, None)
    assert (released.hull, released.cut_to_body, released.find_lungs) == (False, True, False)
    assert released.lung_margin_mm == 0
    assert PreparationConfig.model_validate({"preset": "released", "hull": True}).hull
    assert PreparationConfig.model_validate(released.model_dump()) == released


def test_released_preset_drops_the_last_lung_slice_and_what_lies_beside_the_body(tmp_path):
    with_table = HU.copy()
    with_table[:, 1:3, :] = np.where(with_table[:, 1:3] < FAT, 100, with_table[:, 1:3])
    mask = MaskSource("totalsegmentator", write_nifti(tmp_path / "mask.nii.gz", IDS))
    scan = ScanSource("s", write_nifti(tmp_path / "scan.nii.gz", with_table), masks=(mask,))
    paper = prepare(scan, CONFIG)
    released = prepare(
        scan, PreparationConfig.model_validate({"preset": "released", "geometry": GEOMETRY, "levels": ["full"]})
    )
    assert released.z_range_mm == (paper.z_range_mm[0] + 5, paper.z_range_mm[1] - 10)
    assert (paper.levels["full"] == 100).any()
    assert not (released.levels["full"] == 100).any()


def test_a_coarse_grid_averages_what_it_skips(tmp_path):
    checkers = np.indices((60, 60, 60)).sum(axis=0) % 2
    hu = np.where(checkers == 1, 200, 0).astype(np.int16)
    scan = ScanSource("s", write_nifti(tmp_path / "scan.nii.gz", hu, np.eye(4)))
    geometry = Geometry(spacing_mm=(4, 4, 4), model_shape=(48, 40, 32))
    coarse = PreparationConfig(geometry=geometry, levels=("full",))
    full = prepare(scan, coarse).levels["full"]
    inside = full[full > -1000]
    assert np.abs(inside - 100.0).max() <= 1


@pytest.mark.parametrize("bad", [{"hu_clip": (5, 5)}, {"levels": ()}, {"soft_tissue_hu": (250, -150)}, {"hul": True}])
def test_settings_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValidationError):
        PreparationConfig.model_validate(bad)
