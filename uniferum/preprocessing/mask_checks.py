"""A mask held against its scan's own anatomy: how much of it lies inside the scan, inside the body, on fitting tissue.

Invariant: what is found is flagged with its numbers and nothing is moved; only a mask without a voxel inside its scan
is refused.
"""

from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
from jaxtyping import Bool, UInt8

from uniferum.errors import UniferumError
from uniferum.preprocessing import resampling
from uniferum.preprocessing.lungs import LUNG_HU, LUNG_IDS
from uniferum.preprocessing.mask_files import RawMask
from uniferum.preprocessing.mask_values import TOTALSEGMENTATOR
from uniferum.preprocessing.source import MaskSource
from uniferum.preprocessing.volume import Volume

# Smaller shares of a mask's voxels inside the scan's grid, or of those inside the body's outline, are flagged.
MIN_IN_SCAN, MIN_IN_BODY = 0.5, 0.8
# A mask that fits the scan's tissue by so much more when mirrored was written mirrored, or the scan was.
MIRROR_GAIN = 0.05
# Vertebrae, humeri, scapulae, clavicles, femora, hips, skull, ribs, sternum (TotalSegmentator v2 ids).
_BONE_IDS = (*range(25, 51), *range(69, 79), 91, *range(92, 117))
_BONE_HU = 100
# Fewer voxels than this of lung or bone on block means are too little to judge by.
_MIN_VOXELS = 200
_AXES = ("left and right", "back and front", "feet and head")
# Every voxel is placed up to this many, then every 16th: shares need no more.
_ALL, _STEP = 100_000, 16


