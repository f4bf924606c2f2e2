"""Every slice is placed by its ImagePositionPatient; a stack that has no regular grid is resampled or refused."""

import shutil

import numpy as np
import pydicom
import pytest

from tests.support.dicom_series import COUNT, ct_slice, error_of, heights, setting, write_series
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.dicom import read_dicom

# Values are whole HU, the field is not once slices stand between its grid's places.
ROUNDING = 1.01


def read(folder, z=None, **said):
    return read_dicom(write_series(folder, z, **said))


class TestDistances:
    @pytest.mark.parametrize("grow", [1.01, 1.06])
    def test_a_distance_that_drifts_is_resampled(self, tmp_path, grow):
        z = -40 + 3 * np.cumsum(grow ** np.arange(24))
        stored = read(tmp_path, z)
        assert stored.flags == ("uneven_spacing",)
        assert error_of(stored) < ROUNDING
        assert stored.affine[2, 3] == pytest.approx(z[0])
        top = stored.affine[2, 3] + stored.affine[2, 2] * (stored.values.shape[2] - 1)
        assert top == pytest.approx(z[-1])

    def test_a_distance_that_changes_half_way_is_resampled(self, tmp_path):
        z = np.concatenate([2.0 * np.arange(10), 18 + 5.0 * np.arange(1, 8)])
        stored = read(tmp_path, z)
        assert "uneven_spacing" in stored.flags
        assert error_of(stored) < ROUNDING
        assert "2.00 to 5.00 mm" in " ".join(stored.notes)

    def test_places_that_scatter_are_one_stack(self, tmp_path):
        z = heights(20, 10.0) + np.random.default_rng(1).normal(0, 2, 20)
        stored = read(tmp_path, z)
        assert stored.flags == ("uneven_spacing",)
        assert error_of(stored) < ROUNDING

    def test_positions_with_few_digits_are_not_resampled(self, tmp_path):
        z = np.round(heights(20, 1.27), 1)
        stored = read(tmp_path, z)
        assert stored.flags == ()
        assert error_of(stored) < 0.1 * 4 + ROUNDING

    @pytest.mark.parametrize("lost", [(4,), (4, 5)])
    def test_missing_slices_are_interpolated_and_counted(self, tmp_path, lost):
        stored = read(tmp_path, edit=lambda data, k: None if k in lost else data)
        assert stored.flags == ("missing_slices",)
        assert stored.values.shape[2] == COUNT
        assert error_of(stored) < ROUNDING
        assert f"{len(lost)} of 10 slices are missing" in stored.notes[0]

    def test_a_wide_hole_is_refused_with_slice_and_millimetres(self, tmp_path):
        with pytest.raises(UniferumError, match=r"20\.0 mm between slices 4 and 5 of 7, elsewhere 5\.00 mm"):
            read(tmp_path, edit=lambda data, k: None if k in (4, 5, 6) else data)

    def test_wide_regular_distances_are_no_holes(self, tmp_path):
        stored = read(tmp_path, heights(COUNT, 20.0))
        assert stored.flags == ()
        assert error_of(stored) == 0


