"""Mask layers as they lie on disk: one file, or a folder with one file a class, on their own grids."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from uniferum.errors import UniferumError
from uniferum.preprocessing.affines import check_affine
from uniferum.preprocessing.fence import allowed
from uniferum.preprocessing.nifti import read_nifti
from uniferum.preprocessing.read import read_stored
from uniferum.preprocessing.source import Affine, MaskSource, ScanSource
from uniferum.preprocessing.volume import Volume, reorient_array, spacing_of


def read_mask(
    mask: MaskSource, *, source: ScanSource, like: Volume | None = None
) -> tuple[UInt8[np.ndarray, "x y z"], Float[np.ndarray, "4 4"]]:
    """Read a mask layer on its own grid, RAS+ axes: ids of ``totalsegmentator``, else 0 and 1.

    Args:
        mask: the layer; it has a path.
        source: its scan.
        like: the scan, RAS+ axes. Where the scan's own header is not believed, a mask of its shape stands on its grid.

    Raises:
        UniferumError: as :func:`read_volume`, an id does not fit TotalSegmentator's 0 to 117, or a mask of another
            shape than its scan does not say where it lies.
    """
    assert mask.path is not None, "a layer of spheres has no file"
    path = allowed(mask.path, source.root)
    if path.is_dir() and mask.class_names is not None:
        as_stored, affine, flags = _read_classes(path, mask.class_names, source)
    else:
        stored = read_stored(path)
        as_stored, affine, flags = _mask_values(stored.values, mask, path), stored.affine, stored.flags
    check_affine(affine, path)
    blank = "no_orientation" in flags
    if like is not None and source.affine is not None:
        return _beside(as_stored, None if blank else affine, source.affine, like, path)
    ids, affine = reorient_array(as_stored, affine)
    if like is not None and blank and ids.shape != like.shape:
        raise _nowhere(path, like)
    return ids, affine


def _beside(
    as_stored: np.ndarray, affine: np.ndarray | None, given: Affine, like: Volume, path: Path
) -> tuple[np.ndarray, np.ndarray]:
    """A mask of a scan whose place comes from the cohort, since the origins of the two need not agree.

    Its axes are taken from its own header (``affine``; ``None`` where that is blank) if that agrees with the scan in
    shape and spacing, else from the scan's given affine if that fits; a mask that fits neither way keeps its own place.
    """
    if affine is not None:
        ids, own = reorient_array(as_stored, affine)
        if ids.shape == like.shape and np.allclose(spacing_of(own), like.spacing_mm, rtol=0.02):
            return ids, like.affine
    turned, turned_affine = reorient_array(as_stored, np.asarray(given, dtype=np.float64))
    if turned.shape == like.shape:
        return turned, turned_affine
    if affine is None:
        raise _nowhere(path, like)
    return reorient_array(as_stored, affine)


def _nowhere(path: Path, like: Volume) -> UniferumError:
    cure = f"its header is blank and its shape is not its scan's, {like.shape}"
    return UniferumError(str(path), must="say where it lies", cure=cure)


def _mask_values(values: np.ndarray, mask: MaskSource, path: Path) -> np.ndarray:
    if mask.threshold is not None:
        return (values > mask.threshold).view(np.uint8)
    if mask.value is not None:
        return (values == mask.value).view(np.uint8)
    if mask.layer != "totalsegmentator":
        return (values > 0).view(np.uint8)
    if values.dtype != np.uint8 and (values.min() < 0 or values.max() > 255 or (values != np.rint(values)).any()):
        raise UniferumError(str(path), must="hold whole ids", cure="an interpolated mask needs a threshold")
    ids = values.astype(np.uint8, copy=False)
    if ids.max() > 117:
        raise UniferumError(str(path), int(ids.max()), must="hold ids 0 to 117 of TotalSegmentator v2")
    return ids


def _read_classes(
    folder: Path, class_names: tuple[str, ...], source: ScanSource
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    merged: np.ndarray | None = None
    affine, flags = np.eye(4), ()
    for number, name in enumerate(class_names):
        path = folder / f"{name}.nii.gz"
        if number == 0 or not name or not path.is_file():
            continue
        stored = read_nifti(allowed(path, source.root))
        if merged is None:
            merged = np.zeros(stored.values.shape, dtype=np.uint8, order="F")
            affine, flags = stored.affine, stored.flags
        if stored.values.shape != merged.shape:
            raise UniferumError(str(path), stored.values.shape, must=f"have the shape {merged.shape} of its folder")
        merged[stored.values > 0] = number
    if merged is None:
        raise UniferumError(str(folder), must="hold one file a class, such as liver.nii.gz")
    return merged, affine, flags
