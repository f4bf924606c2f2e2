"""Check the affine of a scan or mask for plausible values, and convert its unit to mm."""

from pathlib import Path

import numpy as np

from uniferum.errors import UniferumError
from uniferum.preprocessing.volume import closest_axes, spacing_of

# A larger lean of the slices is not a gantry tilt (scanners reach 30 degrees) but a damaged header.
_MAX_TILT_DEG = 35.0
_MAX_SKEW_DEG = 1.0
# Limits of the voxel size in mm: below it was rounded to zero, above it has a wrong unit.
_LIMITS_MM = (1e-3, 1e2)
LARGEST = 1e9
"""Larger numbers in an affine are damage whatever the unit, and would overflow in computations."""
# Plausible voxel sizes in mm of a scan of a person.
_PLAUSIBLE_MM = (0.05, 25.0)


def check_affine(affine: np.ndarray, path: Path) -> tuple[str, ...]:
    """Check the affine; return ``("gantry_tilt",)`` if the slices lean (a rotated volume has no such flag).

    Raises:
        UniferumError: the affine is not finite, is singular, or skews the axes of a slice.
    """
    check_finite(affine, path)
    columns = affine[:3, :3]
    lengths = np.asarray(spacing_of(affine))
    low, high = _LIMITS_MM
    if lengths.min() < low or lengths.max() > high:
        cure = "repair the header, or give an affine"
        raise UniferumError(f"{path}: affine", lengths.tolist(), must="have finite voxel sizes above 0 mm", cure=cure)
    x, y, z = (columns / lengths).T[closest_axes(affine)]
    in_plane, tilt = (np.rad2deg(np.arcsin(min(1.0, float(lean)))) for lean in (abs(x @ y), np.hypot(x @ z, y @ z)))
    if in_plane > _MAX_SKEW_DEG or tilt > _MAX_TILT_DEG:
        raise UniferumError(f"{path}: affine", f"{max(in_plane, tilt):.0f} degrees", must="have axes at right angles")
    return ("gantry_tilt",) if tilt > 0.5 else ()


def check_finite(affine: np.ndarray, path: Path) -> None:
    """Refuse a matrix that is not an affine before computing with it.

    Raises:
        UniferumError: it is not 4 x 4, or a number is not finite or too large for any scan.
    """
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or np.abs(affine).max() > LARGEST:
        raise UniferumError(f"{path}: affine", must=f"be 4 x 4 numbers of at most {LARGEST:g}")


def in_millimetres(
    affine: np.ndarray, unit: tuple[str, float], format_name: str
) -> tuple[np.ndarray, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Convert the affine of a header with another unit than mm; return it with flags and notes.

    It is only converted if the voxel size is then plausible: many headers name a wrong unit for numbers in mm.

    Args:
        affine: 4 x 4, in the header's unit.
        unit: the name of the unit, and its factor to mm.
        format_name: the format of the header, for the note.
    """
    name, factor = unit
    lengths = np.asarray(spacing_of(affine)) * factor
    low, high = _PLAUSIBLE_MM
    if low <= lengths.min() and lengths.max() <= high:
        converted = np.diag([factor, factor, factor, 1.0]) @ affine
        return converted, (("spacing_units",), (f"The {format_name} header is in {name}; converted to mm.",))
    size = f"{lengths.max():.3g} mm"
    note = f"The {format_name} header names {name}, but a voxel would then be {size}; its numbers were used as mm."
    return affine, (("spacing_units",), (note,))
