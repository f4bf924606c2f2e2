"""Read the header of one file once, to its slices or to the reason why it holds none."""

import struct
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import pydicom
from pydicom import uid

from uniferum.preprocessing.formats.content import SIGN_BYTES, content_of
from uniferum.preprocessing.formats.dicom import kinds
from uniferum.preprocessing.formats.dicom.elements import text, whole
from uniferum.preprocessing.formats.dicom.frames import slices_of_frames
from uniferum.preprocessing.formats.dicom.rescale import rescale_of
from uniferum.preprocessing.formats.dicom.slices import (
    DAMAGED,
    NO_FRAMES,
    NO_POSITION,
    NOT_DICOM,
    TOO_LARGE,
    Skipped,
    Slice,
    lacking,
    make_slice,
)
from uniferum.preprocessing.formats.stored import MAX_BYTES, MAX_EXPANSION

# The only elements that are read.
_TAGS = [
    *("SOPClassUID", "Modality", "ImageType", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber"),
    *("FrameOfReferenceUID", "InstanceNumber", "AcquisitionNumber", "TemporalPositionIdentifier"),
    *("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "ContentTime"),
    *("ConvolutionKernel", "SliceThickness", "KVP", "NominalPercentageOfCardiacPhase"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing", "Rows", "Columns"),
    *("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "NumberOfFrames"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]
# pydicom inflates a deflated file completely, so it may not be larger than a volume.
_MAX_DEFLATED = MAX_BYTES // MAX_EXPANSION
_DEFLATED = uid.DeflatedExplicitVRLittleEndian.encode()
_ENDINGS = (".dcm", ".dicom", ".ima")


def looks_like_dicom(path: Path) -> bool:
    """Whether a file begins like DICOM: with a preamble, or without one if its name also fits."""
    try:
        with path.open("rb") as file:
            head = file.read(140)
    except OSError:
        return False
    return head[128:132] == b"DICM" or (path.suffix.lower() in (*_ENDINGS, "") and _begins_like_a_data_set(head))


def open_dicom(file: BufferedIOBase, *, tags: list[str], stop_before_pixels: bool) -> Any:
    """Parse a DICOM file with or without a preamble; ``None`` if it does not begin like DICOM."""
    head = file.read(140)
    file.seek(0)
    if head[128:132] != b"DICM" and not _begins_like_a_data_set(head):
        return None
    data: Any = pydicom.dcmread(file, force=True, stop_before_pixels=stop_before_pixels, specific_tags=list(tags))
    if not getattr(data.file_meta, "TransferSyntaxUID", None):
        implicit, little = data.original_encoding
        guessed = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
        data.file_meta.TransferSyntaxUID = guessed if little else uid.ExplicitVRBigEndian
    return data


def _begins_like_a_data_set(head: bytes) -> bool:
    """Whether a file without preamble begins with an element of group 2 or 8, with a known VR or a short length."""
    if len(head) < 12:
        return False
    for order in "<>":
        group, element = struct.unpack(order + "HH", head[:4])
        (length,) = struct.unpack(order + "I", head[4:8])
        if group in (2, 8) and element <= 0x0070 and ((head[4:6].isalpha() and head[4:6].isupper()) or length <= 256):
            return True
    return False


def read_header(path: Path) -> list[Slice | Skipped]:
    """Slices of one file; a :class:`Skipped` for a file or frames that are not slices.

    pydicom raises many kinds of errors for damaged bytes, so every unexpected error counts as damage.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size > _MAX_DEFLATED and _DEFLATED in file.read(2048):
                return [Skipped(TOO_LARGE)]
            file.seek(0)
            data = open_dicom(file, tags=_TAGS, stop_before_pixels=True)
            if data is None or not _is_dicom(data):
                return [_not_dicom(path, size)]
            if not data.file_meta.TransferSyntaxUID.is_transfer_syntax:
                return [Skipped(DAMAGED, text(data, "SeriesInstanceUID"), "its transfer syntax is private or unknown")]
            return _slices_or_reason(path, data, _is_truncated(data, size - file.tell()))
    except Exception:  # noqa: BLE001 - see above
        return [Skipped(DAMAGED)]


def _not_dicom(path: Path, size: int) -> Skipped:
    """Recognise the content of a file that does not begin like DICOM."""
    with path.open("rb") as file:
        content = content_of(file.read(SIGN_BYTES))
    named_as_dicom = path.suffix.lower() in _ENDINGS or not size
    return Skipped(DAMAGED if named_as_dicom else NOT_DICOM, detail=f"it holds {content}" if content else "")


def _is_dicom(data: Any) -> bool:
    meta = text(data.file_meta, "MediaStorageSOPClassUID")
    return bool(text(data, "Modality") or text(data, "SOPClassUID") or meta)


def _is_truncated(data: Any, rest: int) -> bool:
    """Whether the file ends before the last pixel that its header declares."""
    syntax = data.file_meta.TransferSyntaxUID
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        return False
    if syntax.is_compressed:
        return rest < 16
    tag = 8 if syntax.is_implicit_VR else 12
    bits = (whole(data, "BitsAllocated") or 8) * (whole(data, "NumberOfFrames") or 1)
    return rest < tag + (whole(data, "Rows") or 0) * (whole(data, "Columns") or 0) * bits // 8


def _slices_or_reason(path: Path, data: Any, truncated: bool) -> list[Slice | Skipped]:
    reason, series = kinds.skip_reason(data), text(data, "SeriesInstanceUID")
    if reason != kinds.DICOMDIR and not text(data, "Modality") and "Rows" not in data:
        return [Skipped(DAMAGED)]
    if reason is not None:
        return [Skipped(reason, series)]
    if truncated or not (whole(data, "Rows") and whole(data, "Columns")):
        return [Skipped(DAMAGED, series)]
    if "PerFrameFunctionalGroupsSequence" in data:
        return slices_of_frames(path, data)
    if (whole(data, "NumberOfFrames") or 1) != 1:
        return [Skipped(NO_FRAMES, series)]
    one = make_slice(path, data, data, rescale_of(data), kinds.image_type(data))
    return [one or Skipped(NO_POSITION, series, lacking(data))]
