"""One CT stack of a DICOM folder is read; the other files are counted and never mixed in."""

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.support.dicom_series import COUNT, ct_slice, error_of, heights, setting, write_series
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.dicom import read_dicom

CORONAL, SAGITTAL = (1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1)


def save(folder, data, name="AAA.dcm"):
    folder.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(folder / name, data, enforce_file_format=True)


def notes(stored):
    return " ".join(stored.notes)


class TestNeighbours:
    """Each lies beside ten sound slices, which must be read as if it were not there."""

    def check(self, folder, said, flag="others_beside"):
        stored = read_dicom(folder)
        assert stored.values.shape[2] == COUNT
        assert error_of(stored) == 0
        assert stored.flags == (flag,)
        assert said in notes(stored)

    @pytest.mark.parametrize("series", ["1.2.3", "1.2.4"])
    def test_localizers(self, tmp_path, series):
        write_series(tmp_path)
        for number in range(14):
            scout = ct_slice((number, 0, 60), cosines=CORONAL, series=series, number=99)
            scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
            save(tmp_path, scout, f"AA{number}.dcm")
        self.check(tmp_path, "14 x localizer")

    @pytest.mark.parametrize("word", ["CT_SOM5 MIP", "PROJECTION IMAGE"])
    def test_projections_even_where_they_are_more(self, tmp_path, word):
        write_series(tmp_path)
        mip = setting(ImageType=["DERIVED", "SECONDARY", word])
        write_series(tmp_path, heights(14, 4), edit=mip, name="MIP{}.dcm", series="1.2.4", more=300)
        self.check(tmp_path, "14 x projection")

    @pytest.mark.parametrize("modality", ["PT", "SEG", "RTDOSE"])
    def test_images_of_other_modalities_even_where_they_are_more(self, tmp_path, modality):
        write_series(tmp_path)
        frames = {"NumberOfFrames": 3} if modality in ("SEG", "RTDOSE") else {}
        other = setting(Modality=modality, **frames)
        write_series(tmp_path, heights(14, 4), edit=other, name="P{}.dcm", more=300)
        self.check(tmp_path, f"14 x image of modality {modality}")

    def test_a_modality_that_is_free_text_is_not_repeated(self, tmp_path):
        write_series(tmp_path)
        save(tmp_path, setting(Modality="DOE JANE")(ct_slice((0, 0, 0)), 0))
        self.check(tmp_path, "modality other than CT")

    def test_reports_and_structure_sets(self, tmp_path):
        write_series(tmp_path)
        bare = dict.fromkeys(["PixelData", "Rows", "Columns", "ImagePositionPatient"])
        for name in ("SR", "RTSTRUCT"):
            save(tmp_path, setting(Modality=name, **bare)(ct_slice((0, 0, 0)), 0), f"{name}.dcm")
        self.check(tmp_path, "1 x object without an image of modality SR")

    def test_colour_pictures(self, tmp_path):
        write_series(tmp_path)
        colour = setting(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
        save(tmp_path, colour(ct_slice((0, 0, 0)), 0))
        self.check(tmp_path, "1 x colour picture")

    def test_a_slice_with_a_corrupt_orientation_leaves_a_gap_that_is_said(self, tmp_path):
        def edit(data, k):
            return setting(ImageOrientationPatient=[1, 0, 0, 0, 0.9, 0.1])(data, k) if k == 7 else data

        stored = read_dicom(write_series(tmp_path, edit=edit))
        assert set(stored.flags) == {"slices_without_place", "missing_slices"}
        assert error_of(stored) < 0.6

    def test_a_slice_of_another_direction_is_left_out(self, tmp_path):
        write_series(tmp_path)
        save(tmp_path, ct_slice((0, 0, 0), cosines=(0.995004, 0.0998334, 0, -0.0998334, 0.995004, 0)))
        self.check(tmp_path, "1 slices of the series have another direction", "slices_left_out")

    def test_dicomdir_and_files_of_other_kinds_are_not_worth_a_flag(self, tmp_path):
        write_series(tmp_path)
        entry = setting(SOPClassUID="1.2.840.10008.1.3.10", Modality=None)(ct_slice((0, 0, 0)), 0)
        save(tmp_path, entry, "DICOMDIR")
        (tmp_path / "notes.txt").write_text("nothing of interest")
        stored = read_dicom(tmp_path)
        assert stored.flags == ()
        assert "DICOMDIR" in notes(stored)


class TestSeries:
    @pytest.mark.parametrize("cosines", [CORONAL, SAGITTAL])
    def test_axial_slices_are_chosen_before_larger_reformats(self, tmp_path, cosines):
        write_series(tmp_path / "a")
        for k in range(14):
            position = (-10, 4.0 * k, 60) if cosines == CORONAL else (4.0 * k, 0, 60)
            data = ct_slice(position, cosines=cosines, series="1.2.4", number=k)
            data.ImageType = ["DERIVED", "SECONDARY", "REFORMATTED"]
            save(tmp_path / "b", data, f"{k}.dcm")
        stored = read_dicom(tmp_path)
        assert stored.values.shape[2] == COUNT
        assert stored.flags == ("several_series",)
        assert "Of 2 CT series in the folder, one with 10 slices was chosen" in notes(stored)

    def test_original_slices_are_chosen_before_more_derived_ones(self, tmp_path):
        write_series(tmp_path)
        derived = setting(ImageType=["DERIVED", "PRIMARY", "AXIAL"])
        write_series(tmp_path, heights(14, 4), edit=derived, series="1.2.4", name="D{}.dcm", more=300)
        assert error_of(read_dicom(tmp_path)) == 0

    @pytest.mark.parametrize("kind", [["DERIVED", "PRIMARY", "AXIAL"], ["ORIGINAL", "SECONDARY", "AXIAL"]])
    def test_a_derived_series_is_read_and_flagged_where_there_is_nothing_else(self, tmp_path, kind):
        stored = read_dicom(write_series(tmp_path, edit=setting(ImageType=kind)))
        assert stored.flags == ("derived_series",)
        assert error_of(stored) == 0

    def test_a_map_that_is_not_hu_is_the_last_choice(self, tmp_path):
        write_series(
            tmp_path, heights(14, 4), edit=setting(RescaleType="Z_EFF"), series="1.2.4", name="Z{}.dcm", more=9
        )
        alone = read_dicom(tmp_path)
        assert set(alone.flags) == {"derived_series", "wrong_hu"}
        write_series(tmp_path, edit=setting(RescaleType="HU"))
        assert error_of(read_dicom(tmp_path)) == 0

    def test_of_like_series_the_one_with_most_slices_is_read(self, tmp_path):
        write_series(tmp_path / "thick" / "deep", heights())
        write_series(tmp_path / "thin", heights(14, 4), series="1.2.4")
        stored = read_dicom(tmp_path)
        assert stored.values.shape[2] == 14
        assert error_of(stored) == 0

    def test_a_bolus_tracker_is_not_chosen_though_it_has_more_images(self, tmp_path):
        write_series(tmp_path)
        write_series(tmp_path, [0.0] * 14, series="1.2.4", name="B{}.dcm", more=90)
        stored = read_dicom(tmp_path)
        assert stored.flags == ("several_series",)
        assert error_of(stored) == 0

    def test_one_place_over_time_is_refused(self, tmp_path):
        def edit(data, k):
            data.AcquisitionNumber = k
            return data

        with pytest.raises(UniferumError, match="two or more positions"):
            read_dicom(write_series(tmp_path, [0.0] * 9, edit=edit))

    def test_slices_with_a_series_each_are_joined_where_they_share_a_frame_of_reference(self, tmp_path):
        def own(data, _):
            data.SeriesInstanceUID = generate_uid()
            return data

        stored = read_dicom(write_series(tmp_path / "a", edit=own))
        assert stored.flags == ("series_joined",)
        assert error_of(stored) == 0

        def own_place(data, k):
            data.FrameOfReferenceUID = generate_uid()
            return own(data, k)

        with pytest.raises(UniferumError, match="10 slices in 10 series"):
            read_dicom(write_series(tmp_path / "b", edit=own_place))

    @pytest.mark.parametrize(("modality", "kind"), [("PT", ["ORIGINAL"]), ("CT", ["DERIVED", "SECONDARY", "MIP"])])
    def test_a_folder_without_a_ct_says_what_it_holds(self, tmp_path, modality, kind):
        write_series(tmp_path, edit=setting(Modality=modality, ImageType=kind))
        with pytest.raises(UniferumError, match=r"10 x (image of modality PT|projection)"):
            read_dicom(tmp_path)


class TestPhases:
    """Two acquisitions in one series, the second 200 HU brighter: one is read, whole."""

    def write(self, folder, first, second, z=None):
        write_series(folder, edit=first, name="{0:03d}.dcm")
        write_series(folder, z, edit=second, name="{0:03d}_.dcm", more=200)
        return folder

    def check(self, folder, more=0.0):
        stored = read_dicom(folder)
        assert stored.values.shape[2] == COUNT
        assert error_of(stored, more) == 0
        assert stored.flags == ("several_acquisitions",)
        assert "2 acquisitions (slices: 10, 10)" in notes(stored)

    @pytest.mark.parametrize("shift", [0.0, 2.5])
    @pytest.mark.parametrize(
        ("name", "first", "second"),
        [
            ("AcquisitionNumber", 9, 10),
            ("TemporalPositionIdentifier", 1, 2),
            ("ConvolutionKernel", "B30f", "B70f"),
            ("AcquisitionTime", "100000", "100030"),
        ],
    )
    def test_distinguished_by_one_element(self, tmp_path, name, first, second, shift):
        z = heights() + shift
        self.check(self.write(tmp_path, setting(**{name: first}), setting(**{name: second}), z))

    def test_the_earlier_acquisition_is_read_whatever_the_names(self, tmp_path):
        self.check(self.write(tmp_path, setting(AcquisitionNumber=2), setting(AcquisitionNumber=1)), more=200)

    def test_distinguished_by_numbers_that_run_on(self, tmp_path):
        def later(data, k):
            data.InstanceNumber = COUNT + k + 1
            return data

        self.check(self.write(tmp_path, None, later))

    @pytest.mark.parametrize("element", ["AcquisitionTime", "ContentTime"])
    def test_distinguished_by_the_times_of_slices_that_run_on(self, tmp_path, element):
        def at(start):
            return lambda data, k: setting(**{element: f"{start + k:06d}.5"})(data, k)

        self.check(self.write(tmp_path, at(100000), at(100030)))

    def test_distinguished_by_numbers_that_take_turns(self, tmp_path):
        def turn(which):
            return lambda data, k: setting(InstanceNumber=2 * k + which)(data, k)

        self.check(self.write(tmp_path, turn(0), turn(1)))

    @pytest.mark.parametrize("shift", [0.1, 1.0, 2.5])
    def test_distinguished_by_nothing_but_their_places(self, tmp_path, shift):
        self.check(self.write(tmp_path, None, None, heights() + shift))

    def test_not_distinguished_they_are_refused(self, tmp_path):
        same = setting(InstanceNumber=None)
        with pytest.raises(UniferumError, match="10 of 10 positions"):
            read_dicom(self.write(tmp_path, same, same))

    @pytest.mark.parametrize("size", [1, 5])
    def test_stations_one_behind_the_other_are_one_stack(self, tmp_path, size):
        def station(data, k):
            data.AcquisitionNumber = k // size + 1
            return data

        stored = read_dicom(write_series(tmp_path, edit=station))
        assert stored.flags == ()
        assert stored.values.shape[2] == COUNT
        assert error_of(stored) == 0

    def test_a_stray_number_does_not_split_a_stack(self, tmp_path):
        def stray(data, k):
            return setting(AcquisitionNumber=7 if k == 4 else 1, SliceThickness="5.0" if k % 2 else "5")(data, k)

        stored = read_dicom(write_series(tmp_path, edit=stray))
        assert stored.flags == ()
        assert error_of(stored) == 0

    def test_a_number_that_some_slices_lost_does_not_split_a_stack(self, tmp_path):
        def some(data, k):
            return setting(AcquisitionNumber=1)(data, k) if k % 3 else data

        stored = read_dicom(write_series(tmp_path, edit=some))
        assert stored.flags == ()
        assert stored.values.shape[2] == COUNT


class TestFolders:
    def test_links_out_of_the_folder_are_not_followed(self, tmp_path):
        write_series(tmp_path / "scan")
        write_series(tmp_path / "elsewhere", heights(14, 4), series="1.2.4")
        (tmp_path / "scan" / "folder").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "scan" / "file").symlink_to(tmp_path / "elsewhere" / "IM000.dcm")
        stored = read_dicom(tmp_path / "scan")
        assert stored.values.shape[2] == COUNT
        assert stored.flags == ("others_beside",)
        assert "1 links" in notes(stored)

    def test_a_folder_that_nests_too_deep_is_refused(self, tmp_path):
        write_series(tmp_path.joinpath(*"abcdefghi"))
        with pytest.raises(UniferumError, match="8 levels of folders"):
            read_dicom(tmp_path)

    def test_notes_tell_nothing_of_the_patient(self, tmp_path):
        write_series(tmp_path, name="DOE_JANE{}.dcm")
        secret = setting(PatientName="DOE^JANE", ImageType=["ORIGINAL", "DOE JANE"], SeriesDescription="DOE JANE")
        write_series(tmp_path, edit=secret, series="1.2.4444", name="DOE_{}.dcm")
        (tmp_path / "DOE_JANE5.dcm").write_bytes(b"\0" * 400)
        stored = read_dicom(tmp_path)
        assert not any(word in notes(stored) for word in ("DOE", "JANE", "1.2.4444"))


