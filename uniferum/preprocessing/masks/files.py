"""Read mask layers on their own grids: one file, or a folder with one file per class.

A mask gets the same checks as its scan: its reader's flags are kept, slope and intercept are applied, and its header is
compared with the scan's.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from jaxtyping import Float, UInt8
from pydicom.errors import InvalidDicomError

from uniferum.errors import UniferumError
from uniferum.preprocessing.affines import check_affine
from uniferum.preprocessing.formats.containment import check_contained
from uniferum.preprocessing.formats.content import has_dicom_preamble
from uniferum.preprocessing.formats.read import read_stored
from uniferum.preprocessing.formats.source import MaskSource, ScanSource
from uniferum.preprocessing.formats.stored import Stored
from uniferum.preprocessing.masks.classes import Merged, class_files, merge_classes
from uniferum.preprocessing.masks.geometry import OrientedMask, check_overlap, orient_mask
from uniferum.preprocessing.masks.values import MAX_ID, TOTALSEGMENTATOR, layer_values
from uniferum.preprocessing.volume import Volume, reorient_array

# DICOM objects that describe masks not as plain voxels: SOP class UIDs of PS3.4, annex B.
_DICOM_MASKS = {
    "1.2.840.10008.5.1.4.1.1.66.4": "a DICOM segmentation (SEG)",
    "1.2.840.10008.5.1.4.1.1.66.7": "a DICOM label map segmentation (SEG)",
    "1.2.840.10008.5.1.4.1.1.66.5": "a DICOM surface segmentation",
    "1.2.840.10008.5.1.4.1.1.481.3": "an RTSTRUCT (contours)",
}
# Minimum correlation of a mask's numbers with its scan's at which it is the scan, or a copy of it.
_COPY_CORRELATION = 0.98


@dataclass(frozen=True)
class RawMask:
    """A mask on its own grid: ids (or 0 and 1) with RAS+ axes.

    Attributes:
        source: the cohort's description of the mask.
        ids: voxels of the mask.
        affine: voxel index to RAS mm.
        flags: quality flags, each with the layer's name after a colon.
        notes: the flags in sentences.
        voxels: number of voxels that are set; -1 before they are counted.
    """

    source: MaskSource
    ids: UInt8[np.ndarray, "x y z"]
    affine: Float[np.ndarray, "4 4"]
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    voxels: int = -1


def read_mask(
    mask: MaskSource, *, source: ScanSource, like: Volume | None = None
) -> tuple[UInt8[np.ndarray, "x y z"], Float[np.ndarray, "4 4"]]:
    """Read the voxels and the affine of :func:`read_layer`."""
    raw = read_layer(mask, source=source, like=like)
    return raw.ids, raw.affine


def read_layer(mask: MaskSource, *, source: ScanSource, like: Volume | None = None) -> RawMask:
    """Read a mask layer on its own grid, RAS+ axes: ids of ``totalsegmentator``, else 0 and 1.

    Args:
        mask: the layer, which has a path.
        source: its scan.
        like: the scan, RAS+ axes, for comparison with the mask's header; ``None`` for no comparison.

    Raises:
        UniferumError: as :func:`read_volume`; its numbers are neither ids nor 0 and one other number, and not selected
            by ``value`` or ``threshold``; or its header contradicts the scan's.
    """
    assert mask.path is not None, "a layer of spheres has no file"
    path = check_contained(mask.path, source.root)
    if path.resolve() == source.path.resolve():
        raise UniferumError(str(path), must="be another file than its scan", cure=f"mask {mask.layer} names the scan")
    try:
        return _read(mask, path, source, like)
    except OSError as error:
        raise UniferumError(str(path), must="be readable", cure=error.strerror or str(error)) from None


def _read(mask: MaskSource, path: Path, source: ScanSource, like: Volume | None) -> RawMask:
    if path.is_dir() and mask.class_names is not None:
        return _read_folder(mask, path, source, like)
    oriented, flags, notes = _read_file(path, mask, source, like)
    if like is not None:
        check_overlap(oriented, like, path)
    return _raw(mask, oriented, flags, notes)


def _read_file(
    path: Path, mask: MaskSource, source: ScanSource, like: Volume | None
) -> tuple[OrientedMask, tuple[str, ...], tuple[str, ...]]:
    """Read one file; return the mask in RAS+ axes, the reader's flags, and notes."""
    _refuse_dicom_objects(path)
    stored = read_stored(path, believe_header=source.affine is None or not path.name.lower().endswith(".npz"))
    tilt = check_affine(stored.affine, path)
    ids, notes = layer_values(stored, mask, path)
    blank = "no_orientation" in stored.flags or _no_affine(stored, path, source)
    oriented = orient_mask(ids, stored.affine, blank=blank, given=source.affine, like=like, path=path)
    if like is not None and (mask.threshold is not None or mask.value is not None):
        _refuse_copy(stored, like, path)
    reader_notes = tuple(f"mask {mask.layer}: {note}" for note in stored.notes)
    known = () if like is None else like.flags
    flags = [flag for flag in (*stored.flags, *tilt) if flag not in known]
    if mask.layer == TOTALSEGMENTATOR and ids.max() == 1:
        flags.append("mask_one_class")
        notes = (*notes, f"mask {mask.layer}: its only id is 1, the spleen; a binary mask needs another layer name")
    return oriented, tuple(flags), (*reader_notes, *notes)


