"""Read any scan on disk to a volume in RAS+ and HU.

Invariant: a file that cannot be read completely and understood raises an error with its name and a reason; geometry is
never guessed.
"""

import numpy as np

from uniferum.preprocessing.affines import check_affine
from uniferum.preprocessing.flags import NO_ORIENTATION
from uniferum.preprocessing.formats.containment import check_contained
from uniferum.preprocessing.formats.intensities import to_hu
from uniferum.preprocessing.formats.read import read_stored
from uniferum.preprocessing.formats.source import ScanSource
from uniferum.preprocessing.hu_check import check_hu
from uniferum.preprocessing.volume import Volume, reorient_to_ras


def read_volume(source: ScanSource) -> Volume:
    """Read a scan: RAS+ axes, int16 HU, not yet clipped.

    Raises:
        UniferumError: the file cannot be read, or its header is impossible; see the readers of each format.
    """
    stored = read_stored(check_contained(source.path, source.root), believe_header=source.affine is None)
    affine = stored.affine if source.affine is None else np.asarray(source.affine, dtype=np.float64)
    tilt_flags = check_affine(affine, source.path)
    lost_notes = _lost_geometry_notes(stored.affine) if source.affine is None else ()
    subject = str(source.path)
    hu, flags, notes = to_hu(stored.values, source.intensity or stored.intensity, subject=subject)
    wrong, reasons = check_hu(hu, known_clip=source.known_hu_clip)
    all_flags = tuple(dict.fromkeys((*stored.flags, *flags, *wrong, *tilt_flags, *(lost_notes and (NO_ORIENTATION,)))))
    return reorient_to_ras(Volume(hu, affine, all_flags, (*stored.notes, *notes, *reasons, *lost_notes)))


def _lost_geometry_notes(affine: np.ndarray) -> tuple[str, ...]:
    """Note on a file whose affine is the identity, which array libraries write when the geometry was lost."""
    if not np.array_equal(np.abs(affine), np.eye(4)):
        return ()
    return ("The file's affine is the identity (voxels of 1 mm, origin 0): its geometry was probably lost.",)