def test_the_order_of_names_and_numbers_does_not_matter(tmp_path):
    shuffled = np.random.default_rng(0).permutation(COUNT)

    def edit(data, k):
        data.InstanceNumber = int(shuffled[k])
        return data

    stored = read_dicom(write_series(tmp_path, heights()[::-1], edit=edit))
    assert stored.flags == ()
    assert error_of(stored) == 0


class TestWhatAnErrorOrNoteNames:
    """A person learns which element, or which other content, keeps a file from being a slice."""

    @pytest.mark.parametrize(
        ("said", "named"),
        [
            ({"ImagePositionPatient": None}, "ImagePositionPatient is absent"),
            ({"ImageOrientationPatient": None}, "ImageOrientationPatient is absent"),
            ({"ImageOrientationPatient": [1, 0, 0, 0.1, 1, 0]}, "not two directions at right angles"),
            ({"PixelSpacing": None}, "PixelSpacing is absent"),
            ({"PixelSpacing": None, "ImagerPixelSpacing": [1, 1]}, "ImagerPixelSpacing refers to the detector"),
        ],
    )
    def test_the_element_that_a_slice_lacks_for_its_place(self, tmp_path, said, named):
        with pytest.raises(UniferumError, match=f"10 x CT image without a position .*{named}"):
            read_dicom(write_series(tmp_path, edit=setting(**said)))

    def test_a_private_transfer_syntax(self, tmp_path):
        write_series(tmp_path)
        for file in tmp_path.iterdir():
            old, new = b"1.2.840.10008.1.2.1\0", b"1.2.840.113619.5.2\0\0"
            file.write_bytes(file.read_bytes().replace(old, new))
        with pytest.raises(
            UniferumError, match=r"10 x unreadable or truncated file .*transfer syntax is private or unknown"
        ):
            read_dicom(tmp_path)

    def test_an_archive_in_place_of_the_slices(self, tmp_path):
        (tmp_path / "slices.zip").write_bytes(b"PK\x03\x04" + bytes(100))
        with pytest.raises(UniferumError, match=r"1 x file that is not DICOM .*it holds a zip archive"):
            read_dicom(tmp_path)

    def test_what_the_acquisition_that_is_left_out_shows_beyond_the_one_that_is_read(self, tmp_path):
        write_series(tmp_path, heights(9), edit=setting(AcquisitionNumber=1))
        write_series(tmp_path, heights(15)[7:], edit=setting(AcquisitionNumber=2), name="B{}.dcm")
        stored = read_dicom(tmp_path)
        assert stored.flags == ("several_acquisitions",)
        assert "Others reach up to 30 mm beyond it" in notes(stored)