class TestInThePlane:
    def test_a_shifted_station_is_put_back(self, tmp_path):
        stored = read(tmp_path, aside=lambda k: (1.0, 6.0) if k > 6 else (0.0, 0.0))
        assert stored.flags == ("shifted_slices",)
        assert error_of(stored, edge=3) < ROUNDING
        assert "3 of 10 slices are shifted in their plane, by up to 6.1 mm" in stored.notes[0]

    def test_single_shifted_slices_are_put_back(self, tmp_path):
        stored = read(tmp_path, aside=lambda k: (0.0, -2.5) if k in (2, 7) else (0.0, 0.0))
        assert stored.flags == ("shifted_slices",)
        assert error_of(stored, edge=3) < ROUNDING

    def test_a_slice_far_aside_is_refused(self, tmp_path):
        with pytest.raises(UniferumError, match=r"slice 4 of 10 by 60\.0 mm"):
            read(tmp_path, aside=lambda k: (60.0, 0.0) if k == 3 else (0.0, 0.0))

    @pytest.mark.parametrize("lean", [0.1, -0.35])
    def test_a_gantry_tilt_is_a_shear_of_the_affine(self, tmp_path, lean):
        stored = read(tmp_path, aside=lambda k: (0.0, 5 * k * lean))
        assert stored.flags == ("gantry_tilt",)
        assert error_of(stored) <= 0.5
        assert stored.affine[1, 2] == pytest.approx(-5 * lean)

    def test_a_tilt_with_a_missing_and_a_shifted_slice(self, tmp_path):
        stored = read(
            tmp_path,
            edit=lambda data, k: None if k == 3 else data,
            aside=lambda k: (0.0, k * 1.0 + (2 if k == 6 else 0)),
        )
        assert set(stored.flags) == {"gantry_tilt", "missing_slices", "shifted_slices"}
        assert error_of(stored, edge=3) < ROUNDING

    def test_oblique_slices_keep_their_directions(self, tmp_path):
        angle = np.deg2rad(20)
        cosines = (1, 0, 0, 0, np.cos(angle), np.sin(angle))
        normal = np.cross(cosines[:3], cosines[3:])
        for k in range(COUNT):
            pydicom.dcmwrite(tmp_path / f"{k}.dcm", ct_slice(5 * k * normal - 20, cosines=cosines, number=k))
        stored = read_dicom(tmp_path)
        assert stored.flags == ()
        assert error_of(stored) < ROUNDING


class TestRepeats:
    def test_exact_copies_are_dropped(self, tmp_path):
        write_series(tmp_path)
        shutil.copy(tmp_path / "IM003.dcm", tmp_path / "copy")
        data = pydicom.dcmread(tmp_path / "IM005.dcm")
        data.InstanceNumber = 99
        pydicom.dcmwrite(tmp_path / "again.dcm", data)
        stored = read_dicom(tmp_path)
        assert "2 slices are exact copies" in " ".join(stored.notes)
        assert stored.flags == ("duplicate_slices",)
        assert error_of(stored) == 0

    def test_a_folder_that_was_copied_into_itself(self, tmp_path):
        write_series(tmp_path / "a")
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        stored = read_dicom(tmp_path)
        assert stored.flags == ("duplicate_slices",)
        assert error_of(stored) == 0

    def test_one_place_with_two_unlike_images_is_interpolated(self, tmp_path):
        write_series(tmp_path)
        pydicom.dcmwrite(tmp_path / "other.dcm", ct_slice((-10, -15, heights()[4]), number=5, more=500))
        stored = read_dicom(tmp_path)
        assert set(stored.flags) == {"conflicting_slices", "missing_slices"}
        assert error_of(stored) < ROUNDING

    def test_doubled_slices_a_tenth_of_a_millimetre_apart(self, tmp_path):
        z = np.sort(np.concatenate([heights(), heights() + 0.1]))
        stored = read(tmp_path, z)
        assert stored.flags == ("several_acquisitions",)
        assert stored.values.shape[2] == COUNT
        assert error_of(stored) < 0.2 * 4 + ROUNDING

    def test_all_slices_at_one_place_are_refused(self, tmp_path):
        with pytest.raises(UniferumError, match="two or more positions"):
            read(tmp_path, np.zeros(COUNT))


@pytest.mark.parametrize("z", [heights(), heights()[::-1]])
def test_a_series_agrees_with_simpleitk(tmp_path, z):
    sitk = pytest.importorskip("SimpleITK")
    folder = write_series(tmp_path, z, edit=setting(RescaleSlope=2))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    stored = read_dicom(folder)
    np.testing.assert_array_equal(stored.values, sitk.GetArrayFromImage(image).transpose(2, 1, 0))
    for index in ((0, 0, 0), (5, 7, 3)):
        there = stored.affine @ [*index, 1]
        np.testing.assert_allclose(there[:3] * [-1, -1, 1], image.TransformIndexToPhysicalPoint(index), atol=1e-6)


def test_where_half_of_the_slices_are_shifted_the_other_half_stays(tmp_path):
    stored = read_dicom(write_series(tmp_path, aside=lambda k: (6.0 * (k >= COUNT // 2), 0.0)))
    assert stored.flags == ("shifted_slices",)
    assert f"{COUNT // 2} of {COUNT} slices are shifted in their plane, by up to 6.0 mm" in stored.notes[0]
