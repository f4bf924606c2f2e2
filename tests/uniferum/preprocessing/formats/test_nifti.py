"""NIfTI headers that contradict themselves, and file names that do not fit their content."""

import gzip
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.load import read_volume
from uniferum.preprocessing.formats.read import read_stored
from uniferum.preprocessing.formats.source import ScanSource

AFFINE = np.array([[-2.0, 0, 0, 40], [0, 2, 0, -30], [0, 0, 3, -70], [0, 0, 0, 1]])
VALUES = np.random.default_rng(0).integers(-1000, 1000, (12, 10, 8)).astype(np.int16)
# Places of fields in a NIfTI-1 header (nifti1.h).
DATATYPE, PIXDIM, VOX_OFFSET, SLOPE, UNITS, QFORM_CODE, SROW_X, MAGIC = 70, 76, 108, 112, 123, 252, 280, 344


def write(folder: Path, *, qform=AFFINE, sform=AFFINE, codes=(1, 1), name="a.nii") -> Path:
    image = nibabel.Nifti1Image(VALUES, AFFINE)
    image.set_qform(qform, codes[0])
    image.set_sform(sform, codes[1])
    image.to_filename(folder / name)
    return folder / name


def patch(path: Path, offset: int, form: str, *numbers) -> Path:
    content = bytearray(path.read_bytes())
    struct.pack_into(f"<{form}", content, offset, *numbers)
    path.write_bytes(content)
    return path


def moved(mm: float, axis: int = 0) -> np.ndarray:
    out = AFFINE.copy()
    out[axis, 3] += mm
    return out


