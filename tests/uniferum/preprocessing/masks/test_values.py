"""The numbers of a mask mean what its header scales them to, or are refused with the key that tells what they mean."""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from tests.support.raw_scans import AFFINE, IDS_LUNGS, thorax, write_dicom, write_metaimage, write_nifti
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.load import read_volume
from uniferum.preprocessing.formats.source import MaskSource, ScanSource
from uniferum.preprocessing.masks.files import read_layer, read_mask

HU, IDS = thorax()
CUBE = (slice(20, 60), slice(10, 50), slice(0, 40))
SMALL, SMALL_HU = IDS[CUBE], HU[CUBE]
LUNG = np.isin(SMALL, IDS_LUNGS)


def layer(path, name="organ", **keys):
    return read_mask(MaskSource(name, path, **keys), source=ScanSource("s", path.parent / "scan.nii"))[0]


def scaled(path, values, dtype):
    """As nibabel writes floats into an integer type: with a slope and an intercept of its own choosing."""
    image = nibabel.Nifti1Image(np.asarray(values, dtype=np.float64), AFFINE)
    image.set_data_dtype(dtype)
    nibabel.save(image, path)
    return nibabel.load(path).get_fdata()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16])
def test_scale_factors_of_the_header_are_applied_to_labels_values_and_thresholds(tmp_path, dtype):
    path = tmp_path / "mask.nii.gz"
    seen = scaled(path, LUNG * 1.0, dtype)
    np.testing.assert_array_equal(layer(path), seen > 0.5)
    np.testing.assert_array_equal(layer(path, value=1), np.rint(seen) == 1)
    seen = scaled(path, LUNG * 0.9, dtype)
    np.testing.assert_array_equal(layer(path), seen > 0.45)
    np.testing.assert_array_equal(layer(path, threshold=0.5), seen > 0.5)
    with pytest.raises(UniferumError, match="whole numbers"):
        layer(path, value=1)
    seen = scaled(path, SMALL, dtype)
    np.testing.assert_array_equal(layer(path, "totalsegmentator"), np.rint(seen))


def test_an_intercept_of_zero_labels_is_taken_off(tmp_path):
    image = nibabel.Nifti1Image(LUNG.astype(np.int16) + 7, AFFINE)
    image.header["scl_slope"], image.header["scl_inter"] = 1, -7
    nibabel.save(image, tmp_path / "mask.nii")
    # nibabel resets the scale on saving; written into the file where the standard has it.
    with (tmp_path / "mask.nii").open("r+b") as file:
        file.seek(112)
        file.write(np.array([1, -7], "<f4").tobytes())
    np.testing.assert_array_equal(layer(tmp_path / "mask.nii"), LUNG)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint16, np.int8])
@pytest.mark.parametrize("set_to", [1, 100])
def test_zero_and_one_other_number_are_a_mask_whatever_its_type(tmp_path, dtype, set_to):
    path = write_nifti(tmp_path / "mask.nii.gz", (LUNG * set_to).astype(dtype))
    np.testing.assert_array_equal(layer(path), LUNG)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int32])
def test_ids_may_be_stored_in_any_type_and_order(tmp_path, dtype):
    path = write_nifti(tmp_path / "mask.nii.gz", SMALL.astype(dtype))
    np.testing.assert_array_equal(layer(path, "totalsegmentator"), SMALL)


def test_several_values_may_make_one_layer(tmp_path):
    path = write_nifti(tmp_path / "mask.nii.gz", SMALL)
    np.testing.assert_array_equal(layer(path, value=IDS_LUNGS), LUNG)
    with pytest.raises(UniferumError, match="value"):
        layer(path)


def test_a_mask_is_read_alike_from_metaimage_dicom_and_npz(tmp_path):
    meta = write_metaimage(tmp_path / "mask.mhd", LUNG.astype(np.int16) * 255)
    series = write_dicom(tmp_path / "series", LUNG.astype(np.int16))
    np.savez(tmp_path / "mask.npz", ct=LUNG.astype(np.float32), affine=AFFINE)
    for path in (meta, series, tmp_path / "mask.npz"):
        assert layer(path).sum() == LUNG.sum()


def soft(values):
    """A probability map of a mask: smoothed at its borders."""
    from scipy import ndimage

    return ndimage.gaussian_filter(values.astype(np.float32), 1.0)


