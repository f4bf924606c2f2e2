"""One file's header, read once, to its slices, or to the reason why it holds none."""

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
    NO_PLACE,
    NOT_DICOM,
    TOO_LARGE,
    Aside,
    Slice,
    lacking,
    make_slice,
)
from uniferum.preprocessing.formats.stored import MAX_BYTES, MAX_EXPANSION

# The elements that are read, and no others.
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
# pydicom inflates a deflated file whole, whatever becomes of it: no more than a volume may hold.
_MAX_DEFLATED = MAX_BYTES // MAX_EXPANSION
_DEFLATED = uid.DeflatedExplicitVRLittleEndian.encode()
_ENDINGS = (".dcm", ".dicom", ".ima")


def looks_like_dicom(path: Path) -> bool:
    """Whether a file begins like DICOM: whatever its name ends in with a preamble, else with a name that fits."""
    try:
        with path.open("rb") as file:
            head = file.read(140)
    except OSError:
        return False
    return head[128:132] == b"DICM" or (path.suffix.lower() in (*_ENDINGS, "") and _begins_like_a_data_set(head))


def open_dicom(file: BufferedIOBase, *, tags: list[str], stop_before_pixels: bool) -> Any:
    """Parse a DICOM file, with or without a preamble; ``None`` where the first bytes are not DICOM's."""
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
    """Without a preamble the first element is one of group 2 or 8, with a known VR or a short length."""
    if len(head) < 12:
        return False
    for order in "<>":
        group, element = struct.unpack(order + "HH", head[:4])
        (length,) = struct.unpack(order + "I", head[4:8])
        if group in (2, 8) and element <= 0x0070 and ((head[4:6].isalpha() and head[4:6].isupper()) or length <= 256):
            return True
    return False


def read_header(path: Path) -> list[Slice | Aside]:
    """The slices of one file; an :class:`Aside` where it holds none (or frames that are none).

    pydicom raises what it likes on damaged bytes, so any error that is not ours means: damaged.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size > _MAX_DEFLATED and _DEFLATED in file.read(2048):
                return [Aside(TOO_LARGE)]
            file.seek(0)
            data = open_dicom(file, tags=_TAGS, stop_before_pixels=True)
            if data is None or not _is_dicom(data):
                return [_no_dicom(path, size)]
            if not data.file_meta.TransferSyntaxUID.is_transfer_syntax:
                return [Aside(DAMAGED, text(data, "SeriesInstanceUID"), "its transfer syntax is private or unknown")]
            return _sorted_out(path, data, _is_cut(data, size - file.tell()))
    except Exception:  # noqa: BLE001 - see above
        return [Aside(DAMAGED)]


def _no_dicom(path: Path, size: int) -> Aside:
    """What a file is that does not begin like DICOM."""
    with path.open("rb") as file:
        content = content_of(file.read(SIGN_BYTES))
    looks = path.suffix.lower() in _ENDINGS or not size
    return Aside(DAMAGED if looks else NOT_DICOM, detail=f"it holds {content}" if content else "")


def _is_dicom(data: Any) -> bool:
    meta = text(data.file_meta, "MediaStorageSOPClassUID")
    return bool(text(data, "Modality") or text(data, "SOPClassUID") or meta)


def _is_cut(data: Any, rest: int) -> bool:
    """Whether fewer bytes follow the header than its pixels need."""
    syntax = data.file_meta.TransferSyntaxUID
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        return False
    if syntax.is_compressed:
        return rest < 16
    tag = 8 if syntax.is_implicit_VR else 12
    bits = (whole(data, "BitsAllocated") or 8) * (whole(data, "NumberOfFrames") or 1)
    return rest < tag + (whole(data, "Rows") or 0) * (whole(data, "Columns") or 0) * bits // 8


def _sorted_out(path: Path, data: Any, cut: bool) -> list[Slice | Aside]:
    reason, series = kinds.aside(data), text(data, "SeriesInstanceUID")
    if reason != kinds.DICOMDIR and not text(data, "Modality") and "Rows" not in data:
        return [Aside(DAMAGED)]
    if reason is not None:
        return [Aside(reason, series)]
    if cut or not (whole(data, "Rows") and whole(data, "Columns")):
        return [Aside(DAMAGED, series)]
    if "PerFrameFunctionalGroupsSequence" in data:
        return slices_of_frames(path, data)
    if (whole(data, "NumberOfFrames") or 1) != 1:
        return [Aside(NO_FRAMES, series)]
    one = make_slice(path, data, data, rescale_of(data), kinds.image_type(data))
    return [one or Aside(NO_PLACE, series, lacking(data))]
