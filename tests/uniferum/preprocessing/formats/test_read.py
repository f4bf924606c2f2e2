"""Files of other formats and broken files: an error of one line with a remedy."""

import os

import pytest

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.read import read_stored


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("a.nrrd", "SimpleITK.ReadImage"),
        ("A.NHDR", "SimpleITK.ReadImage"),
        ("a.hdr", r"nibabel.load\('scan.hdr'\)"),
        ("a.img.gz", r"nibabel.load\('scan.img.gz'\)"),
        ("a.mgz", "nibabel.load"),
        ("a.nii.zst", "decompress"),
        ("a.tar.gz", "unpack"),
        ("a.raw", r"\.mhd"),
        ("a.npy", r"numpy.savez_compressed"),
        ("a.h5", r"numpy.savez_compressed"),
        ("a.png", "no HU"),
        ("a.nii.gz.incomplete", "unfinished download"),
    ],
)
def test_a_file_of_another_format_says_what_to_do(tmp_path, name, cure):
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(UniferumError, match=cure) as raised:
        read_stored(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_a_file_without_a_known_ending_is_recognised_by_its_content(tmp_path):
    (tmp_path / "scan.ct").write_bytes(b"\x1f\x8b" + bytes(100))
    with pytest.raises(UniferumError, match="holds gzip"):
        read_stored(tmp_path / "scan.ct")


@pytest.mark.parametrize("name", ["x" * 400 + ".nii", "a\0b.nii", "none.nii"])
def test_names_that_no_file_has_are_refused(tmp_path, name):
    with pytest.raises(UniferumError, match=r"exist|opened"):
        read_stored(tmp_path / name)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.nii")
    with pytest.raises(UniferumError, match="regular file"):
        read_stored(tmp_path / "a.nii")
