"""Any scan on disk to a volume in RAS+ and HU, whatever its format.

Invariant: a file that cannot be read whole and understood is an error with the file's name and a reason, never a
volume with guessed geometry.
"""

import numpy as np

from uniferum.preprocessing.affines import check_affine
from uniferum.preprocessing.flags import NO_ORIENTATION
from uniferum.preprocessing.formats.fence import allowed as _allowed
from uniferum.preprocessing.formats.intensities import to_hu
from uniferum.preprocessing.formats.read import read_stored
from uniferum.preprocessing.formats.source import ScanSource
from uniferum.preprocessing.hu_check import check_hu
from uniferum.preprocessing.volume import Volume, reorient_to_ras


def read_volume(source: ScanSource) -> Volume:
    """Read a scan: RAS+ axes, int16 HU, not yet clipped.

    Raises:
        UniferumError: the file cannot be read, or what it says cannot be true; see the readers of each format.
    """
    stored = read_stored(_allowed(source.path, source.root), believe_header=source.affine is None)
    affine = stored.affine if source.affine is None else np.asarray(source.affine, dtype=np.float64)
    seen = check_affine(affine, source.path)
    lost = _lost(stored.affine) if source.affine is None else ()
    subject = str(source.path)
    hu, flags, notes = to_hu(stored.values, source.intensity or stored.intensity, subject=subject)
    wrong, reasons = check_hu(hu, known_clip=source.known_hu_clip)
    every = tuple(dict.fromkeys((*stored.flags, *flags, *wrong, *seen, *(lost and (NO_ORIENTATION,)))))
    return reorient_to_ras(Volume(hu, affine, every, (*stored.notes, *notes, *reasons, *lost)))


def _lost(affine: np.ndarray) -> tuple[str, ...]:
    """A note where a file's affine is the identity: what array libraries write when geometry was lost."""
    if not np.array_equal(np.abs(affine), np.eye(4)):
        return ()
    return ("The file's affine is the identity (voxels of 1 mm, origin 0), as where the geometry was lost.",)
