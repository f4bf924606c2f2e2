"""Every format of a scan gives the same volume, and every form of a mask the same ids."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.support.raw_scans import (
    AFFINE,
    thorax,
    turned,
    write_dicom,
    write_metaimage,
    write_nifti,
)
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.load import read_volume
from uniferum.preprocessing.formats.source import Intensity, MaskSource, ScanSource
from uniferum.preprocessing.masks.files import read_mask

HU, IDS = thorax(noise=15)


def read(path: Path, **said):
    return read_volume(ScanSource("s", path, **said))


class TestFormats:
    @pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "PSR"])
    def test_nifti_in_any_orientation(self, tmp_path, codes):
        stored, affine = turned(HU, AFFINE, codes)
        volume = read(write_nifti(tmp_path / "scan.nii.gz", stored, affine))
        np.testing.assert_array_equal(volume.hu, HU)
        np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-4)
        assert volume.flags == ()

    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int16])
    def test_nifti_of_any_number_type_plain_or_big_endian(self, tmp_path, dtype):
        image = nibabel.Nifti1Image(HU.astype(dtype), AFFINE, dtype=dtype)
        swapped = nibabel.Nifti1Image(HU.astype(dtype), AFFINE, image.header.as_byteswapped(">"))
        swapped.to_filename(tmp_path / "scan.nii")
        np.testing.assert_array_equal(read(tmp_path / "scan.nii").hu, HU)

    def test_nifti_slope_and_intercept_of_the_header_are_applied(self, tmp_path):
        image = nibabel.Nifti1Image((HU + 1024).astype(np.int16), AFFINE)
        image.header.set_slope_inter(1.0, -1024.0)
        image.to_filename(tmp_path / "scan.nii.gz")
        np.testing.assert_array_equal(read(tmp_path / "scan.nii.gz").hu, HU)

    def test_the_cohorts_own_intensity_replaces_the_headers(self, tmp_path):
        image = nibabel.Nifti1Image((HU + 8192).astype(np.int16), AFFINE)
        image.header.set_slope_inter(3.0, 7.0)
        image.to_filename(tmp_path / "scan.nii.gz")
        np.testing.assert_array_equal(read(tmp_path / "scan.nii.gz", intensity=Intensity(1, -8192)).hu, HU)

    @pytest.mark.parametrize("codes", ["LPS", "RAS", "RPS"])
    def test_metaimage_is_lps_and_its_direction_is_applied(self, tmp_path, codes):
        stored, affine = turned(HU, AFFINE, codes)
        volume = read(write_metaimage(tmp_path / "scan.mhd", stored, affine))
        np.testing.assert_array_equal(volume.hu, HU)
        np.testing.assert_allclose(volume.affine, AFFINE)

    def test_metaimage_agrees_with_simpleitk(self, tmp_path):
        sitk = pytest.importorskip("SimpleITK")
        stored, affine = turned(HU, AFFINE, "ASL")
        path = write_metaimage(tmp_path / "scan.mhd", stored, affine)
        image = sitk.ReadImage(str(path))
        index = (3, 5, 7)
        volume = read(path)
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        there = np.rint(np.linalg.inv(volume.affine) @ [-lps[0], -lps[1], lps[2], 1])[:3].astype(int)
        assert volume.hu[tuple(there)] == image.GetPixel(index)

    def test_npz_takes_the_cohorts_affine(self, tmp_path):
        stored, affine = turned(HU, AFFINE, "IPL")
        np.savez_compressed(tmp_path / "scan.npz", ct=stored)
        given = tuple(tuple(float(v) for v in row) for row in affine)
        volume = read(tmp_path / "scan.npz", affine=given, known_hu_clip=(-1000, 1000))
        np.testing.assert_array_equal(volume.hu, HU)
        np.testing.assert_allclose(volume.affine, AFFINE)

    def test_dicom_slices_are_sorted_and_other_objects_beside_them_ignored(self, tmp_path):
        stored, affine = turned(HU, AFFINE, "LPS")
        folder = write_dicom(tmp_path / "series", stored, affine)
        (folder / "README.txt").write_text("no slice")
        volume = read(folder)
        np.testing.assert_array_equal(volume.hu, HU)
        np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-3)
        assert volume.flags == ()

    def test_a_missing_slice_is_filled_in_and_flagged(self, tmp_path):
        stored, affine = turned(HU, AFFINE, "LPS")
        volume = read(write_dicom(tmp_path / "series", stored, affine, skip=(20,)))
        assert volume.flags == ("missing_slices",)
        between = (HU[:, :, 19].astype(float) + HU[:, :, 21]) / 2
        assert np.abs(volume.hu[:, :, 20] - between).max() <= 0.51
        np.testing.assert_array_equal(volume.hu[:, :, 21:], HU[:, :, 21:])

    def test_a_gantry_tilt_is_flagged_and_kept_in_the_affine(self, tmp_path):
        stored, affine = turned(HU, AFFINE, "LPS")
        tilted = affine.copy()
        tilted[1, 2] = 1.5
        volume = read(write_dicom(tmp_path / "series", stored, tilted))
        assert volume.flags == ("gantry_tilt",)
        assert volume.affine[1, 2] == pytest.approx(1.5, abs=1e-3)

    def test_of_two_series_the_larger_is_read_and_flagged(self, tmp_path):
        stored, affine = turned(HU, AFFINE, "LPS")
        folder = write_dicom(tmp_path / "series", stored, affine)
        other = write_dicom(tmp_path / "other", stored[:, :, :3], affine, series="1.2.4")
        for path in other.iterdir():
            path.rename(folder / f"scout{path.name}")
        volume = read(folder)
        assert volume.flags == ("several_series",)
        np.testing.assert_array_equal(volume.hu, HU)


class TestMasks:
    def scan(self, tmp_path, **said):
        return ScanSource("s", write_nifti(tmp_path / "scan.nii.gz", HU), **said)

    def test_a_folder_of_one_file_a_class_is_one_layer_of_ids(self, tmp_path):
        names = tuple("background" if i == 0 else f"class_{i}" for i in range(118))
        (tmp_path / "masks").mkdir()
        for number in np.unique(IDS[IDS > 0]):
            write_nifti(tmp_path / "masks" / f"class_{number}.nii.gz", (number == IDS).astype(np.uint8))
        layer = MaskSource("totalsegmentator", tmp_path / "masks", class_names=names)
        ids, affine = read_mask(layer, source=self.scan(tmp_path))
        np.testing.assert_array_equal(ids, IDS)
        np.testing.assert_allclose(affine, AFFINE)

    def test_value_and_threshold_make_a_binary_mask(self, tmp_path):
        path = write_nifti(tmp_path / "mask.nii.gz", IDS.astype(np.float32) * 10)
        source = self.scan(tmp_path)
        by_value, _ = read_mask(MaskSource("liver", path, value=50), source=source)
        np.testing.assert_array_equal(by_value, IDS == 5)
        by_threshold, _ = read_mask(MaskSource("bone", path, threshold=127.5), source=source)
        np.testing.assert_array_equal(by_threshold, IDS > 12)
        assert by_value.dtype == by_threshold.dtype == np.uint8

    @pytest.mark.parametrize("values", [IDS.astype(np.float32) * 0.5, IDS.astype(np.int16) * 4])
    def test_ids_that_are_not_totalsegmentators_are_refused(self, tmp_path, values):
        path = write_nifti(tmp_path / "mask.nii.gz", values)
        with pytest.raises(UniferumError, match=r"whole ids|0 to 117"):
            read_mask(MaskSource("totalsegmentator", path), source=self.scan(tmp_path))

    @pytest.mark.parametrize("header", ["blank", "its own", "of another origin"])
    def test_where_the_scans_place_comes_from_the_cohort_its_masks_stand_on_its_grid(self, tmp_path, header):
        cube = (slice(0, 50),) * 3  # equal sides: the shape alone does not tell the axes
        stored, affine = turned(IDS[cube], AFFINE, "LPS")
        scan, scan_affine = turned(HU[cube], AFFINE, "IPL")
        np.savez(tmp_path / "scan.npz", ct=scan)
        given = tuple(tuple(float(v) for v in row) for row in scan_affine)
        if header == "blank":
            stored, affine = turned(IDS[cube], AFFINE, "IPL")[0], None
        elif header == "of another origin":
            affine[:3, 3] += 900
        nibabel.Nifti1Image(stored, affine).to_filename(tmp_path / "mask.nii.gz")
        source = ScanSource("s", tmp_path / "scan.npz", affine=given)
        like = read_volume(source)
        ids, got = read_mask(MaskSource("totalsegmentator", tmp_path / "mask.nii.gz"), source=source, like=like)
        np.testing.assert_array_equal(ids, IDS[cube])
        np.testing.assert_allclose(got, like.affine)

    def test_a_mask_of_another_shape_that_does_not_say_where_it_lies_is_refused(self, tmp_path):
        nibabel.Nifti1Image(IDS[:50], None).to_filename(tmp_path / "mask.nii.gz")
        layer = MaskSource("totalsegmentator", tmp_path / "mask.nii.gz")
        source = self.scan(tmp_path)
        with pytest.raises(UniferumError, match="give its position"):
            read_mask(layer, source=source, like=read_volume(source))
