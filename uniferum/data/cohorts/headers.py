"""Faults of a NIfTI file that are visible in its header, without reading voxels."""

from pathlib import Path

import nibabel
import numpy as np

CORRUPT_AFFINE = "corrupt affine"
TWO_CHANNELS = "more than one channel"
UNREADABLE = "header cannot be read"

SMALLEST_VOLUME_MM3 = 1e-6
"""Voxel size in mm below which an axis has no length."""


def nifti_fault(path: Path) -> str | None:
    """Fault of a NIfTI volume according to its header; ``None`` if the header is valid.

    A fourth axis of length 1 is valid. The paper excluded 145 INSPECT scans with a corrupted affine matrix or dual
    channels (3.4.3).
    """
    try:
        image = nibabel.load(path)
        affine, shape, kind = image.affine, image.shape, image.get_data_dtype()  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001 - a damaged header raises many kinds of errors (HeaderDataError, zlib.error)
        return UNREADABLE
    if kind.fields is not None or len(shape) < 3 or any(length != 1 for length in shape[3:]):
        return TWO_CHANNELS
    if min(shape) < 1:
        return UNREADABLE
    if affine is None or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < SMALLEST_VOLUME_MM3:
        return CORRUPT_AFFINE
    return None
