"""Any scan or mask on disk to a volume in RAS+ and HU, whatever its format.

Invariant: a file that cannot be read whole and understood is an error with the file's name and a reason, never a
volume with guessed geometry.
"""

import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy.lib import format as npy

from uniferum.errors import UniferumError
from uniferum.preprocessing.dicom import read_dicom
from uniferum.preprocessing.intensities import check_plausible, to_hu
from uniferum.preprocessing.metaimage import read_metaimage
from uniferum.preprocessing.nifti import MAX_BYTES, Stored, check_size, read_nifti
from uniferum.preprocessing.source import Affine, Intensity, MaskSource, ScanSource
from uniferum.preprocessing.volume import Volume, closest_axes, reorient_array, reorient_to_ras, spacing_of

FORMATS = ".nii, .nii.gz, .mhd, .mha, .npz, or a folder with one DICOM series"
# Slices leaning by more than this are no gantry tilt (scanners reach 30 degrees) but a damaged header.
_MAX_TILT_DEG = 35.0
_MAX_SKEW_DEG = 1.0


def read_volume(source: ScanSource) -> Volume:
    """Read a scan: RAS+ axes, int16 HU, not yet clipped.

    Raises:
        UniferumError: the file cannot be read, or what it says cannot be true; see the readers of each format.
    """
    stored = _read(_allowed(source.path, source.root), believe_header=source.affine is None)
    affine = stored.affine if source.affine is None else np.asarray(source.affine, dtype=np.float64)
    tilt = _check_affine(affine, source.path)
    subject = str(source.path)
    hu, flags = to_hu(stored.values, source.intensity or stored.intensity, subject=subject)
    if source.known_hu_clip is None:
        flags += check_plausible(hu, subject=subject)
    seen = tuple(dict.fromkeys((*stored.flags, *flags, *tilt)))
    return reorient_to_ras(Volume(hu, affine, seen))


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
    path = _allowed(mask.path, source.root)
    if path.is_dir() and mask.class_names is not None:
        as_stored, affine, flags = _read_classes(path, mask.class_names, source)
    else:
        stored = _read(path)
        as_stored, affine, flags = _mask_values(stored.values, mask, path), stored.affine, stored.flags
    _check_affine(affine, path)
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
        stored = read_nifti(_allowed(path, source.root))
        if merged is None:
            merged = np.zeros(stored.values.shape, dtype=np.uint8, order="F")
            affine, flags = stored.affine, stored.flags
        if stored.values.shape != merged.shape:
            raise UniferumError(str(path), stored.values.shape, must=f"have the shape {merged.shape} of its folder")
        merged[stored.values > 0] = number
    if merged is None:
        raise UniferumError(str(folder), must="hold one file a class, such as liver.nii.gz")
    return merged, affine, flags


def _read(path: Path, *, believe_header: bool = True) -> Stored:
    if not path.exists():
        raise UniferumError(str(path), must="exist")
    name = path.name.lower()
    if path.is_dir():
        return read_dicom(path)
    if name.endswith((".nii", ".nii.gz")):
        return read_nifti(path, believe_header=believe_header)
    if name.endswith((".mhd", ".mha")):
        return read_metaimage(path)
    if name.endswith(".npz"):
        return _read_npz(path, believe_header=believe_header)
    raise UniferumError(str(path), must=f"be {FORMATS}")


def _read_npz(path: Path, *, believe_header: bool) -> Stored:
    """RAD-ChestCT's key ``ct``; with it a file of one's own may hold ``affine`` (4 x 4, voxel to RAS mm)."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_npy(archive, "ct.npy", path)
        with np.load(path, allow_pickle=False) as arrays:
            values = arrays["ct"]
            affine = arrays["affine"].astype(np.float64) if "affine" in arrays else None
    except UniferumError:
        raise
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        reason = "it is truncated, damaged, or holds pickled objects"
        raise UniferumError(str(path), must="be a plain npz file", cure=f"{reason} ({type(error).__name__})") from None
    if affine is None and believe_header:
        raise UniferumError(str(path), must="hold 'affine' beside 'ct'", cure="or the cohort must give the affine")
    return Stored(values, np.eye(4) if affine is None else affine, Intensity(1.0, 0.0))


def _check_npy(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    if name not in archive.namelist():
        raise UniferumError(str(path), ", ".join(archive.namelist()), must="hold the array 'ct'")
    with archive.open(name) as stream:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
    if len(shape) != 3 or dtype.kind not in "iuf":
        raise UniferumError(f"{path}: ct", f"{shape} of {dtype}", must="be three-dimensional numbers, no objects")
    check_size(path, shape, dtype.itemsize, compressed=True)
    if archive.getinfo(name).file_size > MAX_BYTES:
        raise UniferumError(f"{path}: ct", must=f"declare at most {MAX_BYTES >> 30} GiB")


def _check_affine(affine: np.ndarray, path: Path) -> tuple[str, ...]:
    """``("gantry_tilt",)`` where the slices lean.

    Raises:
        UniferumError: the affine is not finite, is singular, or skews the axes of a slice.
    """
    columns = affine[:3, :3]
    lengths = np.sqrt((columns**2).sum(axis=0))
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or lengths.min() < 1e-3 or lengths.max() > 1e2:
        raise UniferumError(f"{path}: affine", lengths.tolist(), must="have finite voxel sizes above 0 mm")
    x, y, z = (columns / lengths).T[closest_axes(affine)]
    in_plane, tilt = (np.rad2deg(np.arcsin(min(1.0, float(lean)))) for lean in (abs(x @ y), np.hypot(x @ z, y @ z)))
    if in_plane > _MAX_SKEW_DEG or tilt > _MAX_TILT_DEG:
        raise UniferumError(f"{path}: affine", f"{max(in_plane, tilt):.0f} degrees", must="have axes at right angles")
    return ("gantry_tilt",) if tilt > 0.5 else ()


def _allowed(path: Path, root: Path | None) -> Path:
    """The path, unless it leads out of the dataset's folder.

    Raises:
        UniferumError: it does, by ``..`` or by a link.
    """
    beside = path.iterdir() if path.is_dir() else path.parent.glob(f"{path.stem}.*")
    for file in (path, *(entry for entry in beside if entry.is_symlink())):
        if root is not None and not file.resolve().is_relative_to(root.resolve()):
            cure = "links and '..' that lead out of the dataset's folder are not followed"
            raise UniferumError(str(file), must="lie inside its dataset's folder", cure=cure)
    return path