def turned(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ AFFINE


class TestGeometry:
    @pytest.mark.parametrize("qfac", [0.0, float("nan"), 1.0])
    def test_a_qfac_that_is_no_sign_means_one(self, tmp_path, qfac):
        sound = np.diag([2.0, 2, 3, 1])
        path = patch(write(tmp_path, qform=sound, codes=(1, 0)), PIXDIM, "f", qfac)
        np.testing.assert_allclose(read_stored(path).affine, sound, atol=1e-5)

    @pytest.mark.parametrize("codes", [(1, 0), (0, 1), (2, 1), (1, 4)])
    def test_forms_that_agree_and_forms_not_in_use_have_no_flag(self, tmp_path, codes):
        unused = np.diag([-1, 1, 1, 1]) @ AFFINE
        said = {"qform": AFFINE if codes[0] else unused, "sform": AFFINE if codes[1] else unused}
        stored = read_stored(write(tmp_path, **said, codes=codes))
        np.testing.assert_allclose(stored.affine, AFFINE, atol=1e-5)
        assert stored.flags == ()

    @pytest.mark.parametrize("sform", [np.diag([-1, 1, 1, 1]) @ AFFINE, turned(180), turned(90), turned(8)])
    def test_forms_that_turn_or_flip_the_patient_are_doubtful(self, tmp_path, sform):
        stored = read_stored(write(tmp_path, sform=sform))
        np.testing.assert_allclose(stored.affine, sform, atol=1e-5)
        assert stored.flags == ("orientation_doubtful",)
        assert "axes are LAS by its qform" in stored.notes[0]
        assert "the sform was used" in stored.notes[0]

    @pytest.mark.parametrize(("sform", "apart"), [(moved(1.5), "1.5 mm"), (moved(-400, 2), "400.0 mm")])
    def test_forms_that_only_shift_the_volume_are_named_but_not_doubtful(self, tmp_path, sform, apart):
        stored = read_stored(write(tmp_path, sform=sform))
        assert stored.flags == ("qform_sform_differ",)
        assert apart in stored.notes[0]

    @pytest.mark.parametrize("sform", [moved(0.05), moved(-0.4, 1), turned(0.2)])
    def test_a_small_fraction_of_a_voxel_is_rounding(self, tmp_path, sform):
        assert read_stored(write(tmp_path, sform=sform)).flags == ()

    def test_a_gantry_tilt_that_the_qform_cannot_hold_is_no_contradiction_of_orientation(self, tmp_path):
        tilted = AFFINE.copy()
        tilted[1, 2] = 3 * np.tan(np.deg2rad(20))
        stored = read_stored(write(tmp_path, qform=tilted, sform=tilted))
        assert "orientation_doubtful" not in stored.flags

    def test_a_singular_sform_is_refused_also_beside_a_sound_qform(self, tmp_path):
        path = patch(write(tmp_path), SROW_X, "12f", *[0] * 12)
        with pytest.raises(UniferumError, match=r"sform.*qform is valid"):
            read_stored(path)

    def test_a_qform_that_is_no_rotation_is_named_where_the_sform_is_used_and_refused_where_not(self, tmp_path):
        path = patch(write(tmp_path), 256, "3f", 2, 2, 2)
        assert read_stored(path).flags == ("qform_sform_differ",)
        with pytest.raises(UniferumError, match="qform must be a rotation"):
            read_stored(patch(path, QFORM_CODE + 2, "h", 0))

    @pytest.mark.parametrize(("unit", "factor"), [(1, 1e-3), (3, 1e3)])
    def test_metres_and_micrometres_become_millimetres(self, tmp_path, unit, factor):
        scaled = np.diag([factor, factor, factor, 1]) @ AFFINE
        stored = read_stored(patch(write(tmp_path, qform=scaled, sform=scaled), UNITS, "B", unit))
        np.testing.assert_allclose(stored.affine, AFFINE, rtol=1e-5, atol=1e-5)
        assert stored.flags == ("spacing_units",)
        assert "converted" in stored.notes[0]

    def test_a_unit_that_cannot_be_true_is_taken_as_millimetres_and_flagged(self, tmp_path):
        stored = read_stored(patch(write(tmp_path), UNITS, "B", 1))
        np.testing.assert_allclose(stored.affine, AFFINE, atol=1e-5)
        assert "used as mm" in stored.notes[0]

    def test_a_code_that_the_standard_does_not_know_is_refused(self, tmp_path):
        with pytest.raises(UniferumError, match=r"qform_code \(77\)"):
            read_stored(patch(write(tmp_path), QFORM_CODE, "h", 77))

    @pytest.mark.parametrize("field", ["pixdim", "srow_x", "qoffset_x", "quatern_b"])
    def test_numbers_that_would_overflow_are_refused(self, tmp_path, field):
        image = nibabel.Nifti2Image(VALUES, AFFINE)
        image.set_qform(AFFINE, 1)
        image.set_sform(AFFINE, 0 if field.startswith("q") else 1)
        image.header[field] = 1e200
        image.header["vox_offset"] = 544
        content = image.header.binaryblock + bytes(4) + VALUES.tobytes(order="F")
        (tmp_path / "a.nii").write_bytes(content)
        with pytest.raises(UniferumError, match=r"pixdim|sform|qform"):
            read_stored(tmp_path / "a.nii")

    def test_notes_reach_the_volume(self, tmp_path):
        volume = read_volume(ScanSource("s", write(tmp_path, sform=turned(180)), known_hu_clip=(-1000, 1000)))
        assert "orientation_doubtful" in volume.flags
        assert "180 degrees" in volume.notes[0]


class TestFields:
    @pytest.mark.parametrize("code", [0, 1, 77, -3])
    def test_an_unknown_data_type_is_refused(self, tmp_path, code):
        with pytest.raises(UniferumError, match="datatype"):
            read_stored(patch(write(tmp_path), DATATYPE, "h", code))

    @pytest.mark.parametrize("kind", [np.complex64, np.complex128])
    def test_complex_numbers_are_refused(self, tmp_path, kind):
        nibabel.Nifti1Image(VALUES.astype(kind), AFFINE).to_filename(tmp_path / "a.nii")
        with pytest.raises(UniferumError, match="64 bits"):
            read_stored(tmp_path / "a.nii")

    @pytest.mark.parametrize("offset", [float("nan"), float("inf"), 0, 100, 352.5, 1e9, -352])
    def test_a_voxel_offset_that_is_no_place_is_refused(self, tmp_path, offset):
        with pytest.raises(UniferumError, match="vox_offset"):
            read_stored(patch(write(tmp_path), VOX_OFFSET, "f", offset))

    @pytest.mark.parametrize("count", [0, 8, 768, -1])
    def test_a_number_of_axes_that_cannot_be_is_refused(self, tmp_path, count):
        with pytest.raises(UniferumError, match=r"dim .*1 to 7 axes"):
            read_stored(patch(write(tmp_path), 40, "h", count))

    def test_colours_in_a_fifth_axis_are_named(self, tmp_path):
        colours = np.zeros((4, 4, 4, 1, 3), np.uint8)
        nibabel.Nifti1Image(colours, AFFINE).to_filename(tmp_path / "a.nii")
        with pytest.raises(UniferumError, match="3 numbers per voxel"):
            read_stored(tmp_path / "a.nii")

    def test_a_single_volume_in_four_dimensions_is_read(self, tmp_path):
        nibabel.Nifti1Image(VALUES[..., None], AFFINE).to_filename(tmp_path / "a.nii")
        np.testing.assert_array_equal(read_stored(tmp_path / "a.nii").values, VALUES)

    def test_an_intercept_without_slope_is_not_applied_and_flagged(self, tmp_path):
        stored = read_stored(patch(write(tmp_path), SLOPE, "2f", 0, -1024))
        assert (stored.intensity.slope, stored.intensity.intercept) == (1, 0)
        assert stored.flags == ("scaling_ignored",)
        assert "-1024" in stored.notes[0]

    def test_a_slope_with_an_intercept_that_is_no_number_is_refused(self, tmp_path):
        with pytest.raises(UniferumError, match="scl_inter"):
            read_stored(patch(write(tmp_path), SLOPE, "2f", 1, float("nan")))

    def test_a_broken_extension_is_refused(self, tmp_path):
        image = nibabel.Nifti1Image(VALUES, AFFINE)
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * 50))
        image.to_filename(tmp_path / "a.nii")
        np.testing.assert_array_equal(read_stored(tmp_path / "a.nii").values, VALUES)
        with pytest.raises(UniferumError, match="extension"):
            read_stored(patch(tmp_path / "a.nii", 352, "i", 99999))


