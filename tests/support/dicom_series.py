"""DICOM series of a field whose value is known at every position, and the error of what a reader returns.

The field is linear in x, y and z, so that a linear interpolation of it is exact: whatever was left out, shifted or
resampled, each voxel must hold the field's value at the place that the affine gives it.
"""

from collections.abc import Callable, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

from uniferum.preprocessing.formats.stored import Stored

SHAPE = (14, 12)
SPACING = (2.0, 3.0, 5.0)
COUNT = 10
# HU a mm along x, y, z (RAS), and at the origin.
SLOPES, MIDDLE = np.array([2.0, -3.0, 4.0]), -100.0
AXIAL = (1, 0, 0, 0, 1, 0)
Edit = Callable[[Any, int], Any]


def field(ras: np.ndarray, more: float = 0.0) -> np.ndarray:
    """Return the HU of the field at positions in RAS mm; the last axis is x, y, z."""
    return ras @ SLOPES + MIDDLE + more


def heights(count: int = COUNT, step: float = SPACING[2]) -> np.ndarray:
    """Return regular positions along z."""
    return -40 + step * np.arange(count)


def ct_slice(
    position: Sequence[float],
    *,
    cosines: Sequence[float] = AXIAL,
    series: str = "1.2.3",
    number: int = 1,
    more: float = 0,
) -> Any:
    """One CT slice of the field, 14 columns by 12 rows; ``more`` HU are added."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data: Any = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.ImageType, data.Modality = ["ORIGINAL", "PRIMARY", "AXIAL"], "CT"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2", series, "1.2.9"
    data.InstanceNumber = number
    data.ImagePositionPatient = [f"{v:.4f}" for v in position]
    data.ImageOrientationPatient = [f"{v:.8f}" for v in cosines]
    data.PixelSpacing = [SPACING[1], SPACING[0]]
    data.Rows, data.Columns = SHAPE[1], SHAPE[0]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    columns, rows = np.meshgrid(np.arange(SHAPE[0]) * SPACING[0], np.arange(SHAPE[1]) * SPACING[1])
    along, down = np.array(cosines[:3], float), np.array(cosines[3:], float)
    lps = np.asarray(position, float) + columns[..., None] * along + rows[..., None] * down
    put(data, field(lps * [-1, -1, 1], more))
    return data


def put(data: Any, hu: np.ndarray, kind: str = "<u2") -> None:
    """Store HU by the slice's own slope and intercept."""
    stored = np.rint((hu - float(data.RescaleIntercept)) / float(data.RescaleSlope))
    data.PixelData = stored.astype(kind).tobytes()


def write_series(
    folder: Path,
    z: Sequence[float] | np.ndarray | None = None,
    *,
    edit: Edit | None = None,
    name: str = "IM{:03d}.dcm",
    aside: Callable[[int], tuple[float, float]] = lambda _: (0.0, 0.0),
    **said: Any,
) -> Path:
    """Axial slices at these heights; ``edit(data, k)`` may change one, or leave it out by returning ``None``."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, height in enumerate(heights() if z is None else z):
        x, y = aside(k)
        position = (-10.0 + x, -15.0 + y, float(height))
        if edit is None:
            (folder / name.format(k)).write_bytes(_plain(position, number=k + 1, **said))
            continue
        data = edit(ct_slice(position, number=k + 1, **said), k)
        if data is not None:
            pydicom.dcmwrite(folder / name.format(k), data, enforce_file_format=True)
    return folder


@cache
def _plain(position: tuple[float, float, float], **said: Any) -> bytes:
    """The file of a slice that no test changes: many tests write the same ones."""
    return _in_memory(ct_slice(position, **said)).read()


def setting(**values: Any) -> Edit:
    """An edit that sets elements; ``None`` deletes one."""

    def edit(data: Any, _: int) -> Any:
        for name, value in values.items():
            if value is None:
                delattr(data, name)
            else:
                setattr(data, name, value)
        return data

    return edit


def error_of(stored: Stored, more: float = 0.0, *, edge: int = 0) -> float:
    """The largest difference in HU between voxel and field there; ``edge`` voxels in the plane are left out."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in stored.values.shape), indexing="ij"), axis=-1)
    there = index @ stored.affine[:3, :3].T + stored.affine[:3, 3]
    part = (slice(edge, -edge or None), slice(edge, -edge or None))
    return round(float(np.abs(stored.values - field(there, more))[part].max()), 6)


def enhanced(slices: Sequence[Any], *, rescale_a_frame: bool = False) -> Any:
    """One enhanced multi-frame file of these slices."""
    data = pydicom.dcmread(_in_memory(slices[0]))
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(data, name)
    data.NumberOfFrames = len(slices)
    data.SharedFunctionalGroupsSequence = Items(
        [_items(PixelMeasuresSequence=slices[0], PlaneOrientationSequence=slices[0])]
    )
    frames = [_items(PlanePositionSequence=one, PixelValueTransformationSequence=one) for one in slices]
    if not rescale_a_frame:
        _add(data.SharedFunctionalGroupsSequence[0], "PixelValueTransformationSequence", slices[0])
        for frame in frames:
            del frame.PixelValueTransformationSequence
    data.PerFrameFunctionalGroupsSequence = Items(frames)
    data.PixelData = b"".join(one.PixelData for one in slices)
    return data


_GROUPS = {
    "PixelMeasuresSequence": ("PixelSpacing",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
}


def _items(**groups: Any) -> Dataset:
    out = Dataset()
    for name, source in groups.items():
        _add(out, name, source)
    return out


def _add(out: Dataset, name: str, source: Any) -> None:
    group: Any = Dataset()
    for element in _GROUPS[name]:
        setattr(group, element, source[element].value)
    setattr(out, name, Items([group]))


def _in_memory(data: Any) -> Any:
    file = BytesIO()
    pydicom.dcmwrite(file, data, enforce_file_format=True)
    file.seek(0)
    return file