def _no_affine(stored: Stored, path: Path, source: ScanSource) -> bool:
    """Whether this is an npz file without an affine, for a scan whose affine the cohort sets."""
    npz = path.name.lower().endswith(".npz") and source.affine is not None
    return npz and np.array_equal(stored.affine, np.eye(4))


def _raw(mask: MaskSource, oriented: OrientedMask, flags: tuple[str, ...], notes: tuple[str, ...]) -> RawMask:
    if oriented.shift_mm:
        flags = (*flags, "mask_shifted")
        shift = f"its grid is shifted by up to {oriented.shift_mm:.2f} mm from its scan's, less than a voxel"
        notes = (*notes, f"mask {mask.layer}: {shift}")
    layer_flags = tuple(f"{flag}:{mask.layer}" for flag in dict.fromkeys(flags))
    return RawMask(mask, oriented.ids, oriented.affine, layer_flags, tuple(dict.fromkeys(notes)))


def _read_folder(mask: MaskSource, folder: Path, source: ScanSource, like: Volume | None) -> RawMask:
    files = class_files(folder, mask.class_names or ())
    flags: list[str] = []
    notes: list[str] = []

    def read(path: Path) -> OrientedMask:
        one = MaskSource(f"{mask.layer} {path.name.partition('.')[0]}", path)
        oriented, file_flags, file_notes = _read_file(check_contained(path, source.root), one, source, like)
        flags.extend(file_flags)
        notes.extend(file_notes)
        return oriented

    merged = merge_classes(files, read, like)
    if like is not None:
        check_overlap(merged.mask, like, folder)
    counted = _counted(merged, files.unknown)
    notes += [f"mask {mask.layer}: {len(files.known)} of {MAX_ID} classes have a file"]
    notes += [f"mask {mask.layer}: {note}" for note in counted.values()]
    return _raw(mask, merged.mask, (*flags, *counted), tuple(notes))


def _counted(merged: Merged, unknown: int) -> dict[str, str]:
    """Flags and notes on a folder of class files."""
    lost = f"; {merged.lost} of them have no voxel left" if merged.lost else ""
    counts = {
        "mask_classes_overlap": (merged.overlapping, "voxels are in more than one class, and have the highest id"),
        "mask_regridded": (merged.regridded, f"class files have another grid, resampled by nearest neighbour{lost}"),
        "mask_unknown_classes": (unknown, "files are not named after a class of TotalSegmentator v2, and were ignored"),
    }
    return {flag: f"{count} {text}" for flag, (count, text) in counts.items() if count}


def _refuse_dicom_objects(path: Path) -> None:
    """Refuse an RTSTRUCT or a SEG by its name, as a file or as the only file of a folder."""
    inside = [entry for entry in path.iterdir() if entry.is_file()][:2] if path.is_dir() else [path]
    if len(inside) != 1 or not has_dicom_preamble(inside[0]):
        return
    try:
        header = pydicom.dcmread(inside[0], specific_tags=["SOPClassUID"], stop_before_pixels=True)
    except (InvalidDicomError, OSError, ValueError, EOFError):
        return  # the reader of its format reports the error
    kind = _DICOM_MASKS.get(str(header.get("SOPClassUID", "")))
    if kind is not None:
        cure = "convert it to a NIfTI mask on the scan's grid (3D Slicer or plastimatch do)"
        raise UniferumError(str(path), must=f"be a mask of voxels; it is {kind}", cure=cure)


def _refuse_copy(stored: Stored, like: Volume, path: Path) -> None:
    """Refuse the scan itself, shifted or scaled, as its mask (by ``value`` or ``threshold``)."""
    turned, _ = reorient_array(stored.values, stored.affine)
    if turned.shape != like.shape:
        return
    step = max(1, round((turned.size / 100_000) ** (1 / 3)))
    mask_values, scan = (a[::step, ::step, ::step].astype(np.float64).ravel() for a in (turned, like.hu))
    if min(np.ptp(mask_values), np.ptp(scan)) > 0 and np.corrcoef(mask_values, scan)[0, 1] > _COPY_CORRELATION:
        raise UniferumError(str(path), must="hold a mask", cure="its numbers are those of the scan, shifted or scaled")