REFUSED = {
    "probability map": (soft(LUNG), "needs `threshold`"),
    "interpolated mask of 0 and 255": (soft(LUNG * 255.0) - 3, "needs `threshold`"),
    "probabilities in uint8 steps": (np.rint(soft(LUNG) * 100).astype(np.uint8), "set value"),
    "three labels": ((LUNG + (SMALL == 5) * 2).astype(np.uint8), "set value"),
    "labels 1 and 2 without a zero": ((LUNG + 1).astype(np.uint8), "set value"),
    "negative": (-LUNG.astype(np.int16), "set value"),
    "NaN": (np.where(LUNG, 1, np.nan).astype(np.float32), "finite"),
    "infinite": (np.where(LUNG, np.inf, 0).astype(np.float32), "finite"),
    "all ones": (np.ones(SMALL.shape, np.uint8), "whole file"),
    "a CT": (SMALL_HU, "look like a CT"),
    "a CT in float": (SMALL_HU.astype(np.float32) + 0.25, "look like a CT"),
    "a CT without its offset": ((SMALL_HU + 1024).astype(np.uint16), "set value"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_numbers_that_are_no_binary_mask_are_refused_with_the_remedy(tmp_path, kind):
    values, reason = REFUSED[kind]
    with pytest.raises(UniferumError, match=reason):
        layer(write_nifti(tmp_path / "mask.nii.gz", values))


@pytest.mark.parametrize("kind", ["probability map", "NaN", "all ones", "a CT", "negative"])
def test_the_same_are_refused_as_organ_ids(tmp_path, kind):
    with pytest.raises(UniferumError):
        layer(write_nifti(tmp_path / "mask.nii.gz", REFUSED[kind][0]), "totalsegmentator")


def test_a_threshold_makes_a_mask_of_a_probability_map_but_not_of_a_ct(tmp_path):
    path = write_nifti(tmp_path / "mask.nii.gz", soft(LUNG))
    np.testing.assert_array_equal(layer(path, threshold=0.5), soft(LUNG) > 0.5)
    for low in (-0.5, -1e9):
        with pytest.raises(UniferumError, match="go below the threshold"):
            layer(path, threshold=low)
    with pytest.raises(UniferumError, match="look like a CT"):
        layer(write_nifti(path, SMALL_HU), threshold=200)


def test_a_scan_is_not_taken_for_its_own_mask_under_any_name_or_offset(tmp_path):
    source = ScanSource("s", write_nifti(tmp_path / "scan.nii.gz", HU))
    like = read_volume(source)
    with pytest.raises(UniferumError, match="another file than its scan"):
        read_mask(MaskSource("organ", source.path, threshold=0), source=source, like=like)
    copy = write_nifti(tmp_path / "copy.nii.gz", (HU + 1024).astype(np.float32))
    for keys in ({"threshold": 900.0}, {"value": 1064}):
        with pytest.raises(UniferumError, match="those of the scan"):
            read_mask(MaskSource("organ", copy, **keys), source=source, like=like)


def test_what_selects_nothing_says_what_the_file_holds(tmp_path):
    path = write_nifti(tmp_path / "mask.nii.gz", LUNG.astype(np.uint8))
    for keys, said in (
        ({"threshold": 127.5}, "threshold 127.5; the file holds 0, 1"),
        ({"value": 3}, "the value 3; the"),
    ):
        raw = read_layer(MaskSource("organ", path, **keys), source=ScanSource("s", tmp_path / "scan.nii"))
        assert not raw.ids.any()
        assert said in raw.notes[0]


def test_a_simpleitk_reading_of_a_scaled_mask_agrees(tmp_path):
    path = tmp_path / "mask.nii.gz"
    scaled(path, SMALL, np.int16)
    other = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).transpose(2, 1, 0)
    np.testing.assert_array_equal(layer(path, "totalsegmentator"), np.rint(other))


def test_labels_under_a_coarse_scale_are_still_several(tmp_path):
    path = write_nifti(tmp_path / "mask.nii", (LUNG + (SMALL == 5) * 2).astype(np.uint8))
    with path.open("r+b") as file:
        file.seek(112)
        file.write(np.array([2, 0], "<f4").tobytes())
    np.testing.assert_array_equal(np.unique(nibabel.load(path).get_fdata()), [0, 2, 4])
    with pytest.raises(UniferumError, match="0, 2, 4"):
        layer(path)
    np.testing.assert_array_equal(layer(path, value=2), LUNG)


def test_a_binary_mask_given_as_organ_ids_is_flagged(tmp_path):
    path = write_nifti(tmp_path / "mask.nii", LUNG.astype(np.uint8))
    raw = read_layer(MaskSource("totalsegmentator", path), source=ScanSource("s", tmp_path / "scan.nii"))
    assert raw.flags == ("mask_one_class:totalsegmentator",)
