"""MetaImage: where the voxels begin, which files hold them, and what is refused instead of guessed."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.read import read_stored

VALUES = np.random.default_rng(0).integers(-1000, 1000, (6, 5, 4)).astype("<i2")
RAW = VALUES.tobytes(order="F")
KEYS = {
    "ObjectType": "Image",
    "NDims": "3",
    "DimSize": "6 5 4",
    "ElementSpacing": "1 2 3",
    "Offset": "10 20 30",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "ElementType": "MET_SHORT",
}


def write(folder: Path, data: str = "a.raw", voxels: bytes = RAW, *, behind: bytes = b"", name="a.mhd", **keys) -> Path:
    """A header, and the voxel file that it names; a key that is ``None`` is left out."""
    lines = {**KEYS, **keys, "ElementDataFile": data}
    text = "".join(f"{key} = {value}\n" for key, value in lines.items() if value is not None)
    (folder / name).write_bytes(text.encode() + behind)
    if not behind:
        (folder / data).parent.mkdir(exist_ok=True)
        (folder / data).write_bytes(voxels)
    return folder / name


@pytest.mark.parametrize("size", [2000, -1])
def test_header_size_says_where_the_voxels_begin(tmp_path, size):
    path = write(tmp_path, voxels=bytes(range(200)) * 10 + RAW, HeaderSize=size)
    np.testing.assert_array_equal(read_stored(path).values, VALUES)
    assert read_stored(path).flags == ()


def test_a_longer_voxel_file_is_flagged_since_its_header_may_be_missing_from_the_sizes(tmp_path):
    stored = read_stored(write(tmp_path, voxels=RAW + bytes(12)))
    assert stored.flags == ("trailing_data",)
    assert "12 bytes" in stored.notes[0]


@pytest.mark.parametrize("size", [-2, 1, 10_000])
def test_a_header_size_that_leaves_too_few_bytes_is_refused(tmp_path, size):
    with pytest.raises(UniferumError, match=r"HeaderSize"):
        read_stored(write(tmp_path, HeaderSize=size))


def test_voxels_as_text_are_refused_and_never_read_as_binary(tmp_path):
    text = " ".join(map(str, VALUES.ravel(order="F").tolist())).encode()
    with pytest.raises(UniferumError, match="BinaryData"):
        read_stored(write(tmp_path, "LOCAL", behind=text, BinaryData="False", name="a.mha"))


@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "A.MHA"])
def test_voxels_behind_the_header_plain_or_compressed(tmp_path, name):
    path = write(tmp_path, "LOCAL", behind=RAW, name=name)
    np.testing.assert_array_equal(read_stored(path).values, VALUES)
    packed = zlib.compress(RAW)
    path = write(tmp_path, "LOCAL", behind=packed, name=name, CompressedData="True", CompressedDataSize=len(packed))
    np.testing.assert_array_equal(read_stored(path).values, VALUES)


@pytest.mark.parametrize("data", ["a.zraw", "other name.bin", "below/ü [1]*.raw"])
def test_compressed_voxels_in_a_file_of_any_name(tmp_path, data):
    path = write(tmp_path, data, zlib.compress(RAW), CompressedData="True")
    np.testing.assert_array_equal(read_stored(path).values, VALUES)


@pytest.mark.parametrize(
    ("voxels", "why"),
    [
        (zlib.compress(RAW)[:-40], "truncated"),
        (zlib.compress(RAW[:-2]), "truncated"),
        (zlib.compress(RAW + bytes(1 << 22)), "holds more"),
        (zlib.compress(RAW)[:-4] + b"abcd", "whole zlib"),
        (RAW, "whole zlib"),
    ],
)
def test_damaged_compressed_voxels_are_refused_and_not_filled_from_memory(tmp_path, voxels, why):
    with pytest.raises(UniferumError, match=why):
        read_stored(write(tmp_path, "a.zraw", voxels, CompressedData="True"))


def test_large_compressed_voxels_are_read_whole(tmp_path):
    noise = np.random.default_rng(1).integers(0, 30, 150 * 100 * 40).astype("<i2")
    path = write(tmp_path, "a.zraw", zlib.compress(noise.tobytes(), 1), DimSize="150 100 40", CompressedData="True")
    np.testing.assert_array_equal(read_stored(path).values, noise.reshape((150, 100, 40), order="F"))


def listed(names: list[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


def test_a_list_of_one_file_a_slice(tmp_path):
    for index in range(4):
        (tmp_path / f"slice {index}.raw").write_bytes(VALUES[:, :, index].tobytes(order="F"))
    names = [f"slice {index}.raw" for index in range(4)]
    path = write(tmp_path, "LIST", behind=listed(names))
    np.testing.assert_array_equal(read_stored(path).values, VALUES)
    truth = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))).transpose(2, 1, 0)
    np.testing.assert_array_equal(truth, VALUES)
    for damaged in (names[:-1], [*names, names[0]], [*names[:-1], "../a.raw"], [*names[:-1], ""]):
        with pytest.raises(UniferumError, match="ElementDataFile"):
            read_stored(write(tmp_path, "LIST", behind=listed(damaged)))
    (tmp_path / names[2]).write_bytes(b"short")
    with pytest.raises(UniferumError, match="truncated"):
        read_stored(write(tmp_path, "LIST", behind=listed(names)))


@pytest.mark.parametrize("name", ["/etc/hostname", "../a.raw", "below/../../a.raw", "a%d.raw 0 3 1", "."])
def test_a_voxel_file_outside_the_folder_is_not_read(tmp_path, name):
    path = write(tmp_path)
    path.write_text(path.read_text().replace("= a.raw", f"= {name}"))
    with pytest.raises(UniferumError, match="ElementDataFile"):
        read_stored(path)


@pytest.mark.parametrize(
    ("keys", "field"),
    [
        ({"NDims": "2", "DimSize": "6 5"}, "NDims"),
        ({"DimSize": "6.5 5 4"}, "DimSize"),
        ({"DimSize": "-6 5 4"}, "at least 2 voxels"),
        ({"ElementSpacing": None}, "ElementSpacing"),
        ({"ElementSpacing": "1 2 nan"}, "ElementSpacing"),
        ({"ElementSpacing": "1,5 2 3"}, "ElementSpacing"),
        ({"ElementSpacing": "-1 2 3"}, "positive"),
        ({"TransformMatrix": "1 0 0 0 1 0"}, "TransformMatrix"),
        ({"Rotation": "0 1 0 1 0 0 0 0 1"}, "TransformMatrix and Rotation"),
        ({"Origin": "0 0 0"}, "Offset and Origin"),
        ({"ElementType": "MET_OTHER"}, "ElementType"),
        ({"ElementNumberOfChannels": "3"}, "not HU"),
        ({"ElementByteOrderMSB": "True", "BinaryDataByteOrderMSB": "False"}, "ElementByteOrderMSB"),
        ({"CompressedData": "perhaps"}, "CompressedData"),
        ({"ElementToIntensityFunctionOffset": "-1024"}, "ElementToIntensityFunctionOffset"),
        ({"ObjectType": "Tube"}, "ObjectType"),
    ],
)
def test_what_a_header_leaves_open_or_contradicts_is_refused(tmp_path, keys, field):
    with pytest.raises(UniferumError, match=field):
        read_stored(write(tmp_path, **keys))


def test_a_key_given_twice_and_other_content_are_refused(tmp_path):
    path = write(tmp_path)
    path.write_text(path.read_text().replace("Offset", "DimSize = 6 5 4\nOffset"))
    with pytest.raises(UniferumError, match="DimSize must be given once"):
        read_stored(path)
    path.write_bytes(bytes(128) + b"DICM" + bytes(300))
    with pytest.raises(UniferumError, match="holds DICOM"):
        read_stored(path)


@pytest.mark.parametrize(("unit", "factor"), [("um", 1e-3), ("cm", 10)])
def test_another_unit_of_length_is_converted_and_flagged(tmp_path, unit, factor):
    spacing = " ".join(str(mm / factor) for mm in (1, 2, 3))
    offset = " ".join(str(mm / factor) for mm in (10, 20, 30))
    stored = read_stored(write(tmp_path, ElementSpacing=spacing, Offset=offset, DistanceUnits=unit))
    np.testing.assert_allclose(stored.affine, [[-1, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]])
    assert stored.flags == ("spacing_units",)


def test_a_matrix_that_scales_is_refused_since_readers_differ_on_it(tmp_path):
    with pytest.raises(UniferumError, match=r"TransformMatrix .* must be three directions of length 1"):
        read_stored(write(tmp_path, TransformMatrix="2 0 0 0 2 0 0 0 2"))


@pytest.mark.parametrize("name", ["TransformMatrix", "Offset"])
def test_a_default_that_stands_for_a_missing_key_is_flagged(tmp_path, name):
    stored = read_stored(write(tmp_path, **{name: None}))
    assert stored.flags == ("no_orientation",)
    assert f"has no {name}" in stored.notes[0]
