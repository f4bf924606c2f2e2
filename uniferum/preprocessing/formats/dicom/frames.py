"""Enhanced (multi-frame) CT: each frame's place and rescale stand in functional groups (PS3.3 C.7.6.16).

pydicom's sequences are read directly: highdicom offers volumes too, but refuses frames that are unevenly spaced.
"""

from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from uniferum.preprocessing.formats.dicom import kinds
from uniferum.preprocessing.formats.dicom.elements import first, text, value, whole
from uniferum.preprocessing.formats.dicom.rescale import rescale_of
from uniferum.preprocessing.formats.dicom.slices import DAMAGED, NO_FRAMES, Aside, Slice, lacking, make_slice

# Functional group to the elements that are taken from it.
_GROUPS = {
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept", "RescaleType"),
    "CTImageFrameTypeSequence": ("FrameType",),
    "CTReconstructionSequence": ("ConvolutionKernel",),
    "CTXRayDetailsSequence": ("KVP",),
    "CardiacSynchronizationSequence": ("NominalPercentageOfCardiacPhase",),
}


def slices_of_frames(path: Path, data: Any) -> list[Slice | Aside]:
    """The frames of one file as slices; those without a place, and localizers and projections, as asides."""
    series = text(data, "SeriesInstanceUID")
    shared = first(data, "SharedFunctionalGroupsSequence")
    frames = value(data, "PerFrameFunctionalGroupsSequence") or []
    if len(frames) != whole(data, "NumberOfFrames"):
        return [Aside(DAMAGED, series)]
    found: list[Slice | Aside] = []
    for number, own in enumerate(frames):
        place = _merged(data, shared, own)
        frame_type = kinds.image_type(place, "FrameType") or kinds.image_type(data)
        reason = kinds.aside_frame(frame_type)
        if reason is not None:
            found.append(Aside(reason, series))
            continue
        one = make_slice(path, data, place, rescale_of(place), frame_type, frame=number)
        found.append(one or Aside(NO_FRAMES, series, lacking(place)))
    return found or [Aside(NO_FRAMES, series)]


def _merged(data: Any, shared: Any, own: Any) -> Dataset:
    """One flat data set: the file's, then the shared groups', then the frame's own elements."""
    place = Dataset()
    for name in ("RescaleSlope", "RescaleIntercept", "RescaleType", "ImageOrientationPatient", "PixelSpacing"):
        if name in data:
            place[name] = data[name]
    for source in (shared, own):
        if source is None:
            continue
        for group, names in _GROUPS.items():
            _copy(first(source, group), names, place)
        content = first(source, "FrameContentSequence")
        _copy(content, ("FrameAcquisitionNumber", "TemporalPositionIndex", "FrameAcquisitionDateTime"), place)
    for frame_name, name in (
        ("FrameAcquisitionNumber", "AcquisitionNumber"),
        ("TemporalPositionIndex", "TemporalPositionIdentifier"),
        ("FrameAcquisitionDateTime", "AcquisitionDateTime"),
    ):
        if text(place, frame_name):
            setattr(place, name, value(place, frame_name))
    return place


def _copy(source: Any, names: tuple[str, ...], place: Dataset) -> None:
    for name in names:
        if source is not None and name in source:
            place[name] = source[name]
