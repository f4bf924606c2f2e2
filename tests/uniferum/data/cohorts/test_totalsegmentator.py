"""TotalSegmentator v2 output is a layer, as one file or a folder of files; version 1 is refused."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Extension

from tests.support.cohort_layouts import nifti, touch, write_inspect
from uniferum.data.cohorts.inspect_ct import Inspect, InspectConfig
from uniferum.data.cohorts.totalsegmentator import beside, layer_at, refuse_version_1
from uniferum.errors import UniferumError


def test_a_folder_of_class_files_knows_the_id_of_each_class(tmp_path: Path) -> None:
    touch(tmp_path / "scan/aorta.nii.gz")
    layer = beside(tmp_path, Path(), "scan", follow_symlinks=False)
    assert layer is not None
    assert layer.class_names is not None
    assert (layer.class_names[0], layer.class_names[52], len(layer.class_names)) == ("background", "aorta", 118)


def test_nothing_there_is_no_layer(tmp_path: Path) -> None:
    assert layer_at(tmp_path / "scan.nii.gz") is None
    assert beside(tmp_path, Path("gone"), "scan", follow_symlinks=False) is None
    assert beside(tmp_path, None, "scan", follow_symlinks=False) is None


def test_a_scan_id_cannot_lead_out_of_the_masks(tmp_path: Path) -> None:
    touch(tmp_path / "scan.nii.gz")
    (tmp_path / "cohort").mkdir()
    assert beside(tmp_path / "cohort", Path("m"), "../../scan", follow_symlinks=False) is None


@pytest.mark.parametrize("names", [("heart_atrium_left", "liver"), ("notes",)])
def test_folders_of_version_1_or_of_something_else_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        touch(tmp_path / "scan" / f"{name}.nii.gz")
    with pytest.raises(UniferumError, match="TotalSegmentator"):
        layer_at(tmp_path / "scan")


def test_a_multi_label_file_with_version_1_names_in_its_header_is_refused(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    image.header.extensions.append(Nifti1Extension(0, b"<Label Key='44'>heart_myocardium</Label>"))
    nibabel.save(image, tmp_path / "old.nii.gz")
    with pytest.raises(UniferumError, match="must come from TotalSegmentator 2"):
        refuse_version_1(tmp_path / "old.nii.gz")
    refuse_version_1(nifti(tmp_path / "new.nii.gz"))


def test_words_that_hold_the_name_of_a_version_1_class_do_not_make_version_1(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    image.header.extensions.append(Nifti1Extension(0, b"<MatrixIndicesMap Surface='surface' interface='1'/>"))
    nibabel.save(image, tmp_path / "new.nii.gz")
    refuse_version_1(tmp_path / "new.nii.gz")


def test_voxels_that_spell_the_name_of_a_version_1_class_are_not_names(tmp_path: Path) -> None:
    spelt = np.zeros((8, 8, 8), np.uint8)
    spelt.ravel()[8:14] = list(b" face ")
    nibabel.save(nibabel.Nifti1Image(spelt, np.eye(4)), tmp_path / "new.nii")
    refuse_version_1(tmp_path / "new.nii")


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_no_damage_to_a_header_ends_the_search_for_version_1_in_a_traceback(tmp_path: Path, kind: Any) -> None:
    image = kind(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    image.header.extensions.append(Nifti1Extension(6, b"<Label Key='44'>liver</Label>"))
    nibabel.save(image, tmp_path / "whole.nii")
    whole = bytearray((tmp_path / "whole.nii").read_bytes())
    random = np.random.default_rng(0)
    odd = [b"", b"\x1f\x8b", b"\x1f\x8b" + bytes(50), bytes(whole[:100]), bytes(whole[:360])]
    for _ in range(300):
        damaged = bytearray(whole)
        for at in random.integers(0, len(damaged), random.integers(1, 60)):
            damaged[at] = random.integers(0, 256)
        odd.append(bytes(damaged))
    for value in (np.nan, np.inf, -1.0, 1e30):
        odd.append(bytes(whole[:108] + np.float32(value).tobytes() + whole[112:]))
    for content in odd:
        (tmp_path / "odd.nii").write_bytes(content)
        refuse_version_1(tmp_path / "odd.nii")
    refuse_version_1(tmp_path)
    refuse_version_1(tmp_path / "gone.nii")


def test_masks_may_end_in_capitals(tmp_path: Path) -> None:
    touch(tmp_path / "scan.NII.GZ")
    layer = beside(tmp_path, Path(), "scan", follow_symlinks=False)
    assert layer is not None
    assert layer.path == tmp_path / "scan.NII.GZ"


def test_a_cohort_with_masks_of_version_1_is_refused_before_its_first_scan(tmp_path: Path) -> None:
    write_inspect(tmp_path)
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    image.header.extensions.append(Nifti1Extension(0, b"<Label Key='49'>pulmonary_artery</Label>"))
    (tmp_path / "ts_total").mkdir()
    nibabel.save(image, tmp_path / "ts_total/PE0000.nii.gz")
    cohort = Inspect(InspectConfig(kind="inspect", root=tmp_path, masks_root=Path("ts_total")))
    with pytest.raises(UniferumError, match="must come from TotalSegmentator 2"):
        next(cohort.scans())


def test_masks_may_lie_where_the_config_says_also_outside_a_read_only_dataset(tmp_path: Path) -> None:
    write_inspect(tmp_path / "full")
    outside = touch(tmp_path / "masks/PE0000.nii.gz").parent
    settings = {"kind": "inspect", "root": tmp_path / "full"}
    scan = next(Inspect(InspectConfig.model_validate({**settings, "masks_root": outside})).scans())
    assert scan.source.masks[0].path == outside / "PE0000.nii.gz"
    assert scan.source.root is None
    fenced = next(Inspect(InspectConfig.model_validate({**settings, "masks_root": "ts_total"})).scans())
    assert fenced.source.root == tmp_path / "full"
