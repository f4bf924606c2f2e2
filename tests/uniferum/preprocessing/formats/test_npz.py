"""npz files of several tools are read with their values and position, or refused by name."""

import io
import zipfile

import numpy as np
import pytest

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.read import read_stored

VALUES = np.random.default_rng(0).integers(-1000, 1000, (6, 5, 4)).astype(np.int16)
AFFINE = np.array([[0, 0, -1.0, 40], [0, 2, 0, -30], [3, 0, 0, -70], [0, 0, 0, 1]])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.npz"


@pytest.mark.parametrize("dtype", [np.int16, ">i2", np.int32, np.float16, np.float32, np.float64, ">f8", np.int64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_number_type_byte_order_and_memory_order(path, dtype, order):
    np.savez_compressed(path, ct=np.asarray(VALUES.astype(dtype), order=order), affine=AFFINE)
    stored = read_stored(path)
    np.testing.assert_array_equal(stored.values, VALUES.astype(dtype))
    np.testing.assert_array_equal(stored.affine, AFFINE)


@pytest.mark.parametrize("affine", [AFFINE[:3], AFFINE.ravel(), AFFINE[:3].ravel(), AFFINE.astype(np.float32)])
def test_an_affine_in_other_forms_of_the_same_numbers(path, affine):
    np.savez(path, ct=VALUES, affine=affine)
    np.testing.assert_array_equal(read_stored(path).affine, AFFINE)


@pytest.mark.parametrize(
    "affine",
    [
        np.array([1.0, 2, 3]),
        AFFINE.T,
        AFFINE.T.ravel(),
        AFFINE * np.nan,
        np.array([AFFINE, None], dtype=object),
        np.array([["a"] * 4] * 4),
        np.array(AFFINE, dtype=object),
        AFFINE.astype(complex),
        np.zeros(1 << 20),
    ],
    ids=["spacing", "columns", "column order", "nan", "objects", "text", "4 x 4 objects", "complex", "large"],
)
def test_an_affine_that_is_none_is_refused_by_name(path, affine):
    np.savez_compressed(path, ct=VALUES, affine=affine)
    with pytest.raises(UniferumError, match="affine"):
        read_stored(path)


@pytest.mark.parametrize(
    ("arrays", "named"),
    [
        ({"arr_0": VALUES, "affine": AFFINE}, r"arr_0.*hold the array 'ct'"),
        ({"ct": VALUES, "spacing": np.ones(3)}, r"'affine' in addition to 'ct'.*spacing"),
        ({"ct": VALUES > 0, "affine": AFFINE}, "booleans"),
        ({"ct": VALUES[None], "affine": AFFINE}, "three-dimensional"),
        ({"ct": VALUES[0], "affine": AFFINE}, "three-dimensional"),
        ({"ct": VALUES.astype(complex), "affine": AFFINE}, "three-dimensional numbers"),
        ({"ct": np.array([VALUES, None], dtype=object), "affine": AFFINE}, "no objects"),
    ],
)
def test_other_arrays_are_refused_by_name(path, arrays, named):
    np.savez_compressed(path, **arrays)
    with pytest.raises(UniferumError, match=named):
        read_stored(path)


def test_an_array_that_declares_more_than_its_file_can_hold_is_not_expanded(path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i2", "fortran_order": False, "shape": (1500, 1000, 1000)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ct.npy", header.getvalue() + bytes(100))
    with pytest.raises(UniferumError, match="as many voxels as its header declares"):
        read_stored(path)


@pytest.mark.parametrize("damage", ["flipped", "text", "no array"])
def test_damaged_archives_are_refused_in_one_line(path, damage):
    np.savez_compressed(path, ct=VALUES, affine=AFFINE)
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)
    path.write_bytes({"flipped": bytes(content), "text": b"<html>not found</html>", "no array": b""}[damage])
    if damage == "no array":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("ct.npy", "this is no array")
    with pytest.raises(UniferumError, match="valid npz file"):
        read_stored(path)


class TestWhatStandsBesideVolumeAndAffine:
    @pytest.mark.parametrize("name", ["space", "coordinate_system"])
    def test_another_space_than_ras_is_refused(self, path, name):
        np.savez(path, ct=VALUES, affine=AFFINE, **{name: np.array("LPS")})
        with pytest.raises(UniferumError, match=rf"{name} \(LPS\) must be RAS"):
            read_stored(path)

    def test_the_right_space_and_spacing_are_counted_and_nothing_more(self, path):
        np.savez(path, ct=VALUES, affine=AFFINE, space=np.array("RAS"), spacing=np.array([3.0, 2.0, 1.0]))
        stored = read_stored(path)
        assert stored.flags == ()
        assert stored.notes == ("The npz file holds 2 arrays other than 'ct' and 'affine'; they were not read.",)

    def test_a_spacing_that_contradicts_the_affine_is_flagged(self, path):
        np.savez(path, ct=VALUES, affine=AFFINE, spacing=np.array([1.0, 1.0, 1.0]))
        stored = read_stored(path)
        assert stored.flags == ("spacing_contradiction",)
        np.testing.assert_array_equal(stored.affine, AFFINE)

    def test_pickled_objects_of_those_names_are_never_loaded(self, path):
        np.savez(path, ct=VALUES, affine=AFFINE, space=np.array({"a": 1}, dtype=object))
        assert read_stored(path).flags == ()
