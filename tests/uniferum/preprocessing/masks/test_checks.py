"""Checks of a mask against its scan: inside the scan, inside the body, on the expected tissue."""

import numpy as np
import pytest

from tests.support.raw_scans import AFFINE, LIVER, LUNG, TISSUE, thorax, write_nifti
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.source import MaskSource, ScanSource, Sphere
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.pipeline import PreparationConfig, prepare

CONFIG = PreparationConfig(geometry=Geometry(spacing_mm=(4, 4, 4), model_shape=(64, 40, 32)), levels=("full",))
HU, IDS = thorax()
WRONG = {
    "mask_outside_scan",
    "mask_outside_body",
    "mask_mirrored",
    "mask_displaced",
    "lost_mask",
    "mask_shifted",
    "mask_not_tissue",
}


def made(tmp_path, *masks, hu=HU, config=CONFIG):
    return prepare(ScanSource("s", write_nifti(tmp_path / "scan.nii", hu), masks=masks), config)


def on_disk(tmp_path, name, array, affine=AFFINE, **keys):
    return MaskSource(name, write_nifti(tmp_path / f"{name}.nii", array.astype(np.uint8), affine), **keys)


def wrong(prepared, layer):
    return {flag.partition(":")[0] for flag in prepared.flags if flag.endswith(f":{layer}")} & WRONG


def test_sound_masks_are_not_flagged(tmp_path):
    organs = on_disk(tmp_path, "totalsegmentator", IDS)
    lungs = on_disk(tmp_path, "lungs", np.isin(IDS, (10, 12)))
    assert not {flag for flag in made(tmp_path, organs, lungs).flags if "mask" in flag}


@pytest.mark.parametrize("axes", [(0,), (1, 2), (2,), (0, 1)])
@pytest.mark.parametrize("layer", ["totalsegmentator", "lungs"])
def test_a_mask_that_was_mirrored_in_its_file_is_flagged(tmp_path, layer, axes):
    array = IDS if layer == "totalsegmentator" else np.isin(IDS, (10, 12))
    prepared = made(tmp_path, on_disk(tmp_path, layer, np.flip(array, axes)))
    assert "mask_mirrored" in wrong(prepared, layer)
    assert any("mirror image of" in note for note in prepared.notes)


def test_organs_that_lie_aside_are_flagged_with_the_way_back(tmp_path):
    away = AFFINE.copy()
    away[2, 3] += 25
    cut = np.isin(IDS, (10, 12))[:, :, 2:-2]
    prepared = made(tmp_path, on_disk(tmp_path, "lungs", cut, away))
    assert wrong(prepared, "lungs") == {"mask_displaced"}
    assert any("moved by" in note for note in prepared.notes)


def test_a_mask_beside_the_body_is_flagged_with_its_share_inside(tmp_path):
    lesion = np.zeros_like(IDS)
    lesion[1:5, 1:5, 20:30] = 1
    lesion[40:42, 35:37, 25:28] = 1
    prepared = made(tmp_path, on_disk(tmp_path, "nodule", lesion))
    assert wrong(prepared, "nodule") == {"mask_outside_body"}
    assert any("100% of its voxels are inside the scan, and 7% of those inside the body" in n for n in prepared.notes)


def test_a_mask_mostly_outside_its_scan_is_flagged_and_one_wholly_outside_refused(tmp_path):
    away = AFFINE.copy()
    away[:3, 3] += AFFINE[:3, :3] @ [0, 0, 45]
    there = np.zeros((90, 70, 40), dtype=np.uint8)
    there[40:50, 30:40, 3:30] = 1
    assert wrong(made(tmp_path, on_disk(tmp_path, "nodule", there, away)), "nodule") == {"mask_outside_scan"}
    there[:, :, :12] = 0
    beside = on_disk(tmp_path, "nodule", there, away)
    with pytest.raises(UniferumError, match="must overlap its scan; none of its 1800 voxels"):
        made(tmp_path, beside)
    kept = made(tmp_path, beside, config=CONFIG.replace(keep_with_bad_mask=True))
    assert "bad_mask:nodule" in kept.flags
    assert kept.masks == {}


def test_a_mask_that_the_box_loses_is_said_so_with_the_voxels_it_had(tmp_path):
    low = np.zeros_like(IDS)
    low[40:50, 30:40, :2] = 1
    assert HU[45, 35, 0] == TISSUE
    prepared = made(tmp_path, on_disk(tmp_path, "nodule", low))
    assert "lost_mask:nodule" in prepared.flags
    assert any("of 200 voxels in the file, none is within the kept heights" in note for note in prepared.notes)


