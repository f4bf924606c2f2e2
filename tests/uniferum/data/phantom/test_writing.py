"""Phantom cohorts on disk: read by the real datasets' readers, whole, seeded, and resumable."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from nibabel.orientations import aff2axcodes

from uniferum.data.cohorts.base import Cohort, open_cohort
from uniferum.data.phantom import files
from uniferum.data.phantom.acquisition import draw_acquisition
from uniferum.data.phantom.cases import RAD_CHEST_LABELS, draw_case
from uniferum.data.phantom.config import PhantomConfig, Splits
from uniferum.data.phantom.description import findings_table, with_table
from uniferum.data.phantom.layout_duke import ABNORMALITIES, LOCATIONS, rad_chest_orders
from uniferum.data.phantom.layouts import FOLDERS, ct_rate_orders, inspect_orders, luna16_orders
from uniferum.data.phantom.writing import write_phantoms, write_scan
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.load import read_volume
from uniferum.preprocessing.masks.files import read_mask

REPOSITORY = Path(__file__).parents[4]
SMALL = Splits(train=4, validation=2, test=3)
CONFIG = PhantomConfig(voxel_mm=8.0, ct_rate=SMALL, inspect=SMALL, rad_chest=SMALL, luna16=4, second_reconstruction=0.4)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantoms") / "out"
    assert write_phantoms(out, CONFIG)
    return out


def cohort(phantoms: Path, name: str) -> Cohort:
    short = {"CTRATE": "ct_rate", "INSPECT": "inspect", "RADCHEST": "rad_chest", "LUNA16": "luna16"}[name]
    settings = {"ct_rate": ["validation_patients=2"], "rad_chest": ["spacing_mm=8.0"]}.get(short, [])
    config = REPOSITORY / "configs" / "cohorts" / f"demo_{short}.yaml"
    return open_cohort(config, settings, root=phantoms / FOLDERS[name])


@pytest.mark.parametrize("name", ["CTRATE", "INSPECT", "RADCHEST"])
def test_the_real_readers_find_every_phantom_in_its_split(phantoms: Path, name: str) -> None:
    card = cohort(phantoms, name).card()
    assert card.dropped == {}
    assert card.patients["validation"] == 2
    assert card.patients["test"] == 3
    assert card.scans["train"] >= 4


@pytest.mark.parametrize("name", ["CTRATE", "INSPECT", "RADCHEST"])
def test_labels_read_back_are_those_drawn(phantoms: Path, name: str) -> None:
    make = {"CTRATE": ct_rate_orders, "INSPECT": inspect_orders, "RADCHEST": rad_chest_orders}[name]
    drawn = {order.name: draw_case(CONFIG.seed, name, order.case).labels for order in make(CONFIG)}
    for scan in cohort(phantoms, name).scans():
        expected = {label.replace("_PH", "_ph"): value for label, value in drawn[scan.scan_id].items()}
        assert scan.labels
        assert all(expected[label] == value for label, value in scan.labels.items())
        if name != "INSPECT":
            assert scan.labels.keys() == expected.keys()


@pytest.mark.parametrize("name", ["CTRATE", "INSPECT", "RADCHEST", "LUNA16"])
def test_volume_and_mask_agree_in_ras(phantoms: Path, name: str) -> None:
    for scan in cohort(phantoms, name).scans():
        volume = read_volume(scan.source)
        source = next(mask for mask in scan.source.masks if mask.layer == "totalsegmentator")
        mask, affine = read_mask(source, source=scan.source, like=volume)
        left, right = (_mean_x(np.isin(mask, ids), affine) for ids in ((10, 11), (12, 13, 14)))
        assert left + 80 < right
        assert mask.shape == volume.hu.shape
        assert np.allclose(affine, volume.affine, atol=1e-3)
        assert volume.hu[mask == 37].mean() > 150, "the mask of a vertebra lies on bone"


def _mean_x(chosen: np.ndarray, affine: np.ndarray) -> float:
    voxels = np.argwhere(chosen).mean(axis=0)
    return float((affine[:3, :3] @ voxels + affine[:3, 3])[0])


def test_orientations_spacings_and_sizes_vary_on_disk() -> None:
    drawn = [draw_acquisition(0, "CTRATE", n, 4.5) for n in range(40)]
    assert {"LPS", "RAS", "LAS"} <= {a.orientation for a in drawn}
    assert len({a.shape for a in drawn}) > 20
    assert len({round(a.spacing_mm[2], 2) for a in drawn}) > 20


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "LPI", "ASL"])
def test_reoriented_files_hold_the_same_voxels_at_the_same_places(tmp_path: Path, orientation: str) -> None:
    array = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    affine[:3, 3] = (-5.0, 6.0, 7.0)
    files.write_nifti(tmp_path / "v.nii.gz", *files.reoriented(array, affine, orientation))
    image = nib.load(tmp_path / "v.nii.gz")
    assert isinstance(image, nib.Nifti1Image)
    assert "".join(aff2axcodes(image.affine)) == orientation
    back = nib.as_closest_canonical(image)
    assert np.array_equal(np.asarray(back.dataobj), array)
    assert np.allclose(back.affine, affine)


@pytest.mark.parametrize("turned", [False, True])
def test_metaimages_are_what_simpleitk_reads(tmp_path: Path, turned: bool) -> None:
    array = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    affine[:3, 3] = (-5.0, 6.0, 7.0)
    files.write_metaimage(tmp_path / "v.mhd", array, affine, turned=turned)
    image = SimpleITK.ReadImage(tmp_path / "v.mhd")
    for index in ((0, 0, 0), (1, 2, 3), (1, 0, 2)):
        ras = affine[:3, :3] @ index + affine[:3, 3]
        voxel = image.TransformPhysicalPointToIndex((-ras[0], -ras[1], ras[2]))
        assert image.GetPixel(*voxel) == array[index]


def test_annotations_lie_on_their_nodules(phantoms: Path) -> None:
    bright = 0
    for scan in cohort(phantoms, "LUNA16").scans():
        volume = read_volume(scan.source)
        spheres = next(mask.spheres for mask in scan.source.masks if mask.layer == "nodule")
        for sphere in spheres:
            index = np.linalg.inv(volume.affine) @ [*sphere.centre_mm_ras, 1.0]
            x, y, z = np.rint(index[:3]).astype(int)
            bright += volume.hu[x, y, z] > -350
    orders = luna16_orders(CONFIG)
    assert bright == sum(len(draw_case(0, "LUNA16", order.case).spec.nodules) for order in orders) > 0


def test_rad_chest_has_the_columns_of_the_release(phantoms: Path) -> None:
    header = (phantoms / "rad_chest" / "imgtest_Abnormality_and_Location_Labels.csv").read_text().splitlines()[0]
    assert len(header.split(",")) == 1 + 84 * 52
    assert (len(set(ABNORMALITIES)), len(set(LOCATIONS))) == (84, 52)


def test_workers_and_order_change_no_voxel(phantoms: Path, tmp_path: Path) -> None:
    assert write_phantoms(tmp_path / "again", CONFIG, workers=2)
    written = sorted(p.relative_to(phantoms) for p in phantoms.rglob("*") if p.is_file())
    assert written == sorted(p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*") if p.is_file())
    assert len(written) > 60
    for path in written:
        assert (phantoms / path).read_bytes() == (tmp_path / "again" / path).read_bytes(), path


def test_a_killed_writing_goes_on_and_a_finished_one_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    tiny = CONFIG.replace(ct_rate=Splits(train=1, validation=1, test=1), inspect=SMALL, luna16=1)
    write_phantoms(out, tiny)
    assert not write_phantoms(out, tiny)
    mark = json.loads((out / "phantoms.json").read_text())
    files.write_text(out / "phantoms.json", json.dumps({**mark, "done": False}))
    lost = next(out.rglob("*.npz"))
    kept = next(out.rglob("*.mhd"))
    before, content = kept.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    assert write_phantoms(out, tiny)
    assert lost.read_bytes() == content
    assert kept.stat().st_mtime_ns == before
    assert write_phantoms(out, tiny.replace(seed=1))
    assert lost.read_bytes() != content


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UniferumError, match="must be empty or contain phantoms"):
        write_phantoms(tmp_path, CONFIG)
    assert (tmp_path / "thesis.txt").exists()


def test_a_scan_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = ct_rate_orders(CONFIG)[0]
    root = tmp_path / FOLDERS["CTRATE"]

    def full_disk(self: Path, content: bytes) -> int:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_scan(tmp_path, CONFIG, order)
    assert not (root / order.volume).exists()


def test_the_documented_table_is_that_of_the_code() -> None:
    page = (REPOSITORY / "docs" / "phantoms.md").read_text(encoding="utf-8")
    assert page == with_table(page), "run python -m uniferum.data.phantom.description docs/phantoms.md"
    assert findings_table() in page
    never_positive = [label for label, findings in RAD_CHEST_LABELS.items() if not findings]
    assert never_positive == ["bronchiolectasis", "bronchiolitis", "bronchitis"]
    assert all(f"`{label}`" in page for label in never_positive)
