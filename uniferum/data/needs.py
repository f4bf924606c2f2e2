"""Estimate disk space of the store at each level, and hours, of a preparation, from measurements.

Source: docs/performance.md (benchmarks/preparation.py): 1.43 core seconds for a scan of 512 x 512 x 300 voxels, 0.017
for one of the demo's size; a prepared voxel of a noisy CT takes at most about a byte, masks included.
"""

import math
from dataclasses import dataclass

from uniferum.preprocessing.geometry import Geometry

BYTES_A_VOXEL = 1.0
SECONDS_A_SCAN = 0.015
SECONDS_A_VOXEL = 1.43 / (512 * 512 * 300)
TYPICAL_VOXELS = 512 * 512 * 300
"""Voxels of a chest CT, if the scans' headers were not read."""


@dataclass(frozen=True)
class Needs:
    """Disk space and time for preparing scans.

    Attributes:
        scans: number of scans.
        level_bytes: bytes in the store for each level (``train``, ``full``).
        core_seconds: seconds on one core.
    """

    scans: int
    level_bytes: dict[str, int]
    core_seconds: float

    def hours(self, cores: int) -> float:
        """Wall time on ``cores`` cores in hours, without reading raw files from a slow disk."""
        return self.core_seconds / max(1, cores) / 3600


def level_bytes(geometry: Geometry, level: str) -> int:
    """Bytes of one scan in the store at a level."""
    return int(math.prod(geometry.shape(level)) * BYTES_A_VOXEL)


def needs(scans: int, geometry: Geometry, voxels: float | None = None) -> Needs:
    """Estimate the needs of ``scans`` scans of ``voxels`` voxels on average."""
    seconds = SECONDS_A_SCAN + SECONDS_A_VOXEL * (TYPICAL_VOXELS if voxels is None else voxels)
    return Needs(scans, {one: scans * level_bytes(geometry, one) for one in ("train", "full")}, scans * seconds)
