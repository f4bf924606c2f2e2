"""The store returns what was written, reads only what is asked for, and detects damage."""

import hashlib
import json
import pickle
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uniferum.errors import UniferumError
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.pipeline import PreparationConfig, PreparedScan
from uniferum.preprocessing.store import codec, scanfile
from uniferum.preprocessing.store.filesystem import location_of
from uniferum.preprocessing.store.store import Store, manifest_row, scan_file

GEOMETRY = Geometry(spacing_mm=(4, 4, 4), model_shape=(48, 40, 32))
CONFIG = PreparationConfig(geometry=GEOMETRY, levels=("train", "full"))
CARD = {"name": "OWN"}


def scan(scan_id="s1", seed=0) -> PreparedScan:
    random = np.random.default_rng(seed)
    levels = {n: random.integers(-1000, 1001, CONFIG.geometry.shape(n)).astype(np.int16) for n in ("train", "full")}
    masks = {"nodule": {n: (hu > 900).view(np.uint8) for n, hu in levels.items()}}
    return PreparedScan(
        scan_id=scan_id,
        levels=levels,
        masks=masks,
        affine={n: CONFIG.geometry.affine(n, (1.0, 2.0, 3.0)) for n in levels},
        flags=("no_lung",),
        centre_mm=(1.0, 2.0, 3.0),
        lung_source="none",
        z_range_mm=(0.0, 9.0),
        spacing_raw_mm=(0.7, 0.7, 1.0),
        shape_raw=(512, 512, 300),
    )


def finish(store: Store, *scans: PreparedScan) -> None:
    rows = [manifest_row(store.header(one.scan_id), patient_id="p", study_id="t", split="train") for one in scans]
    store.finish(rows, [{"scan_id": "s1", "label": "atelectasis", "value": 1}], [], {})


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store.create(tmp_path / "store", CARD, CONFIG)
    store.write(scan())
    finish(store, scan())
    return store


def test_what_is_written_is_read(store):
    again = pickle.loads(pickle.dumps(Store.open(store.url)))  # noqa: S301 - a store travels to workers
    for level in ("train", "full"):
        np.testing.assert_array_equal(again.read("s1", level), scan().levels[level])
        np.testing.assert_array_equal(again.read_mask("s1", "nodule", level), scan().masks["nodule"][level])
        np.testing.assert_allclose(again.affine("s1", level), scan().affine[level])
    assert again.layers("s1") == ("nodule",)
    assert (again.name, again.geometry, again.config) == ("OWN", CONFIG.geometry, CONFIG)
    row = again.manifest().iloc[0]
    assert (row["scan_id"], row["split"], list(row["flags"])) == ("s1", "train", ["no_lung"])
    assert again.labels()["value"].tolist() == [1]
    assert again.failures().empty


@given(shape=st.tuples(*[st.integers(1, 7)] * 3), seed=st.integers(0, 99), dtype=st.sampled_from([np.int16, np.uint8]))
@settings(max_examples=60, deadline=None)
def test_any_array_survives_the_codec(shape, seed, dtype):
    info = np.iinfo(dtype)
    array = np.random.default_rng(seed).integers(info.min, info.max + 1, shape).astype(dtype)
    entry, frames = codec.encode(array)
    np.testing.assert_array_equal(codec.decode(json.loads(json.dumps(entry)), frames), array)


@pytest.mark.parametrize("rows", [slice(0, 5), slice(3, 30), slice(29, 40), slice(39, 40)])
def test_rows_are_read_without_the_rest(tmp_path, monkeypatch, rows):
    array = np.random.default_rng(0).integers(-1000, 1000, (40, 64, 32)).astype(np.int16)
    monkeypatch.setattr(codec, "SLAB_BYTES", 8 * 64 * 32 * 2)
    where = location_of(tmp_path)
    where.write("a.ufs", *scanfile.pack({"scan_id": "a"}, {"train": array})[1])
    asked = []
    real = where.read
    monkeypatch.setattr(where, "read", lambda n, s=0, e=None: asked.append((s, e)) or real(n, s, e))
    monkeypatch.setattr(scanfile, "_FIRST_READ", 4096)
    opened = scanfile.read_header(where, "a.ufs")
    got = scanfile.read_array(where, "a.ufs", "train", opened=opened, x=rows)
    np.testing.assert_array_equal(got, array[rows])
    slabs = rows.stop // 8 - rows.start // 8 + 1
    assert sum(end - start for start, end in asked[1:]) <= slabs * 8 * 64 * 32 * 2


def test_a_noisy_volume_takes_less_than_two_thirds_of_its_bytes():
    noisy = np.random.default_rng(0).normal(40, 12, (64, 64, 64)).round().astype(np.int16)
    entry, _ = codec.encode(noisy)
    assert sum(entry["sizes"]) < noisy.nbytes * 2 / 3


def test_a_changed_byte_is_an_error_and_verification_names_the_scan(store, tmp_path):
    path = tmp_path / "store" / scan_file("s1")
    assert list(store.verify()) == [("s1", "")]
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    faults = dict(store.verify())
    assert "must be undamaged" in faults["s1"]
    assert "prepare it again" in faults["s1"]


@pytest.mark.parametrize("size", [4, 100, 5000])
def test_a_truncated_file_is_an_error_not_a_traceback(store, tmp_path, size):
    path = tmp_path / "store" / scan_file("s1")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UniferumError):
        store.read("s1")


