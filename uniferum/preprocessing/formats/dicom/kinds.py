"""Classify a DICOM object by modality, SOP class and ImageType (PS3.3 C.7.6.1.1.2, C.8.2.1.1.1, C.8.16.1)."""

import re
from typing import Any

from pydicom import uid

from uniferum.preprocessing.formats.dicom.elements import text

ORIGINAL, DERIVED, OTHER_CLASS, NOT_HU = "original", "derived", "of another class", "not in HU"
"""Readable kinds, best first; all but original slices are read only if there is nothing better.

``OTHER_CLASS``: slices with Modality CT but the SOP class of MR, as some converters write them.
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
# Images that are not CT, whatever their Modality is.
_OTHER_CLASSES = {
    uid.PositronEmissionTomographyImageStorage,
    uid.NuclearMedicineImageStorage,
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.RTDoseStorage,
    uid.SegmentationStorage,
}
# Codes of PS3.3 C.7.3.1.1.1 that may be shown; any other text of the element is not repeated.
_MODALITIES = frozenset(
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
# RescaleType of values that are HU, or not stated to be anything else (PS3.3 C.11.1.1.2).
_HU_TYPES = frozenset({"", "HU", "US"})


def skip_reason(data: Any) -> str | None:
    """Reason, for a note, why an object cannot be a CT slice; ``None`` if it can."""
    modality, sop = text(data, "Modality"), _sop_class(data)
    if sop == uid.MediaStorageDirectoryStorage:
        return DICOMDIR
    if modality not in ("", "CT") or (not modality and sop and sop not in _CT_CLASSES):
        what = "image" if "Rows" in data else "object without an image"
        return f"{what} of modality {modality if modality in _MODALITIES else 'other than CT'}"
    if sop in _OTHER_CLASSES:
        return "image whose SOP class is not CT's"
    if text(data, "SamplesPerPixel") not in ("", "1") or text(data, "PhotometricInterpretation") == "PALETTE COLOR":
        return "colour picture"
    return _by_words(image_type(data))


def _by_words(values: list[str]) -> str | None:
    type_words = words(values)
    if type_words & _LOCALIZER:
        return "localizer"
    if type_words & _PROJECTION:
        return "projection (MIP, rendering)"
    return "screenshot" if type_words & _PICTURE else None


def kind(data: Any, values: list[str], rescale_type: str) -> str:
    """``ORIGINAL``, ``DERIVED``, ``OTHER_CLASS`` or ``NOT_HU`` for an object or frame that can be a slice."""
    if rescale_type not in _HU_TYPES:
        return NOT_HU
    if _sop_class(data) in _CONTRADICTING:
        return OTHER_CLASS
    second = values[:2] and ("DERIVED" in values[:2] or "SECONDARY" in values[:2])
    return DERIVED if second or words(values) & _RECOMPUTED or _sop_class(data) in _CAPTURES else ORIGINAL


def frame_skip_reason(values: list[str]) -> str | None:
    """Reason why a frame with this FrameType cannot be a slice; ``None`` if it can."""
    return _by_words(values)


def image_type(data: Any, name: str = "ImageType") -> list[str]:
    """The values of ImageType (or FrameType) in upper case."""
    value = text(data, name)
    return [part.strip() for part in value.upper().split("\\")] if value else []


def words(values: list[str]) -> set[str]:
    """Single words of all values: ``CT_SOM5 MIP`` contains ``MIP``."""
    return {word for value in values for word in re.split(r"[^A-Z0-9]+", value)}


def _sop_class(data: Any) -> str:
    return text(data, "SOPClassUID") or text(data.file_meta, "MediaStorageSOPClassUID")