def outline(body: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    """The body with what it encloses: voxels that have body on both sides along x, or along y."""
    inside = np.zeros_like(body)
    for axis in (0, 1):
        before = np.maximum.accumulate(body, axis=axis)
        behind = np.flip(np.maximum.accumulate(np.flip(body, axis=axis), axis=axis), axis=axis)
        inside |= before & behind
    return inside


def hold_against(raw: RawMask, volume: Volume, small: Volume, inside: UInt8[np.ndarray, "x y z"] | None) -> RawMask:
    """Count a mask's voxels, and flag where they do not lie where those of a mask lie.

    Args:
        raw: the mask.
        volume: the scan.
        small: its block means.
        inside: the body's :func:`outline` on them, 0 and 1; ``None`` where no body was found.

    Returns:
        the mask with its count, and perhaps with ``empty_mask``, ``mask_outside_scan``, ``mask_outside_body`` or
        ``mask_mirrored``, each with a sentence.

    Raises:
        UniferumError: it has voxels, and none lies inside the scan.
    """
    where = np.ones(small.shape, dtype=np.uint8) if inside is None else inside
    blocks = np.rint(np.array(small.spacing_mm) / np.array(volume.spacing_mm))
    matrix = np.ascontiguousarray((np.linalg.inv(volume.affine) @ raw.affine)[:3])
    voxels, placed, in_scan, in_body = _count(
        raw.ids.transpose(2, 1, 0), matrix, np.array(volume.shape, dtype=np.float64), blocks, where
    )
    if voxels and not in_scan:
        path = raw.source.path or Path(raw.source.layer)
        raise UniferumError(str(path), must="overlap its scan", cure=f"none of its {voxels} voxels lies inside it")
    found: dict[str, str] = {}
    if not voxels:
        found["empty_mask"] = "no voxel is set"
    else:
        found |= _shares(in_scan / placed, in_body / in_scan if inside is not None else 1.0)
        found |= _mirrored(raw, small)
    return _with(raw, found, voxels)


def hold_spheres_against(
    mask: MaskSource, volume: Volume, small: Volume, inside: UInt8[np.ndarray, "x y z"] | None
) -> dict[str, str]:
    """Flag to sentence, of spheres whose centres lie outside the scan or outside the body."""
    centres = np.array([[*sphere.centre_mm_ras, 1.0] for sphere in mask.spheres]).reshape(-1, 4).T
    index = (np.linalg.inv(volume.affine) @ centres)[:3].T
    there = ((index > -0.5) & (index < np.array(volume.shape) - 0.5)).all(axis=1)
    found: dict[str, str] = {}
    total = len(mask.spheres)
    if not there.all():
        found["mask_outside_scan"] = f"{int((~there).sum())} of {total} spheres have their centre outside the scan"
    if inside is not None and there.any():
        blocks = np.rint(np.array(small.spacing_mm) / np.array(volume.spacing_mm))
        at = np.minimum(((index[there] + 0.5) / blocks).astype(int), np.array(small.shape) - 1)
        out = int((inside[tuple(at.T)] == 0).sum())
        if out:
            found["mask_outside_body"] = f"{out} of {total} spheres have their centre outside the body"
    return found


def _shares(in_scan: float, in_body: float) -> dict[str, str]:
    said = f"{in_scan:.0%} of its voxels lie inside the scan, and {in_body:.0%} of those inside the body"
    outside = {"mask_outside_scan": in_scan < MIN_IN_SCAN, "mask_outside_body": in_body < MIN_IN_BODY}
    return {flag: said for flag, true in outside.items() if true}


def _mirrored(raw: RawMask, small: Volume) -> dict[str, str]:
    """Lung on air and bone on bone: of the eight mirror images the mask as it stands must fit best."""
    fits = _fits(raw, small)
    if fits is None:
        return {}
    flips = [flip for flip in np.ndindex(2, 2, 2) if any(flip)]
    own = fits((0, 0, 0))
    best = max(flips, key=fits)
    if fits(best) <= own + MIRROR_GAIN:
        return {}
    axes = " and of ".join(name for name, flipped in zip(_AXES, best, strict=True) if flipped)
    said = f"{own:.0%} of its lung and bone voxels lie on air and bone, {fits(best):.0%} in the mirror image of {axes}"
    return {"mask_mirrored": said}


def _fits(raw: RawMask, small: Volume):
    """For a flip of x, y, z: the share of lung voxels on air and of bone voxels on bone; ``None`` without enough."""
    multi = raw.source.layer == TOTALSEGMENTATOR
    if not multi and raw.source.layer not in ("lungs", "lung"):
        return None
    seen = resampling.nearest(raw.ids, np.linalg.inv(raw.affine) @ small.affine, small.shape)
    lung = np.isin(seen, LUNG_IDS) if multi else seen > 0
    bone = np.isin(seen, _BONE_IDS) if multi else np.zeros_like(lung)
    parts = [p for p in ((lung, small.hu < LUNG_HU[1]), (bone, small.hu > _BONE_HU)) if p[0].sum() >= _MIN_VOXELS]

    def share(flip: tuple[int, ...]) -> float:
        axes = tuple(axis for axis in range(3) if flip[axis])
        return float(np.mean([np.flip(tissue, axis=axes)[part].mean() for part, tissue in parts]))

    return share if parts else None


def _with(raw: RawMask, found: dict[str, str], voxels: int) -> RawMask:
    layer = raw.source.layer
    flags = (*raw.flags, *(f"{flag}:{layer}" for flag in found))
    notes = (*raw.notes, *dict.fromkeys(f"mask {layer}: {said}" for said in found.values()))
    return replace(raw, flags=flags, notes=notes, voxels=voxels)


@numba.njit(cache=True, nogil=True)
def _count(mask, matrix, shape, blocks, inside):
    """Voxels of a (z, y, x) mask; and of those placed in the scan: how many, inside its grid, inside the body."""
    voxels, placed, in_scan, in_body = 0, 0, 0, 0
    for k in range(mask.shape[0]):
        for j in range(mask.shape[1]):
            for i in range(mask.shape[2]):
                if mask[k, j, i] == 0:
                    continue
                voxels += 1
                if voxels > _ALL and voxels % _STEP:
                    continue
                weight = 1 if voxels <= _ALL else _STEP
                placed += weight
                x = matrix[0, 0] * i + matrix[0, 1] * j + matrix[0, 2] * k + matrix[0, 3] + 0.5
                y = matrix[1, 0] * i + matrix[1, 1] * j + matrix[1, 2] * k + matrix[1, 3] + 0.5
                z = matrix[2, 0] * i + matrix[2, 1] * j + matrix[2, 2] * k + matrix[2, 3] + 0.5
                if x < 0 or y < 0 or z < 0 or x >= shape[0] or y >= shape[1] or z >= shape[2]:
                    continue
                in_scan += weight
                a = min(int(x / blocks[0]), inside.shape[0] - 1)
                b = min(int(y / blocks[1]), inside.shape[1] - 1)
                c = min(int(z / blocks[2]), inside.shape[2] - 1)
                in_body += weight * inside[a, b, c]
    return voxels, placed, in_scan, in_body
