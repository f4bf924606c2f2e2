"""Render a phantom on a grid of any resolution: HU with the scanner's blur and noise, and its masks."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

import uniferum.data.phantom.findings
import uniferum.data.phantom.findings_duke  # noqa: F401  (both fill the registry of findings)
from uniferum.data.phantom.raster import paint
from uniferum.data.phantom.scene import allowed_table
from uniferum.data.phantom.spec import PhantomSpec, shapes_of
from uniferum.preprocessing.volume import Volume

LAST_TOTALSEGMENTATOR_ID = 117
_ALLOWED = allowed_table()


@dataclass(frozen=True)
class Rendered:
    """A rendered phantom: the volume (RAS+, int16 HU) and its masks on the same grid."""

    volume: Volume
    masks: Mapping[str, np.ndarray]


def render(
    spec: PhantomSpec,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    *,
    noise_hu: float = 40.0,
    blur_mm: float = 0.0,
    seed: int = 0,
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Rendered:
    """Render a phantom on a RAS+ grid.

    Args:
        spec: the phantom.
        shape: voxels along x (to the right), y (to the front), z (to the head).
        spacing_mm: voxel size along x, y, z.
        noise_hu: standard deviation of the Gaussian noise added after the blur.
        blur_mm: standard deviation of the reconstruction kernel; 0 is sharp.
        seed: seed of the noise only.
        centre_mm: world position of the grid's centre; the body moves with it.

    Returns:
        the volume, and the masks ``totalsegmentator`` (uint8, v2 ids) and ``nodule`` (0 or 1).
    """
    step = np.asarray(spacing_mm, dtype=np.float64)
    corner = -step * (np.asarray(shape) - 1) / 2
    scale = np.asarray(spec.scale)
    hu, tissue = paint(shape, (corner - np.asarray(spec.shift_mm)) / scale, step / scale, shapes_of(spec), _ALLOWED)
    if blur_mm > 0:
        hu = ndimage.gaussian_filter(hu, blur_mm / step, mode="nearest", truncate=2.0)
    if noise_hu > 0:
        noise = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
        noise *= np.float32(noise_hu)
        hu += noise
    np.clip(hu, -1024, 3071, out=hu)
    affine = np.diag([*step, 1.0])
    affine[:3, 3] = corner + np.asarray(centre_mm)
    structures = np.where(tissue <= LAST_TOTALSEGMENTATOR_ID, tissue, 0).astype(np.uint8)
    masks = {"totalsegmentator": structures, "nodule": nodule_mask(spec, shape, corner, step)}
    return Rendered(Volume(np.rint(hu).astype(np.int16), affine), masks)


def nodule_mask(
    spec: PhantomSpec, shape: tuple[int, int, int], corner_mm: np.ndarray, step_mm: np.ndarray
) -> np.ndarray:
    """Draw the spheres of ``spec.nodules`` on a grid: uint8, 1 inside."""
    mask = np.zeros(shape, dtype=np.uint8)
    axes = [corner_mm[a] + step_mm[a] * np.arange(shape[a]) for a in range(3)]
    for nodule in spec.nodules:
        x, y, z = ((axes[a] - spec.shift_mm[a]) / spec.scale[a] - nodule.centre[a] for a in range(3))
        d2 = x[:, None, None] ** 2 + y[None, :, None] ** 2 + z[None, None, :] ** 2
        mask[d2 <= nodule.radius**2] = 1
    return mask
