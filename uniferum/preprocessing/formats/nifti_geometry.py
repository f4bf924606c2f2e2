"""Affine of a NIfTI header: its sform, else its qform, else the spacing alone, as in nibabel.

Invariant: the affine equals nibabel's, in mm. If the header contradicts itself, a flag and a note give both statements,
because other readers (SimpleITK) may use the other one.
"""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError

from uniferum.errors import UniferumError
from uniferum.preprocessing.affines import LARGEST, check_finite, in_millimetres
from uniferum.preprocessing.volume import spacing_of

Noticed = tuple[tuple[str, ...], tuple[str, ...]]
"""Flags, and notes on them."""

# Highest code of the standard (NIFTI_XFORM_UNKNOWN to NIFTI_XFORM_TEMPLATE_OTHER); nibabel accepts no other.
_LAST_CODE = 5
# Larger relative differences of voxel sizes are not due to rounding.
_SPACING_TOLERANCE = 0.05
# Rotations that differ by more are two statements about the anatomy, not a rounding error.
_TURN_DEG = 5.0
# xyzt_units of metres and micrometres, with their factor to mm (2 is mm, 0 unknown); nibabel ignores them.
_UNITS = {1: ("metres", 1e3), 3: ("micrometres", 1e-3)}


def geometry_of(header: Any, path: Path) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Affine (4 x 4, voxel index to RAS mm), flags and notes of a NIfTI header.

    Raises:
        UniferumError: the spacing is not positive, a code is not in the standard, or the affine in use is not valid.
    """
    zooms = np.asarray(header["pixdim"][1:4], dtype=np.float64)
    if not np.isfinite(zooms).all() or zooms.min() <= 0 or zooms.max() > LARGEST:
        cure = "set an affine, or repair it"
        raise UniferumError(f"{path}: pixdim", zooms.tolist(), must="be positive voxel sizes", cure=cure)
    sform_code, qform_code = (_code(header, name, path) for name in ("sform_code", "qform_code"))
    if sform_code:
        affine = np.asarray(header.get_sform(), dtype=np.float64)
        qform = _qform(header) if qform_code else None
        _check_sform(affine, qform, path)
        problem = _contradiction(affine, qform, header) if qform_code else ((), ())
    elif qform_code:
        from_qform = _qform(header)
        if from_qform is None:
            raise UniferumError(f"{path}: qform", must="be a rotation: three numbers with squares of at most 1")
        affine, problem = from_qform, ((), ())
    else:
        # Method 1 of the standard: spacing without orientation; nibabel's base affine points left, anterior, superior.
        affine = np.asarray(header.get_base_affine(), dtype=np.float64)
        note = "The NIfTI header has no orientation; its axes were read as left, anterior, superior (LAS)."
        problem = (("no_orientation",), (note,))
    check_finite(affine, path)
    parts = [problem, _spacing(affine, zooms)]
    unit = _UNITS.get(int(header["xyzt_units"]) & 7)
    if unit is not None:
        affine, units = in_millimetres(affine, unit, "NIfTI")
        parts.append(units)
    return affine, tuple(f for flags, _ in parts for f in flags), tuple(n for _, notes in parts for n in notes)


def _code(header: Any, name: str, path: Path) -> int:
    code = int(header[name])
    if code > _LAST_CODE:
        raise UniferumError(f"{path}: {name}", code, must=f"be 0 to {_LAST_CODE}", cure="repair the header")
    return max(0, code)


def _qform(header: Any) -> np.ndarray | None:
    """Affine of the qform, or ``None`` if its numbers are not a rotation and an offset."""
    numbers = [float(header[name]) for name in ("quatern_b", "quatern_c", "quatern_d")]
    offsets = [float(header[name]) for name in ("qoffset_x", "qoffset_y", "qoffset_z")]
    qfac = float(header["pixdim"][0])
    if (
        not np.isfinite(numbers + offsets).all()
        or np.abs(numbers + offsets).max() > LARGEST
        or (qfac < 0 and qfac != -1)
    ):
        return None
    sound = header.copy()
    # The standard: 0 or NaN means 1 (older ITK wrote 0).
    sound["pixdim"][0] = -1 if qfac == -1 else 1
    try:
        return np.asarray(sound.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError):
        return None


def _check_sform(affine: np.ndarray, qform: np.ndarray | None, path: Path) -> None:
    if not np.isfinite(affine).all() or np.abs(affine).max() > LARGEST or min(spacing_of(affine)) == 0:
        cure = "its qform is valid: copy it to the sform if you trust it" if qform is not None else "set an affine"
        raise UniferumError(f"{path}: sform", must="be an affine with three axes", cure=cure)


def _contradiction(sform: np.ndarray, qform: np.ndarray | None, header: Any) -> Noticed:
    """Flag and note if sform and qform, both in use, give different positions."""
    if qform is None:
        return ("qform_sform_differ",), ("The NIfTI header's qform is not a rotation; its sform was used.",)
    turn, lean, mirrored = _turn(sform, qform)
    if mirrored or turn > _TURN_DEG + lean:
        axes = ["".join(str(code) for code in nibabel.aff2axcodes(form)) for form in (qform, sform)]
        how = "and are mirror images" if mirrored else f"and differ by {turn:.0f} degrees"
        note = (
            f"The NIfTI header's axes are {axes[0]} by its qform and {axes[1]} by its sform, {how}; "
            "the sform was used, other readers may use the qform."
        )
        return ("orientation_doubtful",), (note,)
    shape = np.asarray(header["dim"][1:4], dtype=np.float64) - 1
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * [*shape, 1]
    apart = float(np.sqrt((((sform - qform) @ corners.T)[:3] ** 2).sum(axis=0)).max())
    # Tolerance of half the smallest voxel: float32 quaternions shift a corner by less than a tenth of a millimetre.
    if apart <= min(spacing_of(sform)) / 2:
        return (), ()
    note = f"The NIfTI header's qform and sform differ by up to {apart:.1f} mm; the sform was used."
    return ("qform_sform_differ",), (note,)


def _turn(sform: np.ndarray, qform: np.ndarray) -> tuple[float, float, bool]:
    """Angle between the rotations of two affines, lean of the first (gantry tilt), both in degrees, and mirroring.

    A qform cannot represent a lean, so it may correctly differ from the sform of a tilted scan by that angle.
    """
    rotations, leans = [], []
    for form in (sform, qform):
        unit = form[:3, :3] / np.asarray(spacing_of(form))
        left, _, right = np.linalg.svd(unit)
        rotations.append(left @ right)
        leans.append(np.rad2deg(np.arcsin(np.clip(np.abs(unit.T @ unit - np.eye(3)).max(), 0, 1))))
    relative = rotations[0].T @ rotations[1]
    mirrored = bool(np.linalg.det(relative) < 0)
    return float(np.rad2deg(np.arccos(np.clip((np.trace(relative) - 1) / 2, -1, 1)))), float(leans[0]), mirrored


def _spacing(affine: np.ndarray, zooms: np.ndarray) -> Noticed:
    lengths = np.asarray(spacing_of(affine))
    if not (np.abs(lengths - zooms) > _SPACING_TOLERANCE * zooms).any():
        return (), ()
    sizes = [" x ".join(f"{mm:.3g}" for mm in numbers) for numbers in (zooms, lengths)]
    note = f"The NIfTI header's pixdim says {sizes[0]} mm, its affine {sizes[1]} mm; the affine was used."
    return ("spacing_contradiction",), (note,)
