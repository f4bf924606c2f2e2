"""Acquisition of a phantom, drawn for each scan: grid, noise, kernel and orientation of the file.

Cohorts differ: CT-RATE's phantoms have no contrast, moderate noise and many orientations, INSPECT's bright vessels and
low noise; RAD-ChestCT's are isotropic, noisy and clipped to +-1000 HU; LUNA16's are MetaImage, some of them flipped.
"""

from dataclasses import dataclass

import numpy as np

from uniferum.data.phantom.rendering import Rendered, render
from uniferum.data.phantom.spec import PhantomSpec, rng_of

FIELD_MM = (372.0, 256.0, 268.0)
"""Extent of a scan in mm along x, y, z; the body is 332 x 224 mm at scale 1."""

NOISE_HU = {"CTRATE": (20, 45), "INSPECT": (12, 28), "RADCHEST": (40, 70), "LUNA16": (25, 60)}
BLUR_MM = {"CTRATE": (0.0, 2.5), "INSPECT": (1.0, 2.5), "RADCHEST": (0.0, 1.5), "LUNA16": (0.0, 2.0)}
ORIENTATIONS = ("LPS", "LPS", "LPS", "RAS", "LAS", "RPS", "LPI", "ASL")
SECOND = 1_000_000
"""Offset of a case's number for the acquisition of its second reconstruction."""


@dataclass(frozen=True)
class Acquisition:
    """Grid and quality of one scan; ``orientation`` gives the direction of each axis of the file."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    noise_hu: float
    blur_mm: float
    centre_mm: tuple[float, float, float]
    orientation: str
    padded: bool
    seed: int

    def scan(self, spec: PhantomSpec) -> Rendered:
        """Render the phantom as this scan shows it, in RAS+ order."""
        return render(
            spec,
            self.shape,
            self.spacing_mm,
            noise_hu=self.noise_hu,
            blur_mm=self.blur_mm,
            seed=self.seed,
            centre_mm=self.centre_mm,
        )


def draw_acquisition(seed: int, cohort: str, index: int, voxel_mm: float) -> Acquisition:
    """Draw the acquisition of scan ``index`` of a cohort, with other random numbers than for the body."""
    rng = rng_of(seed + 1, cohort, index)
    in_plane = voxel_mm * (1.0 if cohort == "RADCHEST" else float(rng.uniform(0.9, 1.1)))
    slices = voxel_mm * (1.0 if cohort == "RADCHEST" else float(rng.uniform(0.8, 1.25)))
    field = np.asarray(FIELD_MM) * rng.uniform(0.98, 1.04)
    spacing = (in_plane, in_plane, slices)
    x, y, z = (round(float(extent / step)) for extent, step in zip(field, spacing, strict=True))
    cx, cy, cz = (float(v) for v in rng.uniform(-30, 30, 3))
    return Acquisition(
        shape=(x, y, z),
        spacing_mm=spacing,
        noise_hu=float(rng.uniform(*NOISE_HU[cohort])),
        blur_mm=float(rng.uniform(*BLUR_MM[cohort])),
        centre_mm=(cx, cy, cz),
        orientation=str(rng.choice(ORIENTATIONS)),
        padded=bool(rng.random() < 0.25),
        seed=int(rng.integers(2**31)),
    )
