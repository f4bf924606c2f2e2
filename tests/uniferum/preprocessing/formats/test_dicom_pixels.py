"""Stored values become HU by the rules of the DICOM standard, or the error names the faulty element."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from tests.support.dicom_series import (
    COUNT,
    SHAPE,
    ct_slice,
    enhanced,
    error_of,
    heights,
    put,
    setting,
    write_series,
)
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.dicom import read_dicom
from uniferum.preprocessing.formats.read import read_stored


def read(folder, edit=None, **said):
    return read_dicom(write_series(folder, edit=edit, **said))


def hu_of(data):
    """HU of a slice as the writer made it."""
    return np.frombuffer(data.PixelData, "<u2").reshape(data.Rows, data.Columns).astype(float) - 1024


def some(edit, which):
    return lambda data, k: edit(data, k) if k in which else data


class TestRescale:
    @pytest.mark.parametrize(("slope", "intercept", "kind"), [(1, -1024, "i2"), (2, -3000, "i2"), (0.5, -1024.5, "f4")])
    def test_whole_numbers_stay_whole_and_others_become_floats(self, tmp_path, slope, intercept, kind):
        def edit(data, k):
            hu = hu_of(data)
            data.RescaleSlope, data.RescaleIntercept = slope, intercept
            put(data, hu)
            return data

        stored = read(tmp_path, edit)
        assert stored.values.dtype == np.dtype(kind)
        assert error_of(stored) <= slope / 2

    def test_each_slice_has_its_own(self, tmp_path):
        def edit(data, k):
            hu = hu_of(data)
            data.RescaleIntercept = -1024 - 7 * k
            put(data, hu)
            return data

        assert error_of(read(tmp_path, edit)) == 0

    @pytest.mark.parametrize("fault", [{"RescaleSlope": None, "RescaleIntercept": None}, {"RescaleIntercept": ""}])
    def test_lost_in_some_slices_it_is_taken_from_the_others_and_flagged(self, tmp_path, fault):
        stored = read(tmp_path, some(setting(**fault), (0, 3, 4)))
        assert stored.flags == ("rescale_filled_in",)
        assert error_of(stored) == 0
        assert "3 of 10 slices" in stored.notes[0]

    def test_values_that_contradict_the_pixels_of_some_slices_are_flagged(self, tmp_path):
        stored = read(tmp_path, some(setting(RescaleIntercept=0), (3, 4)))
        assert stored.flags == ("wrong_hu",)
        assert "2 of 10 slices do not look like their neighbours" in stored.notes[0]

    def test_slices_that_do_not_fit_the_others_values_are_refused(self, tmp_path):
        def edit(data, k):
            if k in (3, 4):
                put_raw = np.clip(hu_of(data), 0, None).astype("<u2")
                data.PixelData = put_raw.tobytes()
                del data.RescaleSlope, data.RescaleIntercept
            return data

        with pytest.raises(UniferumError, match="does not look like its neighbours"):
            read(tmp_path, edit)

    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            ({"RescaleIntercept": ""}, "RescaleIntercept is empty"),
            ({"RescaleSlope": 0}, "RescaleSlope is 0"),
            ({"RescaleSlope": None}, "RescaleSlope is absent"),
        ],
    )
    def test_unusable_in_all_slices_it_is_refused_by_name(self, tmp_path, fault, said):
        with pytest.raises(UniferumError, match=said):
            read(tmp_path, setting(**fault))

    def test_no_number_is_refused_by_name(self, tmp_path):
        write_series(tmp_path)
        for path in tmp_path.iterdir():
            path.write_bytes(path.read_bytes().replace(b"-1024.0 ", b"minus 4 "))
        with pytest.raises(UniferumError, match="RescaleIntercept is empty or not a number"):
            read_dicom(tmp_path)

    def test_absent_everywhere_it_is_flagged(self, tmp_path):
        stored = read(tmp_path, setting(RescaleSlope=None, RescaleIntercept=None))
        assert stored.flags == ("no_rescale", "wrong_hu")

    @pytest.mark.parametrize(("kind", "flags"), [("HU", ()), ("OD", ("wrong_hu",))])
    def test_a_modality_lut(self, tmp_path, kind, flags):
        def edit(data, k):
            del data.RescaleSlope, data.RescaleIntercept
            table = Dataset()
            table.add_new("LUTDescriptor", "US", [4096, 0, 16])
            table.ModalityLUTType = kind
            table.add_new("LUTData", "US", [int(v) & 0xFFFF for v in np.arange(4096) - 1024])
            data.ModalityLUTSequence = Sequence([table])
            return data

        stored = read(tmp_path, edit)
        assert stored.flags == flags
        assert error_of(stored) == 0


class TestPadding:
    CORNER = (slice(0, 3), slice(0, 3))

    def edit(self, value, stored=None, **more):
        def change(data, k):
            pixels = np.frombuffer(data.PixelData, "<u2").reshape(SHAPE[::-1]).copy()
            pixels[self.CORNER] = (value if stored is None else stored) % 65536
            data.PixelData = pixels.tobytes()
            data.add_new("PixelPaddingValue", "SS" if value < 0 else "US", value)
            return setting(**more)(data, k)

        return change

    @pytest.mark.parametrize("value", [63536, -2000, 0, 65535])
    def test_becomes_air_whatever_its_sign(self, tmp_path, value):
        stored = read(tmp_path, self.edit(value))
        assert (stored.values[self.CORNER] == -1024).all()
        assert error_of(stored, edge=3) == 0

    def test_a_range_becomes_air(self, tmp_path):
        def edit(data, k):
            data = self.edit(63536, 63540)(data, k)
            data.add_new("PixelPaddingRangeLimit", "US", 63550)
            return data

        assert (read(tmp_path, edit).values[self.CORNER] == -1024).all()

    def test_beyond_the_stored_bits_it_is_still_padding(self, tmp_path):
        stored = read(tmp_path, self.edit(63536, BitsStored=12, HighBit=11))
        assert (stored.values[self.CORNER] == -1024).all()
        assert error_of(stored, edge=3) == 0

    def test_a_value_that_is_tissue_is_padding_only_at_the_border(self, tmp_path):
        def edit(data, k):
            pixels = np.frombuffer(data.PixelData, "<u2").reshape(SHAPE[::-1]).copy()
            pixels[6, 7] = 1024
            data.PixelData = pixels.tobytes()
            return self.edit(1024)(data, k)

        stored = read(tmp_path, edit)
        assert (stored.values[self.CORNER] == -1024).all()
        assert (stored.values[7, 6] == 0).all()


class TestBits:
    @pytest.mark.parametrize("signed", [False, True])
    def test_unused_high_bits_are_ignored(self, tmp_path, signed):
        def edit(data, k):
            hu = hu_of(data)
            data.RescaleIntercept = 0 if signed else -1024
            data.PixelRepresentation = int(signed)
            put(data, hu, "<i2")
            stored = np.frombuffer(data.PixelData, "<u2").copy() & 0x0FFF
            stored[::7] |= 0x8000
            data.BitsStored, data.HighBit, data.PixelData = 12, 11, stored.tobytes()
            return data

        assert error_of(read(tmp_path, edit)) == 0

    def test_a_high_bit_on_top_shifts_the_values(self, tmp_path):
        def edit(data, k):
            stored = (np.frombuffer(data.PixelData, "<u2") << 4).astype("<u2")
            data.BitsStored, data.HighBit, data.PixelData = 12, 15, stored.tobytes()
            return data

        assert error_of(read(tmp_path, edit)) == 0

    def test_a_high_bit_that_contradicts_the_values_is_refused(self, tmp_path):
        with pytest.raises(UniferumError, match="HighBit 15, BitsStored 12"):
            read(tmp_path, setting(BitsStored=12, HighBit=15))

    @pytest.mark.parametrize(("bits", "slope", "kind"), [(8, 8, "u1"), (32, 1, "<u4")])
    def test_eight_and_32_bits(self, tmp_path, bits, slope, kind):
        def edit(data, k):
            hu = hu_of(data)
            data.RescaleSlope = slope
            data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
            put(data, hu, kind)
            return data

        assert error_of(read(tmp_path, edit)) <= slope / 2

    def test_monochrome1_does_not_change_hu(self, tmp_path):
        stored = read(tmp_path, setting(PhotometricInterpretation="MONOCHROME1"))
        assert error_of(stored) == 0
        assert "MONOCHROME1" in stored.notes[0]


class TestEncodings:
    @pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
    def test_uncompressed(self, tmp_path, syntax):
        def edit(data, k):
            data.file_meta.TransferSyntaxUID = syntax
            if syntax == ExplicitVRBigEndian:
                data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
                data["PixelData"].VR = "OW"
            return data

        assert error_of(read(tmp_path, edit)) == 0

    @pytest.mark.parametrize("implicit", [True, False])
    def test_without_preamble_and_file_meta(self, tmp_path, implicit):
        for k, z in enumerate(heights()):
            data = Dataset(ct_slice((-10, -15, z), number=k))
            pydicom.dcmwrite(tmp_path / f"{k}", data, implicit_vr=implicit, little_endian=True)
        stored = read_dicom(tmp_path)
        assert stored.flags == ()
        assert error_of(stored) == 0

    @pytest.mark.parametrize(
        "syntax",
        ["JPEGLosslessProcess14_1", "JPEGLosslessProcess14", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless"],
    )
    def test_compressed_without_loss(self, tmp_path, syntax):
        gdcm = pytest.importorskip("gdcm")
        write_series(tmp_path, edit=setting(BitsStored=12, HighBit=11))
        for path in tmp_path.iterdir():
            reader, writer, change = gdcm.ImageReader(), gdcm.ImageWriter(), gdcm.ImageChangeTransferSyntax()
            reader.SetFileName(str(path))
            assert reader.Read()
            change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
            change.SetInput(reader.GetImage())
            assert change.Change()
            writer.SetFileName(str(path))
            writer.SetFile(reader.GetFile())
            writer.SetImage(change.GetOutput())
            assert writer.Write()
        assert error_of(read_dicom(tmp_path)) == 0

    def test_12_bit_jpeg_extended(self, tmp_path):
        sitk = pytest.importorskip("SimpleITK")
        source = pydicom.data.get_testdata_file("JPEG-lossy.dcm", download=False)
        for k in range(3):
            data = pydicom.dcmread(source)
            geometry = {"ImagePositionPatient": [0, 0, 5 * k], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
            setting(Modality="CT", PixelSpacing=[1, 1], RescaleSlope=1, RescaleIntercept=0, **geometry)(data, k)
            data.ImageType, data.PhotometricInterpretation = ["ORIGINAL", "PRIMARY", "AXIAL"], "MONOCHROME2"
            data.save_as(tmp_path / f"{k}.dcm")
        values = read_dicom(tmp_path).values
        np.testing.assert_array_equal(values[:, :, 1].T, sitk.GetArrayFromImage(sitk.ReadImage(source))[0])

    def test_a_missing_decoder_is_named_with_its_package(self, tmp_path):
        def edit(data, k):
            data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.201"
            data.PixelData = pydicom.encaps.encapsulate([b"\0" * 20])
            data["PixelData"].is_undefined_length = True
            return data

        with pytest.raises(UniferumError, match=r"High-Throughput JPEG 2000.*pip install pylibjpeg"):
            read(tmp_path, edit)


class TestFrames:
    def slices(self, z=None, **said):
        return [ct_slice((-10, -15, h), number=k, **said) for k, h in enumerate(heights() if z is None else z)]

    def save(self, path, data):
        pydicom.dcmwrite(path, data, enforce_file_format=True)
        return path

    @pytest.mark.parametrize("name", ["scan.dcm", "scan", "1.2.840.113"])
    @pytest.mark.parametrize("rescale_a_frame", [False, True])
    def test_an_enhanced_file_is_read_whatever_its_name(self, tmp_path, name, rescale_a_frame):
        slices = self.slices()
        if rescale_a_frame:
            hu = hu_of(slices[4])
            slices[4].RescaleIntercept = -1500
            put(slices[4], hu)
        path = self.save(tmp_path / name, enhanced(slices, rescale_a_frame=rescale_a_frame))
        for stored in (read_stored(path), read_stored(tmp_path)):
            assert stored.flags == ()
            assert error_of(stored) == 0

    def test_frames_in_any_order_with_one_missing(self, tmp_path):
        order = [3, 0, 9, 7, 1, 2, 8, 4, 6]
        self.save(tmp_path / "scan", enhanced(self.slices(heights()[order])))
        stored = read_dicom(tmp_path)
        assert stored.flags == ("missing_slices",)
        assert error_of(stored) < 1.01

    def test_frames_compressed(self, tmp_path):
        data = enhanced(self.slices())
        data.compress(RLELossless)
        self.save(tmp_path / "scan", data)
        assert error_of(read_dicom(tmp_path)) == 0

    def test_two_phases_in_one_file_are_not_mixed(self, tmp_path):
        data = enhanced([*self.slices(), *self.slices(more=200)])
        for k, frame in enumerate(data.PerFrameFunctionalGroupsSequence):
            content = Dataset()
            content.FrameAcquisitionNumber = 1 + k // COUNT
            frame.FrameContentSequence = Sequence([content])
        self.save(tmp_path / "scan", data)
        stored = read_dicom(tmp_path)
        assert stored.flags == ("several_acquisitions",)
        assert error_of(stored) == 0

    @pytest.mark.parametrize("number", [1, None])
    def test_a_series_in_two_files_one_behind_the_other_is_one_stack(self, tmp_path, number):
        lower, upper = enhanced(self.slices()[:5]), enhanced(self.slices()[5:])
        upper.InstanceNumber = number or 2
        self.save(tmp_path / "b", lower)
        self.save(tmp_path / "a", upper)
        stored = read_dicom(tmp_path)
        assert stored.flags == ()
        assert stored.values.shape[2] == COUNT
        assert error_of(stored) == 0

    def test_two_files_that_show_the_same_places_are_two_acquisitions(self, tmp_path):
        self.save(tmp_path / "a", enhanced(self.slices()))
        self.save(tmp_path / "b", enhanced(self.slices(more=200)))
        stored = read_dicom(tmp_path)
        assert stored.flags == ("several_acquisitions",)
        assert min(error_of(stored), error_of(stored, 200)) == 0

    def test_frames_without_places_are_refused_as_what_they_are(self, tmp_path):
        data = enhanced(self.slices())
        del data.PerFrameFunctionalGroupsSequence
        with pytest.raises(UniferumError, match="1 x multi-frame image without a position for each frame"):
            read_dicom(self.save(tmp_path / "scan.dcm", data))

    def test_a_single_slice_is_refused(self, tmp_path):
        with pytest.raises(UniferumError, match=r"1 slice.*two slices"):
            read_stored(self.save(tmp_path / "scan.dcm", self.slices()[0]))


class TestDamage:
    @pytest.mark.parametrize("keep", [140, 700, -1])
    def test_a_slice_that_is_cut_costs_itself_and_is_named(self, tmp_path, keep):
        write_series(tmp_path)
        path = tmp_path / "IM004.dcm"
        path.write_bytes(path.read_bytes()[:keep])
        stored = read_dicom(tmp_path)
        assert set(stored.flags) == {"unreadable_files", "missing_slices"}
        assert "by name, file 5 of 10" in " ".join(stored.notes)
        assert error_of(stored) < 1.01

    def test_every_place_to_cut_is_read_or_refused(self, tmp_path):
        write_series(tmp_path, heights(3, 5.0))
        path = tmp_path / "IM002.dcm"
        whole = path.read_bytes()
        for keep in range(0, len(whole), 71):
            path.write_bytes(whole[:keep])
            assert "unreadable_files" in read_dicom(tmp_path).flags, keep

    def test_damaged_compressed_pixels_cost_one_slice(self, tmp_path):
        def edit(data, k):
            data.compress(RLELossless)
            return data

        write_series(tmp_path, edit=edit)
        path = tmp_path / "IM004.dcm"
        path.write_bytes(path.read_bytes()[:-150])
        stored = read_dicom(tmp_path)
        assert set(stored.flags) == {"unreadable_files", "missing_slices"}
        assert error_of(stored) < 1.01

    def test_no_slice_with_pixels(self, tmp_path):
        write_series(tmp_path)
        for path in tmp_path.iterdir():
            path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(UniferumError, match="10 x unreadable or truncated file"):
            read_dicom(tmp_path)
