"""Random augmentation of the paper, drawn as numbers and applied in one resampling.

Paper 3.5: rotation up to 15 degrees, zoom up to 10 %, Gaussian noise and an intensity offset. Released configuration:
each with probability 0.5, one rotation about all three axes, noise and offset of at most 0.01 in [0, 1] units, in the
order pad and crop to the box, rotate, zoom, pad and crop, area resize, noise, offset. A draw depends only on the seed,
the step and the slot in the step.
"""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from uniferum.data.settings import AugmentationConfig


@dataclass(frozen=True)
class Draw:
    """One drawn augmentation: angles in degrees about x, y, z, a zoom factor, and intensities in [0, 1] units."""

    angles_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    zoom: float = 1.0
    noise_std: float = 0.0
    noise_seed: int = 0
    offset: float = 0.0
    transform_seed: int = 0

    @property
    def moves(self) -> bool:
        """Whether any voxel is moved."""
        return self.zoom != 1.0 or any(self.angles_deg)

    def source_from_output(self) -> Float64[np.ndarray, "3 3"]:
        """Matrix from a position in the output to the position of its value in the source, in mm from the centre.

        A zoom above 1 enlarges, as in MONAI.
        """
        return self.rotation() / self.zoom

    @property
    def turns(self) -> bool:
        """Whether the volume is rotated."""
        return any(self.angles_deg)

    def zoomed(self) -> Float64[np.ndarray, "3 3"]:
        """The zoom part of :meth:`source_from_output`."""
        return np.eye(3) / self.zoom

    def rotation(self) -> Float64[np.ndarray, "3 3"]:
        """The rotation part of :meth:`source_from_output`: Rx Ry Rz, as in MONAI."""
        ax, ay, az = (math.radians(angle) for angle in self.angles_deg)
        cx, sx, cy, sy, cz, sz = math.cos(ax), math.sin(ax), math.cos(ay), math.sin(ay), math.cos(az), math.sin(az)
        rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]], dtype=np.float64)
        ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]], dtype=np.float64)
        rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]], dtype=np.float64)
        return rx @ ry @ rz


IDENTITY = Draw()


def draw(config: AugmentationConfig, *, seed: int, step: int, slot: int) -> Draw:
    """Draw the augmentation of one volume: a pure function of config, seed, step and slot in the step."""
    random = np.random.default_rng((seed & 0xFFFF_FFFF_FFFF_FFFF, step, slot))
    use = random.random(4) < config.probability
    angles = random.uniform(-config.rotation_deg, config.rotation_deg, 3)
    zoom = random.uniform(1 - config.zoom, 1 + config.zoom)
    noise_std = random.uniform(0, config.noise)
    offset = random.uniform(-config.offset, config.offset)
    noise_seed = int(random.integers(2**62))
    transform_seed = int(random.integers(2**32))
    return Draw(
        angles_deg=(float(angles[0]), float(angles[1]), float(angles[2])) if use[0] else (0.0, 0.0, 0.0),
        zoom=float(zoom) if use[1] else 1.0,
        noise_std=float(noise_std) if use[2] else 0.0,
        noise_seed=noise_seed,
        offset=float(offset) if use[3] else 0.0,
        transform_seed=transform_seed,
    )


def draw_for(config: AugmentationConfig, *, seed: int, volume_id: str, copy: int) -> Draw:
    """Draw the augmentation of a test volume: a pure function of config, seed, volume and the number of the pass."""
    digest = hashlib.sha256(f"{seed}:{volume_id}".encode()).digest()
    return draw(config, seed=int.from_bytes(digest[:8], "big"), step=copy, slot=0)
