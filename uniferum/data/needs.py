"""What a preparation takes: bytes in the store at each level, and hours, from what was measured.

Sources: docs/performance.md (benchmarks/preparation.py): 1.43 core seconds for a scan of 512 x 512 x 300 voxels, 0.017
for one of the demo's size; a noisy CT's prepared voxel takes at most about a byte, masks included.
"""

import math
from dataclasses import dataclass

from uniferum.preprocessing.geometry import Geometry

BYTES_A_VOXEL = 1.0
SECONDS_A_SCAN = 0.015
SECONDS_A_VOXEL = 1.43 / (512 * 512 * 300)
TYPICAL_VOXELS = 512 * 512 * 300
"""Of a chest CT, where the scans' headers were not looked at."""


@dataclass(frozen=True)
class Needs:
    """What preparing some scans takes.

    Attributes:
        scans: how many.
        level_bytes: level (``train``, ``full``) to bytes in the store.
        core_seconds: on one core.
    """

    scans: int
    level_bytes: dict[str, int]
    core_seconds: float

    def hours(self, cores: int) -> float:
        """Wall time on so many cores, reading of the raw files from a slow disk apart."""
        return self.core_seconds / max(1, cores) / 3600


def level_bytes(geometry: Geometry, level: str) -> int:
    """Bytes of one scan in the store at a level."""
    return int(math.prod(geometry.shape(level)) * BYTES_A_VOXEL)


def needs(scans: int, geometry: Geometry, voxels: float | None = None) -> Needs:
    """What preparing ``scans`` scans of ``voxels`` voxels on average takes."""
    seconds = SECONDS_A_SCAN + SECONDS_A_VOXEL * (TYPICAL_VOXELS if voxels is None else voxels)
    return Needs(scans, {one: scans * level_bytes(geometry, one) for one in ("train", "full")}, scans * seconds)
