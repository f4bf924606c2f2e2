"""What a DICOM object is, by its modality, SOP class and ImageType (PS3.3 C.7.6.1.1.2, C.8.2.1.1.1, C.8.16.1)."""

import re
from typing import Any

from pydicom import uid

from uniferum.preprocessing.formats.dicom.elements import text

ORIGINAL, DERIVED, OTHER_CLASS, NOT_HU = "original", "derived", "of another class", "not in HU"
"""Kinds that can be read, best first: all but original ones only where there is nothing better.

``OTHER_CLASS``: slices whose Modality says CT and whose SOP class says MR, as converters leave them.
"""
DICOMDIR = "DICOMDIR"

_CT_CLASSES = {
    uid.CTImageStorage,
    uid.EnhancedCTImageStorage,
    uid.LegacyConvertedEnhancedCTImageStorage,
}
_CAPTURES = {
    uid.SecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
}
_CONTRADICTING = {uid.MRImageStorage, uid.EnhancedMRImageStorage}
# Images that are no CT, whatever their Modality says.
_OTHER_CLASSES = {
    uid.PositronEmissionTomographyImageStorage,
    uid.NuclearMedicineImageStorage,
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.RTDoseStorage,
    uid.SegmentationStorage,
}
# Codes of PS3.3 C.7.3.1.1.1 that may be told; any other text of the element is not repeated.
_TOLD = frozenset(
    {
        *("CR", "CT", "DX", "KO", "MG", "MR", "NM", "OT", "PR", "PT", "REG", "RTDOSE", "RTIMAGE", "RTPLAN"),
        *("RTSTRUCT", "SC", "SEG", "SM", "SR", "US", "XA"),
    }
)
_LOCALIZER = frozenset({"LOCALIZER", "LOCALISER", "SCOUT", "TOPOGRAM", "SURVIEW", "SCANOGRAM"})
_PROJECTION = frozenset({"MIP", "MAXIP", "MINIP", "MNIP", "PROJECTION", "CURVED", "CPR"}) | frozenset(
    {"VRT", "VOLREND", "RENDERING", "SURFACE"}
)
_PICTURE = frozenset({"SCREEN", "SCREENSHOT", "SCREENSAVE"})
_RECOMPUTED = frozenset({"MPR", "MPRTHICK", "REFORMATTED", "RESAMPLED", "REFORMAT"})
# RescaleType of values that are HU, or that are not said to be anything else (PS3.3 C.11.1.1.2).
_HU_TYPES = frozenset({"", "HU", "US"})


def aside(data: Any) -> str | None:
    """Why an object can be no slice of a CT, in words for a note; ``None`` where it can."""
    modality, sop = text(data, "Modality"), _sop_class(data)
    if sop == uid.MediaStorageDirectoryStorage:
        return DICOMDIR
    if modality not in ("", "CT") or (not modality and sop and sop not in _CT_CLASSES):
        what = "image" if "Rows" in data else "object without an image"
        return f"{what} of modality {modality if modality in _TOLD else 'other than CT'}"
    if sop in _OTHER_CLASSES:
        return "image whose SOP class is not CT's"
    if text(data, "SamplesPerPixel") not in ("", "1") or text(data, "PhotometricInterpretation") == "PALETTE COLOR":
        return "colour picture"
    return _by_words(image_type(data))


def _by_words(values: list[str]) -> str | None:
    found = words(values)
    if found & _LOCALIZER:
        return "localizer"
    if found & _PROJECTION:
        return "projection (MIP, rendering)"
    return "picture of a screen" if found & _PICTURE else None


def kind(data: Any, values: list[str], rescale_type: str) -> str:
    """``ORIGINAL``, ``DERIVED``, ``OTHER_CLASS`` or ``NOT_HU`` for an object, or a frame, that can be a slice."""
    if rescale_type not in _HU_TYPES:
        return NOT_HU
    if _sop_class(data) in _CONTRADICTING:
        return OTHER_CLASS
    second = values[:2] and ("DERIVED" in values[:2] or "SECONDARY" in values[:2])
    return DERIVED if second or words(values) & _RECOMPUTED or _sop_class(data) in _CAPTURES else ORIGINAL


def aside_frame(values: list[str]) -> str | None:
    """Why a frame with this FrameType can be no slice; ``None`` where it can."""
    return _by_words(values)


def image_type(data: Any, name: str = "ImageType") -> list[str]:
    """The values of ImageType (or FrameType) in capitals."""
    value = text(data, name)
    return [part.strip() for part in value.upper().split("\\")] if value else []


def words(values: list[str]) -> set[str]:
    """All single words of all values: ``CT_SOM5 MIP`` has ``MIP``."""
    return {word for value in values for word in re.split(r"[^A-Z0-9]+", value)}


def is_ct_image(data: Any) -> bool:
    """Whether the object claims to be a CT image, whatever of it is readable."""
    return text(data, "Modality") == "CT" or (not text(data, "Modality") and _sop_class(data) in _CT_CLASSES)


def _sop_class(data: Any) -> str:
    return text(data, "SOPClassUID") or text(data.file_meta, "MediaStorageSOPClassUID")