def test_a_pet_that_calls_itself_ct_is_not_chosen(tmp_path):
    write_series(tmp_path)
    pet = setting(SOPClassUID="1.2.840.10008.5.1.4.1.1.128")
    write_series(tmp_path, heights(14, 4), edit=pet, name="P{}.dcm", series="1.2.4", more=300)
    stored = read_dicom(tmp_path)
    assert error_of(stored) == 0
    assert "14 x image whose SOP class is not CT's" in notes(stored)


MR = "1.2.840.10008.5.1.4.1.1.4"


def test_slices_of_modality_ct_that_are_stored_as_mr_are_read_and_flagged(tmp_path):
    write_series(tmp_path, edit=setting(SOPClassUID=MR))
    stored = read_dicom(tmp_path)
    assert error_of(stored) == 0
    assert stored.flags == ("class_contradicts",)
    assert "stored as MR images" in notes(stored)


def test_slices_stored_as_mr_are_not_chosen_where_ct_images_lie_beside_them(tmp_path):
    write_series(tmp_path)
    write_series(tmp_path, heights(14, 4), edit=setting(SOPClassUID=MR), name="P{}.dcm", series="1.2.4", more=300)
    stored = read_dicom(tmp_path)
    assert error_of(stored) == 0
    assert stored.flags == ("several_series",)


def test_links_that_lead_to_themselves_are_left_out(tmp_path):
    write_series(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "folder").symlink_to(tmp_path)
    stored = read_dicom(tmp_path)
    assert stored.values.shape[2] == COUNT
    assert error_of(stored) == 0
