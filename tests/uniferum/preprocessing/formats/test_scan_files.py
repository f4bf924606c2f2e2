"""Every file that is read, and no other: in a scan's signature, and within its dataset's folder."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from tests.support.raw_scans import AFFINE, write_dicom, write_metaimage, write_nifti
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.containment import check_contained
from uniferum.preprocessing.formats.load import read_volume
from uniferum.preprocessing.formats.read import read_stored
from uniferum.preprocessing.formats.source import MaskSource, ScanSource
from uniferum.preprocessing.store.signature import signature, unchanged

VALUES = np.zeros((6, 5, 4), np.int16)


def rewrite(path: Path) -> None:
    """Other content of the same length."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))


class TestSignature:
    @pytest.mark.parametrize("name", ["scan.raw", "scan.zraw", "other", "below/voxels.bin"])
    def test_a_changed_voxel_file_of_any_name_is_noticed(self, tmp_path, name):
        path = write_metaimage(tmp_path / "scan.mhd", VALUES)
        path.write_text(path.read_text().replace("scan.raw", name))
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / "scan.raw").rename(tmp_path / name)
        source = ScanSource("s", path, root=tmp_path)
        made = signature(source)
        assert unchanged(source, made)
        rewrite(tmp_path / name)
        assert not unchanged(source, made)

    def test_a_changed_slice_of_a_list_is_noticed(self, tmp_path):
        path = write_metaimage(tmp_path / "scan.mhd", VALUES)
        names = [f"{index}.img" for index in range(4)]
        for name in names:
            (tmp_path / name).write_bytes(bytes(60))
        path.write_text(path.read_text().replace("scan.raw", "LIST\n" + "\n".join(names)))
        source = ScanSource("s", path)
        made = signature(source)
        rewrite(tmp_path / "2.img")
        assert not unchanged(source, made)

    def test_a_changed_slice_in_a_nested_folder_is_noticed(self, tmp_path):
        write_dicom(tmp_path / "study" / "series", np.zeros((8, 8, 3), np.int16))
        source = ScanSource("s", tmp_path / "study")
        made = signature(source)
        assert unchanged(source, made)
        rewrite(next((tmp_path / "study" / "series").iterdir()))
        assert not unchanged(source, made)

    def test_changed_class_files_and_mask_voxels_are_noticed(self, tmp_path):
        scan = write_nifti(tmp_path / "scan.nii.gz", VALUES)
        (tmp_path / "masks").mkdir()
        liver = write_nifti(tmp_path / "masks" / "liver.nii", VALUES)
        nodule = write_metaimage(tmp_path / "nodule.mhd", VALUES)
        masks = (MaskSource("totalsegmentator", tmp_path / "masks"), MaskSource("nodule", nodule))
        source = ScanSource("s", scan, masks=masks)
        for file in (liver, nodule.with_suffix(".raw"), scan):
            made = signature(source)
            rewrite(file)
            assert not unchanged(source, made), file.name

    def test_new_times_alone_and_new_neighbours_change_nothing(self, tmp_path):
        path = write_metaimage(tmp_path / "scan.mhd", VALUES)
        source = ScanSource("s", path)
        made = signature(source)
        os.utime(path.with_suffix(".raw"), ns=(5, 5))
        (tmp_path / "scan.json").write_text("{}")
        assert unchanged(source, made)

    def test_a_missing_voxel_file_is_reported_by_the_reader_alone(self, tmp_path):
        path = write_metaimage(tmp_path / "scan.mhd", VALUES)
        path.with_suffix(".raw").unlink()
        assert signature(ScanSource("s", path))["sha256"]
        with pytest.raises(UniferumError, match="names it as its voxel file"):
            read_stored(path)


class TestFence:
    @pytest.fixture
    def root(self, tmp_path) -> Path:
        (tmp_path / "secret.raw").write_bytes(bytes(240))
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "slice").write_bytes(b"x")
        (tmp_path / "dataset").mkdir()
        return tmp_path / "dataset"

    def test_a_voxel_file_that_is_a_link_out_of_the_dataset_is_not_read_nor_hashed(self, root):
        path = write_metaimage(root / "scan.mhd", VALUES)
        path.write_text(path.read_text().replace("scan.raw", "other.zraw"))
        (root / "other.zraw").symlink_to(root.parent / "secret.raw")
        source = ScanSource("s", path, root=root)
        for act in (lambda: read_volume(source), lambda: signature(source), lambda: check_contained(path, root)):
            with pytest.raises(UniferumError, match=r"other\.zraw must be inside its dataset's folder"):
                act()

    @pytest.mark.parametrize("name", ["slice", "below"])
    def test_a_link_within_a_folder_of_slices_that_leads_out_is_refused(self, root, name):
        (root / "series" / "nested").mkdir(parents=True)
        target = root.parent / "outside"
        (root / "series" / "nested" / name).symlink_to(target / "slice" if name == "slice" else target)
        with pytest.raises(UniferumError, match="inside its dataset"):
            check_contained(root / "series", root)

    def test_links_that_stay_inside_and_circles_of_links_are_no_fault(self, root):
        (root / "series" / "nested").mkdir(parents=True)
        (root / "series" / "one").write_bytes(b"x")
        (root / "series" / "nested" / "two").symlink_to(root / "series" / "one")
        (root / "series" / "nested" / "again").symlink_to(root / "series")
        assert check_contained(root / "series", root) == root / "series"

    @pytest.mark.parametrize("path", ["..", "../secret.raw", "../dataset2/a.nii", "a/../../secret.raw"])
    def test_paths_that_lead_out_are_refused(self, root, path):
        (root.parent / "dataset2").mkdir()
        with pytest.raises(UniferumError, match="inside its dataset"):
            check_contained(root / path, root)

    def test_a_link_to_itself_ends_in_one_line(self, root):
        (root / "a.nii").symlink_to(root / "a.nii")
        with pytest.raises(UniferumError, match="exist"):
            read_volume(ScanSource("s", root / "a.nii", root=root))

    def test_neither_containment_check_nor_signature_lists_the_folder_of_a_file(self, root, monkeypatch):
        paths = [write_nifti(root / "a.nii.gz", VALUES), write_metaimage(root / "b.mhd", VALUES)]

        def listed(*_):
            raise AssertionError("the folder was listed")

        for name in ("scandir", "listdir", "walk"):
            monkeypatch.setattr(os, name, listed)
        for path in paths:
            assert check_contained(path, root) == path
            assert signature(ScanSource("s", path, root=root))["stat"]

    @pytest.mark.parametrize(
        "name",
        [
            *("scan[1]", "a**b", "what?", "*", "ü ö", "a,b;c'd", "-rf", "new\nline", "x" * 240),
            unicodedata.normalize("NFD", "é"),
            os.fsdecode(b"\xe9"),
        ],
    )
    def test_any_name_that_the_disk_takes_is_read(self, root, name):
        path = write_nifti(root / "t.nii", VALUES).rename(root / f"{name}.nii")
        source = ScanSource("s", path, root=root)
        assert unchanged(source, signature(source))
        np.testing.assert_array_equal(read_stored(check_contained(path, root)).affine, AFFINE)
        path.write_bytes(b"damaged")
        with pytest.raises(UniferumError) as raised:
            read_stored(path)
        assert "\n" not in str(raised.value)
        assert str(raised.value).encode("utf-8")
