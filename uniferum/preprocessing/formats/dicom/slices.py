"""One slice: location of its pixels, its geometry, and values that distinguish its acquisition."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from uniferum.preprocessing.formats.dicom import kinds
from uniferum.preprocessing.formats.dicom.elements import numbers, text, whole
from uniferum.preprocessing.formats.dicom.rescale import Rescale

DAMAGED = "unreadable or truncated file"
NOT_DICOM = "file that is not DICOM"
TOO_LARGE = "deflated file that is too large to inflate"
NO_POSITION = "CT image without a position"
NO_FRAMES = "multi-frame image without a position for each frame"

MARKS = (
    *("AcquisitionNumber", "TemporalPositionIdentifier", "NominalPercentageOfCardiacPhase"),
    *("ConvolutionKernel", "KVP", "SliceThickness", "ImageType"),
)
"""Elements that distinguish acquisitions, phases and reconstructions, in the order in which they are used."""
# Offset between the frame numbers of consecutive files, and so the maximum number of frames of a file.
_MAX_FRAMES = 1_000_000
# Tolerance for direction cosines, which are written with few digits.
_COSINE_TOLERANCE = 5e-3


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """One slice: location of its pixels, its geometry, and values that distinguish its acquisition.

    Attributes:
        frame: frame number in a multi-frame file, from 0; ``None`` for a file with one slice.
        kind: one of ``kinds``.
        position: centre of the first pixel, LPS mm.
        axes: directions in which columns and rows increase, 2 x 3.
        spacing: distance of rows, and of columns, in mm.
        shape: rows, columns.
        marks: values that are equal within one acquisition, by element name.
        time: times of the acquisition as comparable texts; empty if the header has none.
        order: number within the series; ``None`` if the header has none.
        height: position along the normal, mm.
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
        """Compute the position along the normal once: sorting needs it often, and ``np.cross`` is slow."""
        (ax, ay, az), (bx, by, bz) = self.axes.tolist()
        x, y, z = self.position.tolist()
        height = x * (ay * bz - az * by) + y * (az * bx - ax * bz) + z * (ax * by - ay * bx)
        object.__setattr__(self, "height", height)


@dataclass(frozen=True)
class Skipped:
    """Reason why a file or frame is not a slice, the series it would belong to, and details of the reason."""

    reason: str
    series: str = ""
    detail: str = ""

    @property
    def words(self) -> str:
        """The reason, with the detail in brackets if there is one."""
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


def lacking(geometry: Any) -> str:
    """Name the missing or invalid element that prevents locating a slice, for a :class:`Skipped`."""
    if numbers(geometry, "ImagePositionPatient", 3) is None:
        return "ImagePositionPatient is absent or not three numbers"
    cosines = numbers(geometry, "ImageOrientationPatient", 6)
    if cosines is None:
        return "ImageOrientationPatient is absent or not six numbers"
    if _unit(cosines.reshape(2, 3)) is None:
        return "ImageOrientationPatient is not two directions at right angles"
    if numbers(geometry, "PixelSpacing", 2) is None and "ImagerPixelSpacing" in geometry:
        return "PixelSpacing is absent; ImagerPixelSpacing refers to the detector and does not replace it"
    return "PixelSpacing is absent or not two positive numbers"


def make_slice(
    path: Path, data: Any, geometry: Any, rescale: Rescale, image_type: list[str], *, frame: int | None = None
) -> Slice | None:
    """Make a slice from its file's header and the data set with its geometry; ``None`` without a valid geometry."""
    position, cosines = numbers(geometry, "ImagePositionPatient", 3), numbers(geometry, "ImageOrientationPatient", 6)
    spacing = numbers(geometry, "PixelSpacing", 2)
    if position is None or cosines is None or spacing is None or spacing.min() <= 0:
        return None
    axes = _unit(cosines.reshape(2, 3))
    if axes is None:
        return None
    marks = {name: _mark(text(geometry, name) or text(data, name)) for name in MARKS}
    times = (text(geometry, "AcquisitionDateTime") or text(data, "AcquisitionDateTime"), text(data, "AcquisitionDate"))
    order = whole(data, "InstanceNumber")
    return Slice(
        path=path,
        frame=frame,
        kind=kinds.kind(data, image_type, text(geometry, "RescaleType").upper()),
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


def _mark(text_value: str) -> str:
    """Normalise the spelling of a number, so that 5.0 equals 5; other text is unchanged."""
    try:
        return f"{float(text_value):.6g}"
    except ValueError:
        return text_value


def _clock(text_value: str) -> str:
    """Date or time without separators, so that texts sort in order of time."""
    return text_value.replace(":", "").replace(".", "").ljust(20, "0") if text_value else ""


def _unit(axes: np.ndarray) -> np.ndarray | None:
    """Orthonormal directions; ``None`` if the given ones are not nearly orthonormal."""
    lengths = np.linalg.norm(axes, axis=1)
    if np.abs(lengths - 1).max() > _COSINE_TOLERANCE or abs(float(axes[0] @ axes[1])) > _COSINE_TOLERANCE:
        return None
    along = axes[0] / lengths[0]
    down = axes[1] - (axes[1] @ along) * along
    return np.stack([along, down / np.linalg.norm(down)])