def test_an_empty_mask_is_empty_not_lost(tmp_path):
    prepared = made(tmp_path, on_disk(tmp_path, "nodule", np.zeros_like(IDS)))
    assert [flag for flag in prepared.flags if "mask" in flag] == ["empty_mask:nodule"]


def test_masks_of_one_binary_layer_are_laid_together(tmp_path):
    one, two = np.zeros_like(IDS), np.zeros_like(IDS)
    one[60:64, 35:39, 30:33], two[20:24, 35:39, 30:33] = 1, 1
    masks = [MaskSource("nodule", write_nifti(tmp_path / f"{n}.nii", array)) for n, array in enumerate((one, two))]
    both = made(tmp_path, *masks).masks["nodule"]["full"]
    assert both.sum() == sum(made(tmp_path, mask).masks["nodule"]["full"].sum() for mask in masks)
    organs = on_disk(tmp_path, "totalsegmentator", IDS)
    with pytest.raises(UniferumError, match="name TotalSegmentator's output once"):
        made(tmp_path, organs, organs)


def test_spheres_outside_the_scan_or_the_body_are_counted(tmp_path):
    inside, beside, away = Sphere((60.0, 0.0, 50.0), 20.0), Sphere((165.0, -110.0, 50.0), 8.0), Sphere((0, 0, 900.0), 8)
    prepared = made(tmp_path, MaskSource("nodule", spheres=(inside, beside, away)))
    assert wrong(prepared, "nodule") == {"mask_outside_scan", "mask_outside_body"}
    assert "mask nodule: 1 of 3 spheres have their centre outside the scan" in prepared.notes
    assert "mask nodule: 1 of 3 spheres have their centre outside the body" in prepared.notes
    assert not wrong(made(tmp_path, MaskSource("nodule", spheres=(inside,))), "nodule")
    lost = made(tmp_path, MaskSource("nodule", spheres=(away,)))
    assert "lost_mask:nodule" in lost.flags
    assert any("of 1 spheres in the file, none is" in note for note in lost.notes)


@pytest.mark.parametrize("sick", [(10,), (12,), (10, 12)])
def test_consolidated_lungs_are_still_where_their_mask_is(tmp_path, sick):
    hu = np.where(np.isin(IDS, sick), TISSUE, HU).astype(np.int16)
    assert not wrong(made(tmp_path, on_disk(tmp_path, "totalsegmentator", IDS), hu=hu), "totalsegmentator")


def test_a_liver_in_the_lung_is_flagged(tmp_path):
    assert np.median(HU[IDS == 12]) == LUNG
    liver = IDS == LIVER
    assert wrong(made(tmp_path, on_disk(tmp_path, "liver", liver)), "liver") == set()
    assert "mask_mirrored" in wrong(made(tmp_path, on_disk(tmp_path, "liver", np.flip(liver, 2))), "liver")


def test_a_liver_on_nothing_but_lung_is_flagged(tmp_path):
    assert "mask_not_tissue" in wrong(made(tmp_path, on_disk(tmp_path, "liver", IDS == 12)), "liver")


def test_a_liver_on_the_left_is_flagged_for_its_side(tmp_path):
    prepared = made(tmp_path, on_disk(tmp_path, "liver", np.flip(IDS == LIVER, 0)))
    assert "mask_mirrored" in wrong(prepared, "liver")
    assert any("its liver is on the patient's left" in note for note in prepared.notes)


@pytest.mark.parametrize(
    ("number", "other", "said"),
    [(10, 12, "its left lung is not to the left of its right lung"), (LIVER, 51, "its liver is not below")],
)
def test_ids_that_were_exchanged_are_flagged_by_the_order_of_organs(tmp_path, number, other, said):
    ids = IDS.copy()
    ids[35:50, 38:50, 22:32] = 51
    exchanged = np.where(ids == number, other, np.where(ids == other, number, ids))
    prepared = made(tmp_path, on_disk(tmp_path, "totalsegmentator", exchanged))
    assert "mask_mirrored" in wrong(prepared, "totalsegmentator")
    assert any(said in note for note in prepared.notes)


def test_ids_of_version_1_are_refused_by_the_lung_in_its_oesophagus(tmp_path):
    old = np.where(IDS == 10, 13, np.where(IDS == 12, 15, IDS))
    with pytest.raises(UniferumError, match=r"come from TotalSegmentator 2; its oesophagus and thyroid gland .* ml of"):
        made(tmp_path, on_disk(tmp_path, "totalsegmentator", old))
