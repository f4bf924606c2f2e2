"""Every kind of damage is one error line that names the file, or a flag; nothing is expanded, run or leaked."""

import gzip
import pickle
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.support.raw_scans import (
    AFFINE,
    SHAPE,
    thorax,
    write_dicom,
    write_metaimage,
    write_nifti,
)
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.load import read_volume
from uniferum.preprocessing.formats.source import ScanSource

HU, _ = thorax(noise=15)


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


def test_truncated_gzip(nifti):
    nifti.write_bytes(nifti.read_bytes()[:-2000])
    with pytest.raises(UniferumError, match=r"scan\.nii\.gz must be a whole gzip"):
        read(nifti)


def test_flipped_bits_in_gzip(nifti):
    content = bytearray(nifti.read_bytes())
    content[len(content) // 2] ^= 0xFF
    nifti.write_bytes(content)
    with pytest.raises(UniferumError, match="whole gzip"):
        read(nifti)


def test_wrong_magic(nifti):
    nifti.write_bytes(b"<html>404 not found</html>" * 50)
    with pytest.raises(UniferumError, match="must be a NIfTI file"):
        read(nifti)


def test_empty_file(nifti):
    nifti.write_bytes(b"")
    with pytest.raises(UniferumError, match="must be a NIfTI file"):
        read(nifti)


def test_few_nan_voxels_become_air_and_are_flagged(tmp_path):
    damaged = HU.astype(np.float32)
    damaged[:5] = np.nan
    volume = read(write_nifti(tmp_path / "scan.nii.gz", damaged))
    assert volume.flags == ("nan_voxels",)
    assert (volume.hu[:5] == -1024).all()
    np.testing.assert_array_equal(volume.hu[5:], HU[5:])


def test_mostly_nan_is_refused(tmp_path):
    damaged = np.full(SHAPE, np.nan, dtype=np.float32)
    with pytest.raises(UniferumError, match="NaN"):
        read(write_nifti(tmp_path / "scan.nii.gz", damaged))


@pytest.mark.parametrize("spacing", [0.0, -4.0, float("nan")])
def test_zero_or_negative_spacing(nifti, spacing):
    def change(content):
        content[80:84] = struct.pack("<f", spacing)

    with pytest.raises(UniferumError, match="pixdim"):
        read(_damage(nifti, change))


def test_singular_affine(nifti):
    def change(content):
        content[280:296] = struct.pack("<4f", 0, 0, 0, 0)

    with pytest.raises(UniferumError, match="affine"):
        read(_damage(nifti, change))


def test_non_orthogonal_affine(tmp_path):
    skewed = AFFINE.copy()
    skewed[0, 1] = 3.5
    image = nibabel.Nifti1Image(HU, skewed)
    image.set_sform(skewed, 1)
    image.header["qform_code"] = 0
    image.header["pixdim"][1:4] = np.sqrt((skewed[:3, :3] ** 2).sum(axis=0))
    image.to_filename(tmp_path / "scan.nii.gz")
    with pytest.raises(UniferumError, match="right angles"):
        read(tmp_path / "scan.nii.gz")


def test_a_blank_header_is_flagged_unless_the_cohort_gives_the_affine(tmp_path):
    image = nibabel.Nifti1Image(HU, None)
    image.to_filename(tmp_path / "scan.nii.gz")
    assert "no_orientation" in read(tmp_path / "scan.nii.gz").flags
    given = tuple(tuple(float(v) for v in row) for row in AFFINE)
    volume = read(tmp_path / "scan.nii.gz", affine=given)
    assert volume.flags == ()
    np.testing.assert_allclose(volume.affine, AFFINE)


@pytest.mark.parametrize("shape", [(8, 8, 8, 2), (8, 8), (8, 8, 1), (8, 8, 8, 1, 3)])
def test_not_one_volume(tmp_path, shape):
    image = nibabel.Nifti1Image(np.zeros(shape, np.int16), np.eye(4))
    image.to_filename(tmp_path / "scan.nii.gz")
    with pytest.raises(UniferumError, match=r"three dimensions|at least 2 voxels"):
        read(tmp_path / "scan.nii.gz")


def test_colours(tmp_path):
    rgb = np.zeros((8, 8, 8), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.Nifti1Image(rgb, np.eye(4)).to_filename(tmp_path / "scan.nii.gz")
    with pytest.raises(UniferumError, match="no colours"):
        read(tmp_path / "scan.nii.gz")


def test_wrapped_16_bit_values_are_flagged(tmp_path):
    wrapped = HU.astype(np.uint16)
    assert read(write_nifti(tmp_path / "scan.nii.gz", wrapped)).flags == ("wrong_hu",)


@pytest.mark.parametrize("offset", [1024, -1024])
def test_a_missing_or_repeated_intercept_is_flagged(tmp_path, offset):
    shifted = (HU + offset).astype(np.int16)
    assert read(write_nifti(tmp_path / "scan.nii.gz", shifted)).flags == ("wrong_hu",)


@pytest.mark.parametrize("padding", [-3024, -8192, -2048])
def test_padding_outside_the_field_of_view_is_no_wrong_hu(tmp_path, padding):
    padded = HU.copy()
    padded[:20] = padding
    assert read(write_nifti(tmp_path / "scan.nii.gz", padded)).flags == ()


def test_a_file_that_declares_100_gb_is_refused_before_it_is_expanded(nifti):
    def change(content):
        content[40:56] = struct.pack("<8h", 3, 5000, 5000, 2000, 1, 1, 1, 1)

    with pytest.raises(UniferumError, match="declare at most"):
        read(_damage(nifti, change))


def test_a_gzip_that_goes_on_after_its_volume_is_not_expanded(nifti):
    content = gzip.decompress(nifti.read_bytes())
    nifti.write_bytes(gzip.compress(content + bytes(64 << 20)))
    with pytest.raises(UniferumError, match="more than 1 MiB follows"):
        read(nifti)


def test_a_header_that_declares_more_than_the_file_can_hold(nifti):
    def change(content):
        content[40:56] = struct.pack("<8h", 3, 1500, 1500, 800, 1, 1, 1, 1)
        del content[400:]

    with pytest.raises(UniferumError, match="truncated"):
        read(_damage(nifti, change))


def test_pickled_objects_in_npz_are_refused_and_not_run(tmp_path):
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
def test_npz_without_its_array_or_its_affine(tmp_path, content):
    np.savez(tmp_path / "scan.npz", **content)
    with pytest.raises(UniferumError, match=r"'ct'|'affine'"):
        read(tmp_path / "scan.npz")


def test_truncated_npz(tmp_path):
    np.savez_compressed(tmp_path / "scan.npz", ct=HU, affine=AFFINE)
    (tmp_path / "scan.npz").write_bytes((tmp_path / "scan.npz").read_bytes()[:-3000])
    with pytest.raises(UniferumError, match="valid npz"):
        read(tmp_path / "scan.npz")


def test_missing_and_truncated_raw_files(tmp_path):
    path = write_metaimage(tmp_path / "scan.mhd", HU)
    raw = path.with_suffix(".raw")
    raw.write_bytes(raw.read_bytes()[:1000])
    with pytest.raises(UniferumError, match="truncated"):
        read(path)
    raw.unlink()
    with pytest.raises(UniferumError, match="must exist"):
        read(path)


def test_a_raw_file_outside_the_folder_is_not_read(tmp_path):
    path = write_metaimage(tmp_path / "scan.mhd", HU)
    path.write_text(path.read_text().replace("= scan.raw", "= ../scan.raw"))
    with pytest.raises(UniferumError, match="in the same folder"):
        read(path)


def test_paths_that_lead_out_of_the_root_are_refused(tmp_path):
    root = tmp_path / "dataset"
    root.mkdir()
    outside = write_nifti(tmp_path / "secret.nii.gz", HU)
    (root / "link.nii.gz").symlink_to(outside)
    for path in (root / "link.nii.gz", root / ".." / "secret.nii.gz"):
        with pytest.raises(UniferumError, match="inside its dataset"):
            read(path, root=root)
    assert read(root / "link.nii.gz").shape == SHAPE


def test_a_folder_without_slices_and_an_unknown_ending(tmp_path):
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "notes.txt").write_text("nothing")
    with pytest.raises(UniferumError, match="DICOM series"):
        read(tmp_path / "series")
    (tmp_path / "scan.png").write_bytes(b"png")
    with pytest.raises(UniferumError, match=r"\.nii, \.nii\.gz"):
        read(tmp_path / "scan.png")


def test_an_error_about_dicom_tells_nothing_of_the_patient(tmp_path):
    folder = write_dicom(tmp_path / "series", HU, private="SECRET^NAME")
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(UniferumError) as raised:
        read(folder)
    assert "SECRET" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("offset", [356, 368])
def test_an_offset_behind_the_first_voxels_is_refused(tmp_path, offset):
    path = write_nifti(tmp_path / "scan.nii", HU)
    content = bytearray(path.read_bytes())
    content[108:112] = struct.pack("<f", offset)
    path.write_bytes(content + bytes(offset - 352))
    with pytest.raises(UniferumError, match=r"vox_offset .*set it to 352"):
        read(path)


def test_a_plain_file_that_ends_early_is_not_called_gzip(tmp_path):
    path = write_nifti(tmp_path / "scan.nii", HU)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UniferumError, match="must hold as many voxels as its header declares"):
        read(path)


def test_an_affine_that_is_the_identity_is_flagged(tmp_path):
    path = write_nifti(tmp_path / "scan.nii", HU, affine=np.eye(4))
    assert "no_orientation" in read(path).flags
    assert "no_orientation" not in read(path, affine=tuple(map(tuple, AFFINE))).flags


def test_a_servers_answer_in_place_of_a_scan_is_named(tmp_path):
    (tmp_path / "scan.nii.gz").write_bytes(b'{"error": "Access is restricted"}')
    with pytest.raises(UniferumError, match="it holds JSON text"):
        read(tmp_path / "scan.nii.gz")


def test_text_behind_the_gzip_is_said_without_quoting_it(nifti):
    nifti.write_bytes(nifti.read_bytes() + b"JANE DOE" * 9)
    with pytest.raises(UniferumError, match="something else follows the compressed data") as error:
        read(nifti)
    assert "JA" not in str(error.value).partition("scan.nii.gz")[2]