def test_the_checksum_is_of_content_not_of_compression(tmp_path, monkeypatch):
    first = Store.create(tmp_path / "a", CARD, CONFIG).write(scan())
    monkeypatch.setattr(codec, "LEVEL", 9)
    second = Store.create(tmp_path / "b", CARD, CONFIG).write(scan())
    assert first["checksum"] == second["checksum"]
    third = Store.create(tmp_path / "c", CARD, CONFIG).write(scan(seed=1))
    assert third["checksum"] != first["checksum"]


def test_a_killed_write_leaves_no_scan(tmp_path, monkeypatch):
    store = Store.create(tmp_path / "store", CARD, CONFIG)
    monkeypatch.setattr("os.fsync", lambda fd: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.write(scan())
    assert store.scan_files() == []
    with pytest.raises(UniferumError, match="must be in the store"):
        store.header("s1")


def test_a_store_of_other_settings_or_another_cohort_is_not_continued(store):
    with pytest.raises(UniferumError, match="same settings"):
        Store.create(store.url, CARD, CONFIG.replace(lung_margin_mm=7))
    with pytest.raises(UniferumError, match=r"levels \[train,full\], asked for \[train\].*--set levels=\[train,full\]"):
        Store.create(store.url, CARD, PreparationConfig(geometry=GEOMETRY))
    with pytest.raises(UniferumError, match="store of OTHER"):
        Store.create(store.url, {"name": "OTHER"}, CONFIG)
    assert Store.create(store.url, CARD, CONFIG).header("s1")["scan_id"] == "s1"


def test_what_is_missing_is_named(store, tmp_path):
    with pytest.raises(UniferumError, match=r"no store\.json"):
        Store.open(tmp_path / "nowhere")
    with pytest.raises(UniferumError, match="s2 must be in the store"):
        store.read("s2")
    with pytest.raises(UniferumError, match="lungs"):
        store.read_mask("s1", "lungs")
    with pytest.raises(UniferumError, match=r"manifest\.parquet must exist"):
        Store.create(tmp_path / "unfinished", CARD, CONFIG).manifest()


def test_a_remote_store_is_read_in_place_or_staged_once(tmp_path):
    url = "memory://bucket/store"
    store = Store.create(url, CARD, CONFIG)
    store.write(scan())
    finish(store, scan())
    np.testing.assert_array_equal(Store.open(url).read("s1"), scan().levels["train"])
    staged = Store.open(url, staging=tmp_path)
    np.testing.assert_array_equal(staged.read("s1", "full"), scan().levels["full"])
    fsspec.filesystem("memory").rm_file(f"/bucket/store/{scan_file('s1')}")
    np.testing.assert_array_equal(staged.read("s1"), scan().levels["train"])
    assert len(list(tmp_path.rglob("*.ufs"))) == 1
    with pytest.raises(UniferumError, match="fsspec"):
        Store.open("nosuchprotocol://x")


def test_a_network_store_is_staged_by_environment_and_anew_when_it_changes(store, tmp_path, monkeypatch):
    monkeypatch.setenv("UNIFERUM_STAGE", str(tmp_path / "ssd"))
    staged = Store.open(store.url)
    staged.stage(["s1"])
    original = tmp_path / "store" / scan_file("s1")
    moved = original.rename(tmp_path / "away.ufs")
    np.testing.assert_array_equal(staged.read("s1"), scan().levels["train"])
    moved.rename(original)
    store.write(scan(seed=5))
    finish(store, scan(seed=5))
    np.testing.assert_array_equal(Store.open(store.url).read("s1"), scan(seed=5).levels["train"])


@pytest.mark.parametrize("scan_id", ["../../etc/passwd", "a/b", ".hidden", "name with space", "x" * 300, "é"])
def test_any_id_makes_a_plain_file_name_of_its_own(scan_id):
    name = scan_file(scan_id)
    assert name.startswith("scans/")
    assert "/" not in name.removeprefix("scans/")
    assert not name.removeprefix("scans/").startswith(".")
    assert scan_file(scan_id + "_") != name
    assert len(name) < 200


def test_published_ids_are_file_names_as_they_are():
    assert scan_file("train_1_a_1.nii.gz") == "scans/train_1_a_1.nii.gz.ufs"


def test_the_reader_of_the_docs_reads_a_store(store, tmp_path):
    page = (Path(__file__).parents[4] / "docs/store.md").read_text()
    names: dict = {}
    exec(page.split("```python\n")[1].split("```")[0], names)
    path = str(tmp_path / "store" / scan_file("s1"))
    np.testing.assert_array_equal(names["read"](path), scan().levels["train"])
    np.testing.assert_array_equal(names["read"](path, "full"), scan().levels["full"])
    np.testing.assert_array_equal(names["read"](path, "nodule@train"), scan().masks["nodule"]["train"])


def test_the_checksum_of_the_docs_is_the_checksum(store):
    arrays = {"train": store.read("s1"), "full": store.read("s1", "full")}
    arrays |= {f"nodule@{level}": store.read_mask("s1", "nodule", level) for level in ("train", "full")}
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name}:{arrays[name].shape}:{arrays[name].dtype};".encode() + arrays[name].tobytes())
    assert store.manifest().loc[0, "checksum"] == digest.hexdigest()


@pytest.mark.parametrize("written", [b"", b'{"format": 1', b"[]", b"\xff\xfe", b'{"format": 1}'])
def test_a_damaged_description_is_one_line(tmp_path: Path, written: bytes) -> None:
    (tmp_path / "store.json").write_bytes(written)
    with pytest.raises(UniferumError, match=r"store\.json must describe a prepared store; it is damaged: remove it"):
        Store.open(tmp_path)
