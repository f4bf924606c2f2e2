"""One slice: where its pixels are, where it lies, and what tells it from slices of other acquisitions."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from uniferum.preprocessing.formats.dicom import kinds
from uniferum.preprocessing.formats.dicom.elements import numbers, text, whole
from uniferum.preprocessing.formats.dicom.rescale import Rescale

DAMAGED = "file that cannot be read or is cut off"
NOT_DICOM = "file that is not DICOM"
TOO_LARGE = "deflated file that is too large to inflate"
NO_PLACE = "CT image without a place in space"
NO_FRAMES = "multi-frame image without a place for each frame"

MARKS = (
    *("AcquisitionNumber", "TemporalPositionIdentifier", "NominalPercentageOfCardiacPhase"),
    *("ConvolutionKernel", "KVP", "SliceThickness", "ImageType"),
)
"""Elements that tell acquisitions, phases and reconstructions apart, in the order in which they are asked."""
# Frames of one file, at most: numbers of frames go on from file to file.
_MAX_FRAMES = 1_000_000
# Direction cosines are written with few digits; more than this is no rotation.
_COSINE_TOLERANCE = 5e-3


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """One slice: where its pixels are, where it lies, and what tells it from slices of other acquisitions.

    Attributes:
        frame: its number in a multi-frame file, from 0; ``None`` in a file of one slice.
        kind: of ``kinds``.
        position: centre of the first pixel, LPS mm.
        axes: 2 x 3, the directions in which columns and rows count up.
        spacing: mm from row to row, and from column to column.
        shape: rows, columns.
        marks: values that are equal within one acquisition, by their names.
        time: of the acquisition, comparable; empty where the header does not say it.
        order: number within the series; ``None`` where the header does not say it.
        height: place along the normal, mm.
    """

    path: Path
    frame: int | None
    kind: str
    study: str
    series: str
    reference: str
    series_number: int
    position: np.ndarray
    axes: np.ndarray
    spacing: tuple[float, float]
    shape: tuple[int, int]
    rescale: Rescale
    marks: dict[str, str]
    time: tuple[str, ...]
    order: int | None

    height: float = field(init=False)

    def __post_init__(self) -> None:
        """Work out the place along the normal once: sorting asks for it often, and ``np.cross`` is slow."""
        (ax, ay, az), (bx, by, bz) = self.axes.tolist()
        x, y, z = self.position.tolist()
        height = x * (ay * bz - az * by) + y * (az * bx - ax * bz) + z * (ax * by - ay * bx)
        object.__setattr__(self, "height", height)


@dataclass(frozen=True)
class Aside:
    """Why a file (or some frames of one) holds no slice, of which series it would have been one, and more on why."""

    reason: str
    series: str = ""
    detail: str = ""

    @property
    def words(self) -> str:
        """The reason, with the detail in brackets where there is one."""
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


def lacking(place: Any) -> str:
    """Which element that places a slice is absent or unusable, for an :class:`Aside`."""
    if numbers(place, "ImagePositionPatient", 3) is None:
        return "ImagePositionPatient is absent or no three numbers"
    cosines = numbers(place, "ImageOrientationPatient", 6)
    if cosines is None:
        return "ImageOrientationPatient is absent or no six numbers"
    if _unit(cosines.reshape(2, 3)) is None:
        return "ImageOrientationPatient is no two directions at right angles"
    if numbers(place, "PixelSpacing", 2) is None and "ImagerPixelSpacing" in place:
        return "PixelSpacing is absent; ImagerPixelSpacing is that of the detector and does not replace it"
    return "PixelSpacing is absent or no two positive numbers"


def make_slice(
    path: Path, data: Any, place: Any, rescale: Rescale, image_type: list[str], *, frame: int | None = None
) -> Slice | None:
    """A slice from the header of its file and the data set with its place; ``None`` where that says no place."""
    position, cosines = numbers(place, "ImagePositionPatient", 3), numbers(place, "ImageOrientationPatient", 6)
    spacing = numbers(place, "PixelSpacing", 2)
    if position is None or cosines is None or spacing is None or spacing.min() <= 0:
        return None
    axes = _unit(cosines.reshape(2, 3))
    if axes is None:
        return None
    marks = {name: _mark(text(place, name) or text(data, name)) for name in MARKS}
    times = (text(place, "AcquisitionDateTime") or text(data, "AcquisitionDateTime"), text(data, "AcquisitionDate"))
    order = whole(data, "InstanceNumber")
    return Slice(
        path=path,
        frame=frame,
        kind=kinds.kind(data, image_type, text(place, "RescaleType").upper()),
        study=text(data, "StudyInstanceUID"),
        series=text(data, "SeriesInstanceUID"),
        reference=text(data, "FrameOfReferenceUID"),
        series_number=whole(data, "SeriesNumber") or 0,
        position=position,
        axes=axes,
        spacing=(float(spacing[0]), float(spacing[1])),
        shape=(whole(data, "Rows") or 0, whole(data, "Columns") or 0),
        rescale=rescale,
        marks=marks,
        time=tuple(_clock(part) for part in (*times, text(data, "AcquisitionTime"), text(data, "ContentTime"))),
        order=order if frame is None else (order or 0) * _MAX_FRAMES + frame,
    )


def _mark(said: str) -> str:
    """A number without its spelling, so that 5.0 is 5; other text as it is."""
    try:
        return f"{float(said):.6g}"
    except ValueError:
        return said


def _clock(said: str) -> str:
    """A date or time without separators, so that texts compare as times do."""
    return said.replace(":", "").replace(".", "").ljust(20, "0") if said else ""


def _unit(axes: np.ndarray) -> np.ndarray | None:
    """The two directions at exactly unit length and right angles; ``None`` where they are neither, nearly."""
    lengths = np.linalg.norm(axes, axis=1)
    if np.abs(lengths - 1).max() > _COSINE_TOLERANCE or abs(float(axes[0] @ axes[1])) > _COSINE_TOLERANCE:
        return None
    along = axes[0] / lengths[0]
    down = axes[1] - (axes[1] @ along) * along
    return np.stack([along, down / np.linalg.norm(down)])
