"""Read enhanced (multi-frame) CT, with position and rescale of each frame in functional groups (PS3.3 C.7.6.16).

pydicom's sequences are used directly: highdicom can build volumes, but refuses unevenly spaced frames.
"""

from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from uniferum.preprocessing.formats.dicom import kinds
from uniferum.preprocessing.formats.dicom.elements import first, text, value, whole
from uniferum.preprocessing.formats.dicom.rescale import rescale_of
from uniferum.preprocessing.formats.dicom.slices import DAMAGED, NO_FRAMES, Skipped, Slice, lacking, make_slice

# Functional groups and the elements to copy from each.
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


def slices_of_frames(path: Path, data: Any) -> list[Slice | Skipped]:
    """Frames of one file as slices; frames without a position, localizers and projections as :class:`Skipped`."""
    series = text(data, "SeriesInstanceUID")
    shared = first(data, "SharedFunctionalGroupsSequence")
    frames = value(data, "PerFrameFunctionalGroupsSequence") or []
    if len(frames) != whole(data, "NumberOfFrames"):
        return [Skipped(DAMAGED, series)]
    slices: list[Slice | Skipped] = []
    for number, frame_groups in enumerate(frames):
        elements = _merged(data, shared, frame_groups)
        frame_type = kinds.image_type(elements, "FrameType") or kinds.image_type(data)
        reason = kinds.frame_skip_reason(frame_type)
        if reason is not None:
            slices.append(Skipped(reason, series))
            continue
        one = make_slice(path, data, elements, rescale_of(elements), frame_type, frame=number)
        slices.append(one or Skipped(NO_FRAMES, series, lacking(elements)))
    return slices or [Skipped(NO_FRAMES, series)]


def _merged(data: Any, shared: Any, frame_groups: Any) -> Dataset:
    """Merge the elements of the file, of the shared groups and of the frame into one flat data set."""
    elements = Dataset()
    for name in ("RescaleSlope", "RescaleIntercept", "RescaleType", "ImageOrientationPatient", "PixelSpacing"):
        if name in data:
            elements[name] = data[name]
    for source in (shared, frame_groups):
        if source is None:
            continue
        for group, names in _GROUPS.items():
            _copy(first(source, group), names, elements)
        content = first(source, "FrameContentSequence")
        _copy(content, ("FrameAcquisitionNumber", "TemporalPositionIndex", "FrameAcquisitionDateTime"), elements)
    for frame_name, name in (
        ("FrameAcquisitionNumber", "AcquisitionNumber"),
        ("TemporalPositionIndex", "TemporalPositionIdentifier"),
        ("FrameAcquisitionDateTime", "AcquisitionDateTime"),
    ):
        if text(elements, frame_name):
            setattr(elements, name, value(elements, frame_name))
    return elements


def _copy(source: Any, names: tuple[str, ...], elements: Dataset) -> None:
    for name in names:
        if source is not None and name in source:
            elements[name] = source[name]
