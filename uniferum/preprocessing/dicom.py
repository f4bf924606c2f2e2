"""A DICOM series: a folder of slices, in any order, under any names, with other objects beside them ignored.

Privacy: of every header only pixels, geometry and scaling are looked at; no other element is read, kept or named, not
even in an error.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from uniferum.errors import UniferumError
from uniferum.preprocessing.source import Intensity
from uniferum.preprocessing.stored import MAX_BYTES, Stored

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
# The elements that are read, and no others.
_TAGS = [
    "SeriesInstanceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelPaddingValue",
    "PixelRepresentation",
    "NumberOfFrames",
]
# A gap that is off by more than this share of the usual one is a missing slice, not rounding.
_GAP_TOLERANCE = 0.25
# More gaps than this share of the slices cannot be filled in honestly.
_MAX_FILLED = 0.5


@dataclass(frozen=True)
class _Slice:
    path: Path
    series: str
    position: np.ndarray
    axes: np.ndarray
    spacing: tuple[float, float]
    shape: tuple[int, int]
    rescale: tuple[float, float]


def read_dicom(folder: Path) -> Stored:
    """Read the folder's series (its largest, flagged ``several_series``, where there are more).

    Slices are sorted along their normal; missing ones are interpolated and flagged ``missing_slices``; a gantry tilt
    becomes the affine's shear and is flagged ``gantry_tilt``; repeated ones are dropped, ``duplicate_slices``.

    Returns:
        float32 HU (slope and intercept differ from slice to slice), x along rows.

    Raises:
        UniferumError: the folder holds no CT slices, or slices that do not belong together.
    """
    slices, flags = _largest_series(_slices(folder), folder)
    axes = slices[0].axes
    normal = np.cross(axes[0], axes[1])
    slices = sorted(slices, key=lambda one: float(one.position @ normal))
    slices, repeated = _without_repeats(slices, normal)
    if len(slices) < 2:
        raise UniferumError(str(folder), f"{len(slices)} slice", must="hold at least two slices of one series")
    _check_alike(slices, folder)
    heights = np.array([one.position @ normal for one in slices])
    places, filled = _regular(heights, folder)
    values = _filled(np.stack([_pixels(one) for one in slices]), heights, places) if filled else _stack(slices)
    step = (slices[-1].position - slices[0].position) / (len(places) - 1)
    tilted = abs(float(step @ normal)) < np.cos(np.deg2rad(0.5)) * float(np.linalg.norm(step))
    affine = np.eye(4)
    rows, columns = slices[0].spacing
    affine[:3, :3] = _LPS_TO_RAS @ np.stack([axes[0] * columns, axes[1] * rows, step], axis=1)
    affine[:3, 3] = _LPS_TO_RAS @ slices[0].position
    seen = {"missing_slices": filled, "duplicate_slices": repeated, "gantry_tilt": tilted}
    return Stored(
        values.transpose(2, 1, 0), affine, Intensity(1.0, 0.0), flags + tuple(f for f, yes in seen.items() if yes)
    )


def _slices(folder: Path) -> list[_Slice]:
    found = [_slice(path) for path in sorted(folder.iterdir()) if path.is_file()]
    slices = [one for one in found if one is not None]
    if not slices:
        raise UniferumError(str(folder), must="hold the slices of a DICOM series", cure="none of its files is one")
    return slices


def _slice(path: Path) -> _Slice | None:
    """The geometry of one file, or ``None`` where it is no DICOM image with a place in space."""
    try:
        data: Any = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
    except (InvalidDicomError, EOFError):
        return None
    needed = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
    if not all(data.get(name) for name in needed):
        return None
    if int(data.get("SamplesPerPixel", 1)) != 1 or int(data.get("NumberOfFrames", 1)) != 1:
        raise UniferumError(str(path), must="be one grey slice (no colours, no frames)")
    orientation = np.array([float(value) for value in data.ImageOrientationPatient])
    return _Slice(
        path=path,
        series=str(data.get("SeriesInstanceUID", "")),
        position=np.array([float(value) for value in data.ImagePositionPatient]),
        axes=orientation.reshape(2, 3),
        spacing=(float(data.PixelSpacing[0]), float(data.PixelSpacing[1])),
        shape=(int(data.Rows), int(data.Columns)),
        rescale=(float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))),
    )


def _largest_series(slices: list[_Slice], folder: Path) -> tuple[list[_Slice], tuple[str, ...]]:
    series: dict[str, list[_Slice]] = {}
    for one in slices:
        series.setdefault(one.series, []).append(one)
    largest = max(series.values(), key=len)
    rows, columns = largest[0].shape
    if 4 * rows * columns * len(largest) > MAX_BYTES:
        raise UniferumError(str(folder), must=f"hold at most {MAX_BYTES >> 30} GiB of voxels")
    return largest, (("several_series",) if len(series) > 1 else ())


def _without_repeats(slices: list[_Slice], normal: np.ndarray) -> tuple[list[_Slice], bool]:
    kept = [slices[0]]
    for one in slices[1:]:
        if abs(float((one.position - kept[-1].position) @ normal)) > 1e-3:
            kept.append(one)
    return kept, len(kept) < len(slices)


def _check_alike(slices: list[_Slice], folder: Path) -> None:
    first = slices[0]
    for one in slices:
        alike = one.shape == first.shape and np.allclose(one.axes, first.axes, atol=1e-3)
        if not alike or not np.allclose(one.spacing, first.spacing, rtol=1e-3):
            raise UniferumError(str(folder), must="hold slices of one size, spacing and direction")
    if min(first.spacing) <= 0:
        raise UniferumError(str(folder), first.spacing, must="have a positive PixelSpacing")


def _regular(heights: np.ndarray, folder: Path) -> tuple[np.ndarray, bool]:
    """Equally spaced heights that cover the series, and whether some of them have no slice."""
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    if np.abs(gaps - usual).max() <= _GAP_TOLERANCE * usual:
        return heights, False
    count = round((heights[-1] - heights[0]) / usual) + 1
    if count > (1 + _MAX_FILLED) * len(heights):
        raise UniferumError(str(folder), f"{len(heights)} of {count}", must="hold most of the slices of its series")
    return np.linspace(heights[0], heights[-1], count), True


def _filled(values: np.ndarray, heights: np.ndarray, places: np.ndarray) -> np.ndarray:
    out = np.empty((len(places), *values.shape[1:]), dtype=np.float32)
    for index, height in enumerate(places):
        above = int(np.clip(np.searchsorted(heights, height), 1, len(heights) - 1))
        weight = float(np.clip((height - heights[above - 1]) / (heights[above] - heights[above - 1]), 0, 1))
        out[index] = values[above - 1] * (1 - weight) + values[above] * weight
    return out


def _stack(slices: list[_Slice]) -> np.ndarray:
    rows, columns = slices[0].shape
    out = np.empty((len(slices), rows, columns), dtype=np.float32)
    for index, one in enumerate(slices):
        out[index] = _pixels(one)
    return out


def _pixels(one: _Slice) -> np.ndarray:
    try:
        stored = pydicom.dcmread(one.path).pixel_array
    except Exception as error:  # noqa: BLE001 - decoders raise what they like, and their texts may quote the header
        raise UniferumError(str(one.path), must="have readable pixels", cure=type(error).__name__) from None
    slope, intercept = one.rescale
    return stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
