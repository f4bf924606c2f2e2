"""Images of SimpleITK on any affine, to compare with."""

import numpy as np
import SimpleITK as sitk


def any_affine(random: np.random.Generator) -> np.ndarray:
    """Draw an affine of any rotation, spacing and origin."""
    turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(random.uniform(0.5, 4, 3))
    affine[:3, 3] = random.uniform(-200, 200, 3)
    return affine


def simpleitk_image(array: np.ndarray, affine: np.ndarray) -> sitk.Image:
    """Return an RAS+ array as an image of SimpleITK."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.sqrt((lps[:3, :3] ** 2).sum(axis=0))
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image
