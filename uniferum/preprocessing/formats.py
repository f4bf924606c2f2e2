"""Any scan on disk to a volume in RAS+ and HU, whatever its format.

Invariant: a file that cannot be read whole and understood is an error with the file's name and a reason, never a
volume with guessed geometry.
"""

import numpy as np

from uniferum.preprocessing.affines import check_affine
from uniferum.preprocessing.fence import allowed as _allowed
from uniferum.preprocessing.hu_check import check_hu
from uniferum.preprocessing.intensities import to_hu
from uniferum.preprocessing.read import read_stored
from uniferum.preprocessing.source import ScanSource
from uniferum.preprocessing.volume import Volume, reorient_to_ras


def read_volume(source: ScanSource) -> Volume:
    """Read a scan: RAS+ axes, int16 HU, not yet clipped.

    Raises:
        UniferumError: the file cannot be read, or what it says cannot be true; see the readers of each format.
    """
    stored = read_stored(_allowed(source.path, source.root), believe_header=source.affine is None)
    affine = stored.affine if source.affine is None else np.asarray(source.affine, dtype=np.float64)
    tilt = check_affine(affine, source.path)
    subject = str(source.path)
    hu, flags, notes = to_hu(stored.values, source.intensity or stored.intensity, subject=subject)
    wrong, reasons = check_hu(hu, known_clip=source.known_hu_clip)
    seen = tuple(dict.fromkeys((*stored.flags, *flags, *wrong, *tilt)))
    return reorient_to_ras(Volume(hu, affine, seen, (*stored.notes, *notes, *reasons)))
