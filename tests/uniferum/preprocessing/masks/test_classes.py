"""A folder of class files is one layer, each file where its own header puts it."""

import shutil

import nibabel
import nibabel.processing
import numpy as np
import pytest

from tests.support.raw_scans import AFFINE, thorax, turned, write_nifti
from uniferum.data.cohorts.totalsegmentator import layer_at
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.load import read_volume
from uniferum.preprocessing.formats.source import ScanSource
from uniferum.preprocessing.masks.files import read_layer

HU, IDS = thorax()
CLASSES = {5: "liver", 10: "lung_upper_lobe_left", 12: "lung_upper_lobe_right", 35: "vertebrae_T9"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "masks").mkdir()
    for number, name in CLASSES.items():
        write_nifti(tmp_path / "masks" / f"{name}.nii.gz", (number == IDS).astype(np.uint8))
    return tmp_path / "masks"


def read(folder, *, hu=HU):
    source = ScanSource("s", write_nifti(folder.parent / "scan.nii", hu))
    return read_layer(layer_at(folder), source=source, like=read_volume(source))


def rewrite(folder, name, array, affine=AFFINE):
    return write_nifti(folder / f"{name}.nii.gz", array, affine)


def names(raw):
    return {flag.partition(":")[0] for flag in raw.flags}


def test_missing_classes_are_normal_and_noted(folder):
    raw = read(folder)
    np.testing.assert_array_equal(raw.ids, IDS)
    assert raw.flags == ()
    assert raw.notes == ("mask totalsegmentator: 4 of 117 classes have a file",)


@pytest.mark.parametrize("codes", ["LPS", "IPL", "ASR"])
def test_files_of_other_orientations_are_turned_each_by_its_own_header(folder, codes):
    for number in (5, 12):
        rewrite(folder, CLASSES[number], *turned((number == IDS).astype(np.uint8), AFFINE, codes))
    raw = read(folder)
    np.testing.assert_array_equal(raw.ids, IDS)
    assert raw.flags == ()


def test_files_of_other_shapes_and_spacings_go_onto_the_scans_grid_by_nearest_neighbour(folder):
    """Held to nibabel's own resampling; the first file is the smallest, and cuts off none of the others."""
    cut = np.zeros_like(IDS)
    cut[40:70, 20:50, :20] = (IDS == 5)[40:70, 20:50, :20]
    at = AFFINE.copy()
    at[:3, 3] += AFFINE[:3, :3] @ [40, 20, 0]
    rewrite(folder, "liver", cut[40:70, 20:50, :20], at)
    coarse = AFFINE @ np.diag([2.0, 2.0, 1.0, 1.0])
    lung = (IDS == 12).astype(np.uint8)[::2, ::2]
    rewrite(folder, CLASSES[12], lung, coarse)
    raw = read(folder)
    image = nibabel.Nifti1Image(lung, coarse)
    there = nibabel.processing.resample_from_to(image, (IDS.shape, AFFINE), order=0).get_fdata()
    expected = np.where(IDS == 35, 35, np.where(IDS == 10, 10, cut * 5))
    # Halfway between two coarse voxels either is the nearest: every second voxel of x and y.
    same = (slice(None, -1, 2), slice(None, -1, 2))
    np.testing.assert_array_equal(raw.ids[same], np.where(there > 0, 12, expected)[same])
    assert raw.ids.shape == HU.shape
    assert "mask_regridded" in names(raw)
    assert any("class files have another grid" in note for note in raw.notes)


def test_a_class_file_of_the_scans_shape_with_another_header_is_named(folder):
    nibabel.Nifti1Image((IDS == 5).astype(np.uint8), np.eye(4)).to_filename(folder / "liver.nii.gz")
    with pytest.raises(UniferumError, match=r"liver.nii.gz.* must agree with its scan's"):
        read(folder)


def test_overlapping_classes_are_counted(folder):
    grown = (IDS == 5) | ((IDS == 12) & (np.arange(IDS.shape[2]) < 20))
    rewrite(folder, "liver", grown.astype(np.uint8))
    raw = read(folder)
    count = int((grown & (IDS == 12)).sum())
    assert "mask_classes_overlap" in names(raw)
    assert any(f"{count} voxels are in more than one class" in note for note in raw.notes)
    np.testing.assert_array_equal(raw.ids[IDS == 12], 12)


def test_files_of_no_known_class_are_counted_and_other_files_ignored(folder):
    rewrite(folder, "trachea_and_bronchi", (IDS == 5).astype(np.uint8))
    (folder / "statistics.json").write_text("{}")
    (folder / "._liver.nii.gz").write_bytes(b"x")
    raw = read(folder)
    assert names(raw) == {"mask_unknown_classes"}
    assert any("1 files are not named after a class" in note for note in raw.notes)


@pytest.mark.parametrize("ending", [".nii", ".NII.GZ", ".Nii", ".nii.GZ"])
def test_endings_may_be_of_any_case_and_files_not_zipped(folder, ending):
    path = folder / "liver.nii.gz"
    nibabel.load(path).to_filename(folder.parent / "liver.nii")
    source = folder.parent / "liver.nii" if ending.lower() == ".nii" else path
    shutil.copy(source, folder.parent / "copy")
    path.unlink()
    (folder.parent / "copy").rename(folder / f"liver{ending}")
    np.testing.assert_array_equal(read(folder).ids, IDS)


def test_two_files_of_one_class_are_refused(folder):
    nibabel.load(folder / "liver.nii.gz").to_filename(folder / "liver.nii")
    with pytest.raises(UniferumError, match=r"only file of its class; liver.nii is too"):
        read(folder)


@pytest.mark.parametrize("fault", ["damaged", "empty", "dangling link", "a folder", "probabilities"])
def test_a_class_file_that_cannot_be_used_is_named(folder, fault):
    path = folder / "liver.nii.gz"
    whole = path.read_bytes()
    path.unlink()
    if fault == "damaged":
        path.write_bytes(whole[: len(whole) // 2])
    elif fault == "empty":
        path.touch()
    elif fault == "dangling link":
        path.symlink_to(folder / "nothing")
    elif fault == "a folder":
        path.mkdir()
    else:
        rewrite(folder, "liver", (IDS == 5) * np.random.default_rng(0).random(IDS.shape, dtype=np.float32))
    with pytest.raises(UniferumError, match=r"liver\.nii\.gz"):
        read(folder)


def test_scaled_class_files_and_those_of_255_are_masks_too(folder):
    rewrite(folder, "liver", (IDS == 5).astype(np.uint8) * 255)
    image = nibabel.Nifti1Image((IDS == 12) * 1.0, AFFINE)
    image.set_data_dtype(np.int16)
    image.to_filename(folder / f"{CLASSES[12]}.nii.gz")
    np.testing.assert_array_equal(read(folder).ids, IDS)
