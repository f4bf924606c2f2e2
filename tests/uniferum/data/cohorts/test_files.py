"""Files of a cohort: each is listed once, links are followed, and files that no row names are reported."""

import os
from pathlib import Path

import pytest

from tests.support.cohort_layouts import touch
from uniferum.data.cohorts import files
from uniferum.data.cohorts.shared_files import SharedFiles

MAGIC = b"\0" * 128 + b"DICM"


def faults_below(root: Path, **how: object) -> dict[str, str | None]:
    listed = files.files_below(root, **how)  # type: ignore[arg-type]
    return {one.path.relative_to(root).as_posix(): one.fault for one in listed}


def test_volumes_of_any_case_in_linked_and_nested_folders_are_listed_once(tmp_path: Path) -> None:
    for name in ("a.nii", "B.NII.GZ", "deep/er/c.Mhd", "deep/._c.mhd", "notes.txt", "[x]*?/d.npz", "ü ö.mha"):
        touch(tmp_path / name)
    (tmp_path / "again").symlink_to(tmp_path / "deep", target_is_directory=True)
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.nii").symlink_to(tmp_path / "self.nii")
    assert faults_below(tmp_path) == dict.fromkeys(
        ["self.nii", "a.nii", "B.NII.GZ", "deep/er/c.Mhd", "[x]*?/d.npz", "ü ö.mha"]
    )


def test_a_linked_folder_that_leads_outside_is_reported_unless_it_is_followed(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere/a.nii")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert faults_below(tmp_path / "root") == {"link": files.LINKED_OUT}
    assert faults_below(tmp_path / "root", follow_symlinks=True) == {"link/a.nii": None}


def test_folders_of_slices_are_known_by_their_endings_or_their_first_bytes(tmp_path: Path) -> None:
    touch(tmp_path / "one/IM1.DCM")
    touch(tmp_path / "two/IM1").write_bytes(MAGIC)
    touch(tmp_path / "three/IM1").write_bytes(b"\0" * 140)
    os.mkfifo(tmp_path / "three/pipe")
    touch(tmp_path / "named/IM1.dcm")
    named = {os.path.realpath(tmp_path / "named")}
    assert faults_below(tmp_path, dicom=True, skip=named) == {"one": None, "two": None}


@pytest.mark.parametrize(
    ("relative", "reason"),
    [
        ("a.nii", None),
        ("gone.nii", files.MISSING),
        ("a.nii/b", files.MISSING),
        ("", files.MISSING),
        ("../a.nii", files.OUTSIDE),
        ("/a.nii", files.OUTSIDE),
        ("C:\\a.nii", files.OUTSIDE),
        ("a\0.nii", files.OUTSIDE),
        ("x" * 300, files.UNREADABLE),
        ("loop.nii", files.UNREADABLE),
        ("pipe.nii", files.UNREADABLE),
        ("empty.nii", files.EMPTY),
        ("out.nii", files.OUTSIDE),
    ],
)
def test_why_a_volume_is_not_read(tmp_path: Path, relative: str, reason: str | None) -> None:
    root = tmp_path / "root"
    touch(root / "a.nii")
    (root / "empty.nii").touch()
    (root / "loop.nii").symlink_to(root / "loop.nii")
    (root / "out.nii").symlink_to(touch(tmp_path / "out.nii"))
    os.mkfifo(root / "pipe.nii")
    assert files.volume_fault(root, relative, follow_symlinks=False) == reason


def test_backslashes_are_slashes_unless_a_file_is_named_so(tmp_path: Path) -> None:
    touch(tmp_path / "a\\b.nii")
    assert files.as_written(tmp_path, "a\\b.nii") == "a\\b.nii"
    assert files.as_written(tmp_path, ".\\c\\d.nii") == "c/d.nii"
    assert files.as_written(tmp_path, "./c//d.nii") == "c/d.nii"


def test_links_of_either_kind_are_one_file(tmp_path: Path) -> None:
    one = touch(tmp_path / "a.nii")
    (tmp_path / "soft.nii").symlink_to(one)
    (tmp_path / "hard.nii").hardlink_to(one)
    with SharedFiles() as shared:
        for name, split in (("a", "train"), ("soft", "train"), ("hard", "test"), ("gone", "test")):
            shared.add(name, split, tmp_path / f"{name}.nii")
        first, second = shared.notes()
    assert first == "2 scans have the same file as another scan id (first: soft and a)"
    assert second.startswith("1 scans have the same file as a scan of another split")
