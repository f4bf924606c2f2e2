"""One body, written in each dataset's own layout, comes to lie in the same place of the prepared grid.

The body is an ellipsoid about ``CENTRE`` with one bright cube to the patient's right, front and top of its middle.
"""

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.support.cohort_layouts import CtRateWriter, table, write_inspect, write_rad_chest
from uniferum.data.cohorts.base import Scan, open_cohort
from uniferum.data.cohorts.rad_chest import affine_of
from uniferum.preprocessing.pipeline import PreparationConfig, prepare

CENTRE = np.array([13.0, -21.0, 57.0])
MARKER = np.array([40.0, 20.0, 30.0])
METADATA = (
    "VolumeName",
    "RescaleSlope",
    "RescaleIntercept",
    "XYSpacing",
    "ZSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
)

pytestmark = pytest.mark.integration


def body(affine: np.ndarray, shape: tuple[int, int, int], centre: np.ndarray = CENTRE) -> np.ndarray:
    indices = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    mm = indices @ affine[:3, :3].T + affine[:3, 3] - centre
    hu = np.full(shape, -1000, np.int16)
    hu[((mm / (110, 80, 100)) ** 2).sum(axis=-1) < 1] = 40
    hu[(np.abs(mm - MARKER) < 12).all(axis=-1)] = 700
    return hu


def affine_about(steps: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """A RAS affine with the given columns whose grid has its middle at ``CENTRE``."""
    affine = np.eye(4)
    affine[:3, :3] = steps
    affine[:3, 3] = CENTRE - steps @ ((np.array(shape) - 1) / 2)
    return affine


def ct_rate_v2(root: Path) -> Scan:
    writer = CtRateWriter(root)
    writer.volume("train_1_a_1")
    writer.volume("valid_1_a_1", file=False)
    affine = affine_about(np.diag([-5.0, -5.0, 6.0]), (60, 56, 44))
    nibabel.save(nibabel.Nifti1Image(body(affine, (60, 56, 44)), affine), writer.path("train_1_a_1"))
    return only_scan(writer.save(), "kind: ct_rate\nvalidation_patients: 0")


def ct_rate_v1(root: Path) -> Scan:
    writer = CtRateWriter(root)
    writer.volume("train_1_a_1", file=False)
    writer.volume("valid_1_a_1", file=False)
    affine = affine_about(np.diag([-5.0, -5.0, 6.0]), (60, 56, 44))
    path = writer.path("train_1_a_1", "train")
    path.parent.mkdir(parents=True)
    stored = (body(affine, (60, 56, 44)) + 1024) * 2
    nibabel.save(nibabel.Nifti1Image(stored.astype(np.int16), np.eye(4)), path)
    lps = [float(v) for v in (-affine[0, 3], -affine[1, 3], affine[2, 3])]
    row = ["train_1_a_1.nii.gz", 0.5, -1024, '"[5.0, 5.0]"', 6.0, f'"{lps}"', '"[1, 0, 0, 0, 1, 0]"']
    for name, rows in (("train", [row]), ("validation", [])):
        table(root / "dataset" / "metadata" / f"{name}_metadata.csv", METADATA, rows)
    return only_scan(writer.save(), "kind: ct_rate\nversion: v1\nvalidation_patients: 0")


def inspect(root: Path) -> Scan:
    write_inspect(root, 1)
    affine = affine_about(np.array([[0.0, 5.0, 0.0], [0.0, 0.0, -5.5], [6.0, 0.0, 0.0]]), (40, 56, 50))
    nibabel.save(nibabel.Nifti1Image(body(affine, (40, 56, 50)), affine), root / "CTPA" / "PE0000.nii.gz")
    return only_scan(root, "kind: inspect")


def rad_chest(root: Path) -> Scan:
    write_rad_chest(root, {"trn00001": {}})
    affine, shape = np.array(affine_of(5.0)), (46, 48, 60)
    middle = (affine @ [*((np.array(shape) - 1) / 2), 1])[:3]
    np.savez(root / "trn00001.npz", ct=body(affine, shape, middle))
    return only_scan(root, "kind: rad_chest\nspacing_mm: 5.0")


def luna16_turned(root: Path) -> Scan:
    affine, shape = affine_about(np.diag([5.0, 5.0, 6.0]), (60, 56, 44)), (60, 56, 44)
    folder = root / "subset3"
    folder.mkdir(parents=True)
    body(affine, shape).astype("<i2").ravel(order="F").tofile(folder / "1.2.3.raw")
    offset = " ".join(str(v) for v in (-affine[0, 3], -affine[1, 3], affine[2, 3]))
    (folder / "1.2.3.mhd").write_text(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
        f"TransformMatrix = -1 0 0 0 -1 0 0 0 1\nOffset = {offset}\nCenterOfRotation = 0 0 0\n"
        "ElementSpacing = 5 5 6\nDimSize = 60 56 44\nElementType = MET_SHORT\nElementDataFile = 1.2.3.raw\n",
        encoding="utf-8",
    )
    x, y, z = CENTRE + MARKER
    table(
        root / "annotations.csv", ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm"), [["1.2.3", -x, -y, z, 24]]
    )
    return only_scan(root, "kind: luna16")


def only_scan(root: Path, config: str) -> Scan:
    path = root.parent / "cohort.yaml"
    path.write_text(f"{config}\nroot: {root}\n", encoding="utf-8")
    (scan,) = open_cohort(path).scans()
    return scan


def centroid(mask: np.ndarray, spacing_mm: tuple[float, ...]) -> np.ndarray:
    return np.array([np.mean(axis) for axis in np.nonzero(mask)]) * spacing_mm


@pytest.mark.parametrize("write", [ct_rate_v2, ct_rate_v1, inspect, rad_chest, luna16_turned])
def test_the_marker_lies_to_the_right_front_and_top(write: Callable[[Path], Scan], tmp_path: Path) -> None:
    scan = write(tmp_path / "data")
    config = PreparationConfig.model_validate(
        {"geometry": {"spacing_mm": [4, 4, 4], "model_shape": [48, 40, 32]}, "levels": ["full"]}
    )
    prepared = prepare(scan.source, config)
    full = prepared.levels["full"]
    middle = centroid(full > -300, config.geometry.spacing_mm)
    offset = centroid(full > 400, config.geometry.spacing_mm) - middle
    np.testing.assert_allclose(offset, MARKER, atol=4.0)
    assert np.median(full[full > -300]) == pytest.approx(40, abs=5), "HU are kept"
    for layer in prepared.masks.values():
        np.testing.assert_allclose(centroid(layer["full"], config.geometry.spacing_mm) - middle, MARKER, atol=4.0)
    assert list(prepared.masks) == (["nodule"] if write is luna16_turned else [])
