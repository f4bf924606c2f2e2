"""Which affines can be true of a scan or a mask."""

from pathlib import Path

import numpy as np

from uniferum.errors import UniferumError
from uniferum.preprocessing.volume import closest_axes

# Slices leaning by more than this are no gantry tilt (scanners reach 30 degrees) but a damaged header.
_MAX_TILT_DEG = 35.0
_MAX_SKEW_DEG = 1.0


def check_affine(affine: np.ndarray, path: Path) -> tuple[str, ...]:
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
