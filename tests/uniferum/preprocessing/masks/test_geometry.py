"""Two headers that contradict each other are refused or flagged; grids of a mask's own are fine."""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from tests.support.raw_scans import AFFINE, LIVER, thorax, turned, write_nifti
from tests.support.simpleitk_images import any_affine, simpleitk_image
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.load import read_volume
from uniferum.preprocessing.formats.source import MaskSource, ScanSource
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.masks import grids
from uniferum.preprocessing.masks.files import read_layer
from uniferum.preprocessing.pipeline import PreparationConfig, prepare

CONFIG = PreparationConfig(geometry=Geometry(spacing_mm=(4, 4, 4), model_shape=(64, 40, 32)), levels=("full",))
HU, IDS = thorax()
ORGAN = (IDS == LIVER).astype(np.uint8)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A scan stored left, posterior, superior, as DICOM converters leave it."""
    stored, affine = turned(HU, AFFINE, "LPS")
    return ScanSource("s", write_nifti(tmp_path_factory.mktemp("scan") / "scan.nii.gz", stored, affine)), affine


def read(scan, path, **keys):
    source, _ = scan
    return read_layer(MaskSource("organ", path, **keys), source=source, like=read_volume(source))


def moved(affine, by=(0, 0, 0), scale=(1, 1, 1)):
    out = affine @ np.diag([*scale, 1.0])
    out[:3, 3] += by
    return out


def identity(path, stored, affine):
    nibabel.Nifti1Image(stored, np.eye(4)).to_filename(path)


def blank(path, stored, affine):
    nibabel.Nifti1Image(stored, None).to_filename(path)


def spacing_alone(path, stored, affine):
    image = nibabel.Nifti1Image(stored, None)
    image.header.set_zooms((4.0, 4.0, 5.0))
    image.to_filename(path)


def simpleitk_without_copy_information(path, stored, affine):
    sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(stored.transpose(2, 1, 0))), str(path))


def other_origin(path, stored, affine):
    write_nifti(path, stored, moved(affine, (0, 30, 0)))


def origin_at_zero(path, stored, affine):
    at_zero = affine.copy()
    at_zero[:3, 3] = 0
    write_nifti(path, stored, at_zero)


def other_spacing(path, stored, affine):
    write_nifti(path, stored, moved(affine, scale=(1, 1, 0.5)))


def flipped_header(path, stored, affine):
    write_nifti(path, stored, moved(affine, scale=(-1, 1, 1)))


def swapped_axes(path, stored, affine):
    write_nifti(path, np.ascontiguousarray(stored.transpose(2, 1, 0)), affine)


def one_slice_too_high(path, stored, affine):
    write_nifti(path, stored, moved(affine, (0, 0, 5.0)))


CONTRADICTIONS = [
    identity,
    blank,
    spacing_alone,
    simpleitk_without_copy_information,
    other_origin,
    origin_at_zero,
    other_spacing,
    flipped_header,
    swapped_axes,
    one_slice_too_high,
]


@pytest.mark.parametrize("write", CONTRADICTIONS, ids=lambda write: write.__name__)
def test_a_mask_of_its_scans_shape_with_another_header_is_refused_or_left_out(scan, tmp_path, write):
    source, affine = scan
    write(tmp_path / "mask.nii.gz", turned(ORGAN, AFFINE, "LPS")[0], affine)
    with pytest.raises(UniferumError, match=r"agree with its scan's|have the same order of axes"):
        read(scan, tmp_path / "mask.nii.gz")
    masked = ScanSource("s", source.path, masks=(MaskSource("organ", tmp_path / "mask.nii.gz"),))
    kept = prepare(masked, CONFIG.replace(keep_with_bad_mask=True))
    assert "bad_mask:organ" in kept.flags
    assert kept.masks == {}
    assert any(note.startswith("mask organ: ignored") for note in kept.notes)
    assert not any(str(tmp_path) in note for note in kept.notes)


@pytest.mark.parametrize("header", [np.eye(4), np.diag([-1.0, -1.0, 1.0, 1.0]), None])
def test_a_header_that_says_nothing_does_not_turn_a_mask_whose_place_the_cohort_gives(tmp_path, header):
    cube = (slice(0, 50),) * 3
    spaced = np.diag([1.0, 1.0, 1.0, 1.0])
    scan, affine = turned(HU[cube], spaced, "IPL")
    np.savez(tmp_path / "scan.npz", ct=scan)
    given = tuple(tuple(float(v) for v in row) for row in affine)
    nibabel.Nifti1Image(turned(IDS[cube], spaced, "IPL")[0], header).to_filename(tmp_path / "mask.nii")
    source = ScanSource("s", tmp_path / "scan.npz", affine=given)
    layer = MaskSource("totalsegmentator", tmp_path / "mask.nii")
    raw = read_layer(layer, source=source, like=read_volume(source))
    np.testing.assert_array_equal(raw.ids, IDS[cube])


@pytest.mark.parametrize("codes", ["LPS", "RAS", "IPL", "ASR"])
def test_the_scans_grid_is_its_grid_however_the_mask_is_stored(scan, tmp_path, codes):
    stored, affine = turned(ORGAN, AFFINE, codes)
    affine[:3] += np.random.default_rng(0).uniform(-1e-4, 1e-4, (3, 4))
    got = read(scan, write_nifti(tmp_path / "mask.nii.gz", stored, affine))
    assert got.flags == ()
    np.testing.assert_array_equal(got.ids, ORGAN)


def test_less_than_a_voxel_aside_is_flagged_with_its_millimetres_and_kept_there(scan, tmp_path):
    stored, affine = turned(ORGAN, AFFINE, "LPS")
    got = read(scan, write_nifti(tmp_path / "mask.nii.gz", stored, moved(affine, (2.0, 0, 0))))
    assert got.flags == ("mask_shifted:organ",)
    assert "2.00 mm" in got.notes[0]
    assert got.affine[0, 3] == pytest.approx(AFFINE[0, 3] + 2)


def test_other_spacings_and_parts_of_a_scan_are_fine(scan, tmp_path):
    part = write_nifti(tmp_path / "part.nii.gz", ORGAN[30:80, 5:60, :30], moved(AFFINE, (120, 20, 0)))
    fine = np.repeat(ORGAN, 2, axis=2)
    fine_affine = moved(AFFINE, (0, 0, -1.25), (1, 1, 0.5))
    for path in (part, write_nifti(tmp_path / "fine.nii.gz", fine, fine_affine)):
        source = ScanSource("s", scan[0].path, masks=(MaskSource("organ", path),))
        made = prepare(source, CONFIG)
        assert not [flag for flag in made.flags if "mask" in flag]
        on = made.levels["full"][made.masks["organ"]["full"] > 0]
        assert np.mean(np.abs(on - 60.0) < 30) > 0.9


@pytest.mark.parametrize("write", [identity, simpleitk_without_copy_information])
def test_a_blank_header_of_another_shape_is_refused_too(scan, tmp_path, write):
    write(tmp_path / "mask.nii.gz", ORGAN[10:80], None)
    with pytest.raises(UniferumError, match="give its position"):
        read(scan, tmp_path / "mask.nii.gz")


def test_a_mask_of_one_millimetre_from_zero_fits_a_scan_that_begins_there(tmp_path):
    affine = np.diag([4.0, 4.0, 5.0, 1.0])
    source = ScanSource("s", write_nifti(tmp_path / "scan.nii.gz", HU, affine))
    stored = np.repeat(ORGAN, 4, axis=0)[:200, :60, :50]
    raw = read_layer(
        MaskSource("organ", write_nifti(tmp_path / "mask.nii.gz", stored, np.eye(4))),
        source=source,
        like=read_volume(source),
    )
    assert raw.flags == ()


def test_what_the_reader_says_of_a_masks_header_is_not_lost(scan, tmp_path):
    stored, affine = turned(ORGAN, AFFINE, "LPS")
    path = write_nifti(tmp_path / "mask.nii", stored, affine)
    with path.open("r+b") as file:
        file.seek(80)
        file.write(np.array([1.0, 1.0, 1.0], "<f4").tobytes())
    assert "spacing_contradiction:organ" in read(scan, path).flags


@pytest.mark.parametrize(
    ("uid", "name"), [("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT"), ("1.2.840.10008.5.1.4.1.1.66.4", "SEG")]
)
@pytest.mark.parametrize("in_folder", [False, True])
def test_contours_and_segmentation_objects_are_named_as_what_they_are(scan, tmp_path, uid, name, in_folder):
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = uid, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = uid, meta.MediaStorageSOPInstanceUID
    (tmp_path / "mask").mkdir()
    data.save_as(tmp_path / "mask" / "1.dcm", enforce_file_format=True)
    with pytest.raises(UniferumError, match=name):
        read(scan, tmp_path / "mask" if in_folder else tmp_path / "mask" / "1.dcm")


def test_nearest_neighbour_onto_a_grid_is_simpleitks_on_any_affine():
    """Ties apart: a position halfway between two voxels belongs to either."""
    random = np.random.default_rng(3)
    for _ in range(12):
        ids = random.integers(0, 118, (14, 17, 12)).astype(np.uint8)
        mask_affine, affine = (any_affine(random) for _ in range(2))
        affine[:3, 3] = mask_affine[:3, :3] @ (np.array(ids.shape) / 2) + mask_affine[:3, 3]
        affine[:3, 3] -= affine[:3, :3] @ np.array([8, 8, 8])
        ours, saved = grids.onto_grid(ids, mask_affine, affine, (16, 16, 16))
        image, grid = simpleitk_image(ids, mask_affine), simpleitk_image(np.zeros((16, 16, 16), np.uint8), affine)
        theirs = sitk.Resample(image, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
        differ = ours != sitk.GetArrayFromImage(theirs).transpose(2, 1, 0)
        index = np.linalg.inv(mask_affine) @ affine @ np.c_[np.argwhere(differ), np.ones(differ.sum())].T
        tie = np.abs(np.abs(index[:3] - np.floor(index[:3])) - 0.5).min(axis=0, initial=1.0) < 1e-3
        assert ours.any()
        assert (~tie).sum() <= saved
