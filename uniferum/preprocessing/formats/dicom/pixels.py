"""Decode the pixels of one file to HU: unused bits, padding, slope and intercept or the modality LUT."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array
from scipy import ndimage

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.dicom.elements import first, quiet, text, whole
from uniferum.preprocessing.formats.dicom.geometry import AIR
from uniferum.preprocessing.formats.dicom.headers import open_dicom
from uniferum.preprocessing.formats.dicom.rescale import Rescale

_TAGS = [
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"),
    *("BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("ModalityLUTSequence", "PixelData", "FloatPixelData", "DoubleFloatPixelData", "ExtendedOffsetTable"),
    "ExtendedOffsetTableLengths",
]
# HU range of tissue and bone: a padding value within it is used only if it touches the border of the image.
_TISSUE_HU = (-900.0, 3500.0)
_OTHER_DECODERS = {
    uid.HTJ2K: "pylibjpeg pylibjpeg-openjpeg",
    uid.HTJ2KLossless: "pylibjpeg pylibjpeg-openjpeg",
    uid.HTJ2KLosslessRPCL: "pylibjpeg pylibjpeg-openjpeg",
    uid.JPEGExtended12Bit: "python-gdcm",
}


class DamagedError(Exception):
    """The pixels of one file cannot be decoded; only that file is lost."""


@dataclass(frozen=True)
class Decoded:
    """Stored frames of one file, and where they are padding."""

    data: Any
    stored: np.ndarray
    padding: np.ndarray | None


def decode(path: Path) -> Decoded:
    """Decode all frames of a file.

    Raises:
        UniferumError: no decoder for its transfer syntax.
        DamagedError: its pixels cannot be read, or its bits contradict each other.
    """
    try:
        with quiet(), path.open("rb") as file:
            data = open_dicom(file, tags=_TAGS, stop_before_pixels=False)
            _check_decoder(path, data)
            raw = _raw(path, data)
        frames = raw if raw.ndim == 3 else raw[None]
        stored = _stored_bits(data, frames)
        return Decoded(data, stored, _padding(data, frames, stored))
    except (UniferumError, DamagedError):
        raise
    except Exception as error:  # noqa: BLE001 - decoders raise many kinds of errors, whose texts may quote the header
        raise DamagedError(type(error).__name__) from None


def _check_decoder(path: Path, data: Any) -> None:
    syntax = data.file_meta.TransferSyntaxUID
    if not syntax.is_compressed or syntax == uid.DeflatedExplicitVRLittleEndian:
        return
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        package = _OTHER_DECODERS.get(syntax)
        cure = f"pip install {package}" if package else "rewrite it uncompressed (gdcmconv --raw, dcmdjpeg)"
        raise UniferumError(f"{path}: transfer syntax", f"{syntax.name}, {syntax}", must="have a decoder", cure=cure)


def _raw(path: Path, data: Any) -> np.ndarray:
    """Pixels before unused bits are cleared."""
    syntax = data.file_meta.TransferSyntaxUID
    if syntax == uid.JPEGExtended12Bit and (whole(data, "BitsStored") or 8) > 8:
        return _by_gdcm(path, data)
    return pixel_array(data, raw=True, correct_unused_bits=False)


def _by_gdcm(path: Path, data: Any) -> np.ndarray:
    """Decode 12-bit JPEG Extended with GDCM's reader of whole files: pydicom's plugins refuse it."""
    import gdcm  # pyright: ignore[reportMissingImports] - C++ bindings without stubs, loaded only where needed

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    if not reader.Read():
        raise DamagedError("GDCM")
    raw = reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape")
    kind = "<i2" if whole(data, "PixelRepresentation") else "<u2"
    return np.frombuffer(raw, kind).reshape(-1, int(data.Rows), int(data.Columns))


def _stored_bits(data: Any, raw: np.ndarray) -> np.ndarray:
    """Keep only the stored bits, with sign extension.

    Raises:
        DamagedError: ``HighBit`` is not ``BitsStored - 1``, and the lower bits are not empty.
    """
    if raw.dtype.kind == "f" or data.file_meta.TransferSyntaxUID.is_encapsulated:
        return raw
    allocated, bits = 8 * raw.dtype.itemsize, whole(data, "BitsStored") or 8 * raw.dtype.itemsize
    high = whole(data, "HighBit")
    below = 0 if high is None else high + 1 - bits
    possible = bits > 0 and 0 <= below <= allocated - bits
    if not possible or (below and bool((raw & ((1 << below) - 1)).any())):
        raise DamagedError(f"HighBit {high}, BitsStored {bits}, BitsAllocated {allocated} contradict the pixels")
    unused = allocated - bits - below
    if not unused and not below:
        return raw
    return (raw << unused) >> (unused + below)


def _padding(data: Any, raw: np.ndarray, stored: np.ndarray) -> np.ndarray | None:
    """Find padding; the header's value may be signed although the pixels are not, and vice versa."""
    limits = [whole(data, name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    if limits[0] is None or raw.dtype.kind == "f":
        return None
    span = 1 << (8 * raw.dtype.itemsize)
    low = np.array([one % span for one in limits if one is not None], dtype=np.uint64).astype(f"u{raw.dtype.itemsize}")
    ends = low.view(raw.dtype) if raw.dtype.isnative else low.astype(raw.dtype)
    first_, last = ends.min(), ends.max()
    where = (raw >= first_) & (raw <= last)
    if stored is not raw:
        where |= (stored >= first_) & (stored <= last)
    return where if where.any() else None


def to_hu(decoded: Decoded, frame: int, rescale: Rescale, *, whole_numbers: bool) -> np.ndarray:
    """One frame in HU: int16 if all slopes and intercepts are whole numbers, else float32; padding is ``AIR``."""
    stored = decoded.stored[frame]
    hu = _looked_up(decoded.data, stored) if rescale.lut else _scaled(stored, rescale, whole_numbers=whole_numbers)
    if decoded.padding is not None and decoded.padding[frame].any():
        hu[_confirmed_padding(decoded.padding[frame], hu)] = AIR
    return hu


def _scaled(stored: np.ndarray, rescale: Rescale, *, whole_numbers: bool) -> np.ndarray:
    if whole_numbers and stored.dtype.itemsize <= 2 and stored.dtype.kind in "iu":
        hu = stored.astype(np.int32) * np.int32(rescale.slope) + np.int32(rescale.intercept)
    elif whole_numbers:
        hu = stored.astype(np.float64) * rescale.slope + rescale.intercept
    else:
        return stored.astype(np.float32) * np.float32(rescale.slope) + np.float32(rescale.intercept)
    return np.clip(hu, -32768, 32767, out=hu).astype(np.int16)


def _looked_up(data: Any, stored: np.ndarray) -> np.ndarray:
    """Apply the modality LUT; 16-bit entries are read as signed, because air is below 0 and no HU is above 32767."""
    try:
        with quiet():
            values = np.asarray(apply_modality_lut(stored, data))
    except Exception:  # noqa: BLE001 - pydicom raises many kinds of errors for a table that contradicts its descriptor
        raise DamagedError("the modality LUT cannot be applied") from None
    return (values.astype(np.uint16).view(np.int16) if values.dtype.itemsize == 2 else values).astype(np.float32)


def lut_is_hu(data: Any) -> bool:
    """Whether the modality LUT gives HU according to its type."""
    table = first(data, "ModalityLUTSequence")
    return table is not None and text(table, "ModalityLUTType").upper() in ("HU", "US", "")


def _confirmed_padding(padding: np.ndarray, hu: np.ndarray) -> np.ndarray:
    padding_hu = float(np.median(hu[padding]))
    if not _TISSUE_HU[0] < padding_hu < _TISSUE_HU[1]:
        return padding
    labels = np.empty(padding.shape, np.int32)
    ndimage.label(padding, output=labels)
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return np.isin(labels, border[border > 0])


def is_inverted(data: Any) -> bool:
    """Whether the header requests an inverted display (low values bright); HU are not affected."""
    return text(data, "PhotometricInterpretation") == "MONOCHROME1"


def digest(path: Path, frame: int | None) -> bytes:
    """Stored pixels of one slice as bytes, to distinguish exact copies from other images at the same position.

    Raises:
        DamagedError, UniferumError: see :func:`decode`.
    """
    decoded = decode(path)
    return decoded.stored[frame or 0].tobytes()


def frames_of(slices: Sequence[Any]) -> dict[Path, list[int]]:
    """Map each file to the positions of its slices in the sequence, so that each file is decoded once."""
    positions: dict[Path, list[int]] = {}
    for position, one in enumerate(slices):
        positions.setdefault(one.path, []).append(position)
    return positions
