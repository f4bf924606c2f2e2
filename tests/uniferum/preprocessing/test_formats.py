"""Every format gives the same volume, and every kind of damage one error line that names the file."""

import gzip
import pickle
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.uniferum.preprocessing.raw_scans import (
    AFFINE,
    SHAPE,
    thorax,
    turned,
    write_dicom,
    write_metaimage,
    write_nifti,
)
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats import read_mask, read_volume
from uniferum.preprocessing.source import Intensity, MaskSource, ScanSource

HU, IDS = thorax(noise=15)


def read(path: Path, **said):
    return read_volume(ScanSource("s", path, **said))


@pytest.fixture
def nifti(tmp_path) -> Path:
    return write_nifti(tmp_path / "scan.nii.gz", HU)


def _damage(path: Path, change) -> Path:
    """The gzipped file with its plain content changed."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    change(content)
    path.write_bytes(gzip.compress(bytes(content)))
    return path


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


class TestDamage:
    def test_truncated_gzip(self, nifti):
        nifti.write_bytes(nifti.read_bytes()[:-2000])
        with pytest.raises(UniferumError, match=r"scan\.nii\.gz must be a whole gzip"):
            read(nifti)

    def test_flipped_bits_in_gzip(self, nifti):
        content = bytearray(nifti.read_bytes())
        content[len(content) // 2] ^= 0xFF
        nifti.write_bytes(content)
        with pytest.raises(UniferumError, match="whole gzip"):
            read(nifti)

    def test_wrong_magic(self, nifti):
        nifti.write_bytes(b"<html>404 not found</html>" * 50)
        with pytest.raises(UniferumError, match="must be a NIfTI file"):
            read(nifti)

    def test_empty_file(self, nifti):
        nifti.write_bytes(b"")
        with pytest.raises(UniferumError, match="must be a NIfTI file"):
            read(nifti)

    def test_few_nan_voxels_become_air_and_are_flagged(self, tmp_path):
        damaged = HU.astype(np.float32)
        damaged[:5] = np.nan
        volume = read(write_nifti(tmp_path / "scan.nii.gz", damaged))
        assert volume.flags == ("nan_voxels",)
        assert (volume.hu[:5] == -1024).all()
        np.testing.assert_array_equal(volume.hu[5:], HU[5:])

    def test_mostly_nan_is_refused(self, tmp_path):
        damaged = np.full(SHAPE, np.nan, dtype=np.float32)
        with pytest.raises(UniferumError, match="NaN"):
            read(write_nifti(tmp_path / "scan.nii.gz", damaged))

    @pytest.mark.parametrize("spacing", [0.0, -4.0, float("nan")])
    def test_zero_or_negative_spacing(self, nifti, spacing):
        def change(content):
            content[80:84] = struct.pack("<f", spacing)

        with pytest.raises(UniferumError, match="pixdim"):
            read(_damage(nifti, change))

    def test_singular_affine(self, nifti):
        def change(content):
            content[280:296] = struct.pack("<4f", 0, 0, 0, 0)

        with pytest.raises(UniferumError, match="affine"):
            read(_damage(nifti, change))

    def test_non_orthogonal_affine(self, tmp_path):
        skewed = AFFINE.copy()
        skewed[0, 1] = 3.5
        image = nibabel.Nifti1Image(HU, skewed)
        image.set_sform(skewed, 1)
        image.header["qform_code"] = 0
        image.header["pixdim"][1:4] = np.sqrt((skewed[:3, :3] ** 2).sum(axis=0))
        image.to_filename(tmp_path / "scan.nii.gz")
        with pytest.raises(UniferumError, match="right angles"):
            read(tmp_path / "scan.nii.gz")

    def test_a_blank_header_is_flagged_unless_the_cohort_gives_the_affine(self, tmp_path):
        image = nibabel.Nifti1Image(HU, None)
        image.to_filename(tmp_path / "scan.nii.gz")
        assert "no_orientation" in read(tmp_path / "scan.nii.gz").flags
        given = tuple(tuple(float(v) for v in row) for row in AFFINE)
        volume = read(tmp_path / "scan.nii.gz", affine=given)
        assert volume.flags == ()
        np.testing.assert_allclose(volume.affine, AFFINE)

    @pytest.mark.parametrize("shape", [(8, 8, 8, 2), (8, 8), (8, 8, 1), (8, 8, 8, 1, 3)])
    def test_not_one_volume(self, tmp_path, shape):
        image = nibabel.Nifti1Image(np.zeros(shape, np.int16), np.eye(4))
        image.to_filename(tmp_path / "scan.nii.gz")
        with pytest.raises(UniferumError, match=r"three dimensions|at least 2 voxels"):
            read(tmp_path / "scan.nii.gz")

    def test_colours(self, tmp_path):
        rgb = np.zeros((8, 8, 8), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
        nibabel.Nifti1Image(rgb, np.eye(4)).to_filename(tmp_path / "scan.nii.gz")
        with pytest.raises(UniferumError, match="no colours"):
            read(tmp_path / "scan.nii.gz")

    def test_wrapped_16_bit_values_are_refused(self, tmp_path):
        wrapped = HU.astype(np.uint16)
        with pytest.raises(UniferumError, match="hold HU"):
            read(write_nifti(tmp_path / "scan.nii.gz", wrapped))

    @pytest.mark.parametrize("offset", [1024, -1024])
    def test_a_missing_or_repeated_intercept_is_flagged(self, tmp_path, offset):
        shifted = (HU + offset).astype(np.int16)
        assert read(write_nifti(tmp_path / "scan.nii.gz", shifted)).flags == ("wrong_hu",)

    @pytest.mark.parametrize("padding", [-3024, -8192, -2048])
    def test_padding_outside_the_field_of_view_is_no_wrong_hu(self, tmp_path, padding):
        padded = HU.copy()
        padded[:20] = padding
        assert read(write_nifti(tmp_path / "scan.nii.gz", padded)).flags == ()

    def test_a_file_that_declares_100_gb_is_refused_before_it_is_expanded(self, nifti):
        def change(content):
            content[40:56] = struct.pack("<8h", 3, 5000, 5000, 2000, 1, 1, 1, 1)

        with pytest.raises(UniferumError, match="declare at most"):
            read(_damage(nifti, change))

    def test_a_gzip_that_goes_on_after_its_volume_is_not_expanded(self, nifti):
        content = gzip.decompress(nifti.read_bytes())
        nifti.write_bytes(gzip.compress(content + bytes(64 << 20)))
        with pytest.raises(UniferumError, match="goes on"):
            read(nifti)

    def test_a_header_that_declares_more_than_the_file_can_hold(self, nifti):
        def change(content):
            content[40:56] = struct.pack("<8h", 3, 1500, 1500, 800, 1, 1, 1, 1)
            del content[400:]

        with pytest.raises(UniferumError, match="truncated"):
            read(_damage(nifti, change))

    def test_pickled_objects_in_npz_are_refused_and_not_run(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return (Path.touch, (tmp_path / "was_run",))

        objects = np.empty((4, 4, 4), dtype=object)
        objects[:] = Evil()
        np.savez(tmp_path / "scan.npz", ct=objects)
        assert b"was_run" in pickle.dumps(Evil())
        with pytest.raises(UniferumError, match="no objects"):
            read(tmp_path / "scan.npz")
        assert not (tmp_path / "was_run").exists()

    @pytest.mark.parametrize("content", [{"image": HU}, {"ct": HU}])
    def test_npz_without_its_array_or_its_affine(self, tmp_path, content):
        np.savez(tmp_path / "scan.npz", **content)
        with pytest.raises(UniferumError, match=r"'ct'|'affine'"):
            read(tmp_path / "scan.npz")

    def test_truncated_npz(self, tmp_path):
        np.savez_compressed(tmp_path / "scan.npz", ct=HU, affine=AFFINE)
        (tmp_path / "scan.npz").write_bytes((tmp_path / "scan.npz").read_bytes()[:-3000])
        with pytest.raises(UniferumError, match="plain npz"):
            read(tmp_path / "scan.npz")

    def test_missing_and_truncated_raw_files(self, tmp_path):
        path = write_metaimage(tmp_path / "scan.mhd", HU)
        raw = path.with_suffix(".raw")
        raw.write_bytes(raw.read_bytes()[:1000])
        with pytest.raises(UniferumError, match="truncated"):
            read(path)
        raw.unlink()
        with pytest.raises(UniferumError, match="must exist"):
            read(path)

    def test_a_raw_file_outside_the_folder_is_not_read(self, tmp_path):
        path = write_metaimage(tmp_path / "scan.mhd", HU)
        path.write_text(path.read_text().replace("= scan.raw", "= ../scan.raw"))
        with pytest.raises(UniferumError, match="in the same folder"):
            read(path)

    def test_paths_that_lead_out_of_the_root_are_refused(self, tmp_path):
        root = tmp_path / "dataset"
        root.mkdir()
        outside = write_nifti(tmp_path / "secret.nii.gz", HU)
        (root / "link.nii.gz").symlink_to(outside)
        for path in (root / "link.nii.gz", root / ".." / "secret.nii.gz"):
            with pytest.raises(UniferumError, match="inside its dataset"):
                read(path, root=root)
        assert read(root / "link.nii.gz").shape == SHAPE

    def test_a_folder_without_slices_and_an_unknown_ending(self, tmp_path):
        (tmp_path / "series").mkdir()
        (tmp_path / "series" / "notes.txt").write_text("nothing")
        with pytest.raises(UniferumError, match="DICOM series"):
            read(tmp_path / "series")
        (tmp_path / "scan.png").write_bytes(b"png")
        with pytest.raises(UniferumError, match=r"\.nii, \.nii\.gz"):
            read(tmp_path / "scan.png")

    def test_an_error_about_dicom_tells_nothing_of_the_patient(self, tmp_path):
        folder = write_dicom(tmp_path / "series", HU, private="SECRET^NAME")
        for path in folder.iterdir():
            path.write_bytes(path.read_bytes()[:-500])
        with pytest.raises(UniferumError) as raised:
            read(folder)
        assert "SECRET" not in str(raised.value)
        assert raised.value.__cause__ is None


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
        with pytest.raises(UniferumError, match="where it lies"):
            read_mask(layer, source=source, like=read_volume(source))
