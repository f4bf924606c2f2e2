"""An archive can write nowhere but into its folder, and not more than it declares."""

import stat
import zipfile
from pathlib import Path

import pytest

from uniferum.data.fetch.archives import members, unpack
from uniferum.data.fetch.plan import RemoteFile
from uniferum.errors import UniferumError


def archive(path: Path, name: str, content: bytes = b"x" * 5000, mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        opened.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


@pytest.mark.parametrize("name", ["../a.raw", "/a.raw", "s/../../a.raw", "C:/a.raw"])
def test_names_that_lead_outside_are_refused(tmp_path, name):
    with pytest.raises(UniferumError, match="must stay within the folder"):
        members(archive(tmp_path / "a.zip", name), ["*.raw"])


def test_links_and_bombs_are_refused(tmp_path):
    with pytest.raises(UniferumError, match="not a link"):
        members(archive(tmp_path / "l.zip", "a.raw", b"/etc", stat.S_IFLNK), ["*.raw"])
    with pytest.raises(UniferumError, match="must grow at most"):
        members(archive(tmp_path / "b.zip", "a.raw", b"\0" * 10**7), ["*.raw"])


def test_a_member_larger_than_declared_and_a_damaged_one_leave_nothing(tmp_path):
    path = archive(tmp_path / "a.zip", "s/a.raw", bytes(range(250)) * 20)
    (info,) = members(path, ["s/*.raw"])
    info.file_size -= 1
    with pytest.raises(UniferumError):
        list(unpack(path, [info], tmp_path / "out"))
    whole = path.read_bytes()
    path.write_bytes(whole[:60] + bytes([whole[60] ^ 255]) + whole[61:])
    with pytest.raises(UniferumError):
        list(unpack(path, members(path, ["s/*.raw"]), tmp_path / "out"))
    assert not [entry for entry in (tmp_path / "out").rglob("*") if entry.is_file()]


def test_a_link_in_the_folder_does_not_lead_a_member_outside(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "s").symlink_to(tmp_path / "elsewhere")
    path = archive(tmp_path / "a.zip", "s/a.raw", b"scan")
    with pytest.raises(UniferumError, match="stay within"):
        list(unpack(path, members(path, ["*"]), tmp_path / "out"))


def test_a_cut_archive_is_named(tmp_path):
    path = archive(tmp_path / "a.zip", "a.raw")
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UniferumError, match="must be a complete zip archive"):
        members(path, ["*"])


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", ""])
def test_no_server_can_name_a_file_outside(path):
    with pytest.raises(UniferumError, match="within the dataset's folder"):
        RemoteFile(path, 1)