class TestNames:
    def test_what_the_content_is_decides_and_not_the_ending(self, tmp_path):
        raw = write(tmp_path).read_bytes()
        files = {
            "plain.nii.gz": raw,
            "zipped.nii": gzip.compress(raw, 1),
            "UPPER.NII.GZ": gzip.compress(raw, 1),
            "two.nii.gz": gzip.compress(raw[:900], 1) + gzip.compress(raw[900:], 1),
            "zeros.nii.gz": gzip.compress(raw, 1) + bytes(300),
        }
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
            stored = read_stored(tmp_path / name)
            np.testing.assert_array_equal(stored.values, VALUES, err_msg=name)
            assert stored.flags == (), name

    def test_bytes_behind_the_voxels_are_flagged(self, tmp_path):
        path = write(tmp_path)
        path.write_bytes(path.read_bytes() + b"another volume")
        stored = read_stored(path)
        assert stored.flags == ("trailing_data",)
        assert "14 bytes" in stored.notes[0]

    @pytest.mark.parametrize(
        ("content", "named"),
        [
            (bytes(128) + b"DICM" + bytes(400), "DICOM"),
            (b"PK\x03\x04" + bytes(400), "zip"),
            (b"<!DOCTYPE html>" + bytes(400), "web page"),
            (b"version https://git-lfs.github.com/spec/v1\n" + b"x" * 300, "Git LFS"),
            (b"\x28\xb5\x2f\xfd" + bytes(400), "zstd"),
            (gzip.compress(gzip.compress(b"a" * 400, mtime=0), mtime=0), "gzip"),
            (bytes(1000), "zeros"),
        ],
    )
    def test_other_content_under_this_name_is_named(self, tmp_path, content, named):
        (tmp_path / "a.nii.gz").write_bytes(content)
        with pytest.raises(UniferumError, match=f"must be a NIfTI file; it holds .*{named}"):
            read_stored(tmp_path / "a.nii.gz")

    @pytest.mark.parametrize(("magic", "named"), [(b"ni1\0", r"\.img"), (b"\0\0\0\0", "Analyze")])
    def test_pairs_and_analyze_files_under_this_name_are_refused(self, tmp_path, magic, named):
        with pytest.raises(UniferumError, match=named):
            read_stored(patch(write(tmp_path), MAGIC, "4s", magic))
