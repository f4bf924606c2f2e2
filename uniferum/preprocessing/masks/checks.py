"""Check a mask against its scan's anatomy: whether it is inside the scan, inside the body, and on fitting tissue.

Invariant: problems are flagged with their numbers and nothing is moved; only a mask without a voxel inside its scan is
refused.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
from jaxtyping import Bool, UInt8

from uniferum.errors import UniferumError
from uniferum.preprocessing import body as bodies
from uniferum.preprocessing import resampling
from uniferum.preprocessing.formats.source import MaskSource
from uniferum.preprocessing.lungs import LUNG_HU, LUNG_IDS
from uniferum.preprocessing.masks.files import RawMask
from uniferum.preprocessing.masks.values import TOTALSEGMENTATOR
from uniferum.preprocessing.volume import Volume

# Smaller shares of a mask's voxels inside the scan, or of those inside the body's outline, are flagged.
MIN_IN_SCAN, MIN_IN_BODY = 0.5, 0.8
# A mask that fits the scan's tissue by so much more when mirrored or moved is wrong. Real masks fit by 0.15 to 0.9 less
# in any mirror image. The gain for solid organs alone is larger: much of a body has their HU.
FIT_GAIN, SOLID_GAIN = 0.05, 0.1
# Minimum share of solid organs denser than fat (spleen, kidneys, liver, heart, aorta; real masks: 0.98 and more).
MIN_SOLID = 0.5
# HU range of tissues and their classes in TotalSegmentator v2: lungs; vertebrae, limb girdles, skull, ribs, sternum;
# spleen, kidneys, liver, heart and aorta, with or without contrast.
_AIR, _BONE, _SOLID = LUNG_HU, (100, 1000), (-50, 1000)
_KINDS = {_AIR: LUNG_IDS, _BONE: (*range(25, 51), *range(69, 79), 91, *range(92, 117)), _SOLID: (1, 2, 3, 5, 51, 52)}
_LAYERS = {"lungs": _AIR, "lung": _AIR} | dict.fromkeys(("spleen", "liver", "heart", "aorta"), _SOLID)
# TotalSegmentator id and side (1: right) of organs that are on this side in all but a few patients in 10,000 (situs
# inversus); and how far beyond the body's middle they must be on the other side, as a share of the body's width.
_SIDES = {"liver": (5, 1), "spleen": (1, -1)}
MIN_ASIDE = 0.05
# Pairs of TotalSegmentator ids with a fixed order along x, y or z in everybody; and by how many mm their centres must
# be reversed, so that a cut field of view is no reason.
_ORDER = (
    (0, "left lung", (10, 11), "to the left of", "right lung", (12, 13, 14)),
    (0, "left kidney", (3,), "to the left of", "right kidney", (2,)),
    (0, "left ribs", range(92, 104), "to the left of", "right ribs", range(104, 116)),
    (1, "spine", range(25, 51), "behind", "heart", (51,)),
    (2, "liver", (5,), "below", "heart", (51,)),
)
MIN_REVERSED_MM = 30.0
# Version 1 of TotalSegmentator uses for two right lung lobes the ids of oesophagus and thyroid gland in version 2
# (map_to_binary.py of wasserth/TotalSegmentator), which never contain so much lung, in ml.
_LUNG_IN_V1, MAX_OF_OTHERS_ML = (15, 17), 300.0
# Minimum number of voxels of a tissue on block means that is judged, and maximum number that is used.
_MIN_VOXELS, _SAMPLE = 200, 20_000
# Displacements to try, in mm.
_MOVES = (10, 25, 60)
_AXES = ("left and right", "back and front", "feet and head")
# All voxels up to this number are checked, then every 16th: shares need no more.
_ALL, _STEP = 100_000, 16


def outline(body: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    """Outline of the body including what it encloses: voxels with body on both sides along x, or along y."""
    inside = np.zeros_like(body)
    for axis in (0, 1):
        before = np.maximum.accumulate(body, axis=axis)
        behind = np.flip(np.maximum.accumulate(np.flip(body, axis=axis), axis=axis), axis=axis)
        inside |= before & behind
    return inside


def check_anatomy(raw: RawMask, volume: Volume, small: Volume, inside: UInt8[np.ndarray, "x y z"] | None) -> RawMask:
    """Count a mask's voxels, and flag those that are not where voxels of such a mask can be.

    Args:
        raw: the mask.
        volume: the scan.
        small: block means of the scan.
        inside: the body's :func:`outline` on the block means, 0 and 1; ``None`` if no body was found.

    Returns:
        the mask with its count, and with ``empty_mask``, ``mask_outside_scan``, ``mask_outside_body``,
        ``mask_mirrored`` or ``mask_displaced`` and a note where they apply.

    Raises:
        UniferumError: it has voxels, but none is inside the scan.
    """
    where = np.ones(small.shape, dtype=np.uint8) if inside is None else inside
    blocks = np.rint(np.array(small.spacing_mm) / np.array(volume.spacing_mm))
    matrix = np.ascontiguousarray((np.linalg.inv(volume.affine) @ raw.affine)[:3])
    voxels, placed, in_scan, in_body = _count(
        raw.ids.transpose(2, 1, 0), matrix, np.array(volume.shape, dtype=np.float64), blocks, where
    )
    path = raw.source.path or Path(raw.source.layer)
    if voxels and not in_scan:
        raise UniferumError(str(path), must="overlap its scan", cure=f"none of its {voxels} voxels is inside it")
    problems: dict[str, str] = {}
    if not voxels:
        problems["empty_mask"] = "no voxel is set"
    else:
        problems |= _shares(in_scan / placed, in_body / in_scan if inside is not None else 1.0)
        if inside is not None and (raw.source.layer == TOTALSEGMENTATOR or raw.source.layer in _LAYERS):
            coarse_ids = resampling.nearest(raw.ids, np.linalg.inv(raw.affine) @ small.affine, small.shape)
            _refuse_version_1(raw, coarse_ids, small, path)
            problems |= _reversed(raw, coarse_ids, small) | _wrong_side(raw, coarse_ids, inside)
            problems |= _elsewhere(raw, coarse_ids, small, inside)
    return _with(raw, problems, voxels)


def check_spheres(
    mask: MaskSource, volume: Volume, small: Volume, inside: UInt8[np.ndarray, "x y z"] | None
) -> dict[str, str]:
    """Flags and notes on spheres whose centres are outside the scan or outside the body."""
    centres = np.array([[*sphere.centre_mm_ras, 1.0] for sphere in mask.spheres]).reshape(-1, 4).T
    index = (np.linalg.inv(volume.affine) @ centres)[:3].T
    in_scan = ((index > -0.5) & (index < np.array(volume.shape) - 0.5)).all(axis=1)
    problems: dict[str, str] = {}
    total = len(mask.spheres)
    if not in_scan.all():
        problems["mask_outside_scan"] = f"{int((~in_scan).sum())} of {total} spheres have their centre outside the scan"
    if inside is not None and in_scan.any():
        blocks = np.rint(np.array(small.spacing_mm) / np.array(volume.spacing_mm))
        at = np.minimum(((index[in_scan] + 0.5) / blocks).astype(int), np.array(small.shape) - 1)
        out = int((inside[tuple(at.T)] == 0).sum())
        if out:
            problems["mask_outside_body"] = f"{out} of {total} spheres have their centre outside the body"
    return problems


def _shares(in_scan: float, in_body: float) -> dict[str, str]:
    note = f"{in_scan:.0%} of its voxels are inside the scan, and {in_body:.0%} of those inside the body"
    outside = {"mask_outside_scan": in_scan < MIN_IN_SCAN, "mask_outside_body": in_body < MIN_IN_BODY}
    return {flag: note for flag, true in outside.items() if true}


def _elsewhere(
    raw: RawMask, coarse_ids: np.ndarray, small: Volume, inside: UInt8[np.ndarray, "x y z"]
) -> dict[str, str]:
    """Flag a mask that fits the scan better when mirrored or moved: lung on air, bone on bone, liver on soft tissue."""
    parts = _parts(raw, coarse_ids, small, inside)
    if not parts:
        return {}
    fits = _fits(parts, small.shape)
    gain = SOLID_GAIN if set(parts) == {_SOLID} else FIT_GAIN
    in_place = fits((0, 0, 0), (0, 0, 0))
    fit = f"{in_place:.0%} of its lung, bone and solid organs are on tissue of their kind"
    mirrored = max((flip for flip in np.ndindex(2, 2, 2) if any(flip)), key=lambda flip: fits(flip, (0, 0, 0)))
    problems: dict[str, str] = {}
    if _SOLID in parts and (solid := _fits({_SOLID: parts[_SOLID]}, small.shape)((0, 0, 0), (0, 0, 0))) < MIN_SOLID:
        problems["mask_not_tissue"] = f"{solid:.0%} of its solid organs are on soft tissue or bone"
    if (best := fits(mirrored, (0, 0, 0))) > in_place + gain:
        axes = " and of ".join(name for name, flipped in zip(_AXES, mirrored, strict=True) if flipped)
        problems["mask_mirrored"] = f"{fit}, {best:.0%} in the mirror image of {axes}"
    steps = [
        (axis, sign * round(mm / small.spacing_mm[axis])) for axis in range(3) for mm in _MOVES for sign in (-1, 1)
    ]
    moves = [tuple(step if axis == along else 0 for axis in range(3)) for along, step in steps]
    moved = max(moves, key=lambda move: fits((0, 0, 0), move))
    if "mask_mirrored" not in problems and (best := fits((0, 0, 0), moved)) > in_place + gain:
        move = [round(step * mm) for step, mm in zip(moved, small.spacing_mm, strict=True)]
        problems["mask_displaced"] = f"{fit}, {best:.0%} when moved by {move} mm (to the right, front and head)"
    return problems


def _wrong_side(raw: RawMask, coarse_ids: np.ndarray, inside: UInt8[np.ndarray, "x y z"]) -> dict[str, str]:
    """Flag a liver on the left or a spleen on the right of a body whose sides are both in view."""
    if bodies.touches_sides(inside > 0):
        return {}
    multi = raw.source.layer == TOTALSEGMENTATOR
    x = np.arange(coarse_ids.shape[0])
    across = inside.sum(axis=(1, 2), dtype=np.int64)
    middle, width = float((across * x).sum() / across.sum()), float(np.ptp(np.flatnonzero(across)))
    for name, (number, side) in _SIDES.items():
        if not multi and raw.source.layer != name:
            continue
        along = (coarse_ids == (number if multi else 1)).sum(axis=(1, 2), dtype=np.int64)
        if along.sum() >= _MIN_VOXELS and side * (float((along * x).sum() / along.sum()) - middle) < -MIN_ASIDE * width:
            return {"mask_mirrored": f"its {name} is on the patient's {'left' if side > 0 else 'right'}"}
    return {}


def _reversed(raw: RawMask, coarse_ids: np.ndarray, small: Volume) -> dict[str, str]:
    """Flag organs in reversed order, which means that some ids or one class file were mirrored."""
    if raw.source.layer != TOTALSEGMENTATOR:
        return {}
    notes = [
        f"its {one} is not {where} its {other}"
        for axis, one, ones, where, other, others in _ORDER
        if (apart := _apart_mm(coarse_ids, axis, ones, others, small)) is not None and apart < -MIN_REVERSED_MM
    ]
    return {"mask_mirrored": ", and ".join(notes)} if notes else {}


def _apart_mm(
    coarse_ids: np.ndarray, axis: int, ones: Sequence[int], others: Sequence[int], small: Volume
) -> float | None:
    """Distance in mm by which the centre of the first is below that of the others; ``None`` without one of them."""
    middles = []
    for ids in (ones, others):
        along = np.isin(coarse_ids, ids).sum(axis=tuple({0, 1, 2} - {axis}))
        if along.sum() < _MIN_VOXELS:
            return None
        middles.append(float((along * np.arange(len(along))).sum() / along.sum()))
    return (middles[1] - middles[0]) * small.spacing_mm[axis]


def _refuse_version_1(raw: RawMask, coarse_ids: np.ndarray, small: Volume, path: Path) -> None:
    """Refuse ids of TotalSegmentator 1, which are recognised by lung at the ids of oesophagus and thyroid gland."""
    if raw.source.layer != TOTALSEGMENTATOR:
        return
    low, high = _AIR
    air = np.isin(coarse_ids, _LUNG_IN_V1) & (small.hu >= low) & (small.hu <= high)
    ml = float(np.count_nonzero(air) * np.prod(small.spacing_mm)) / 1000
    if ml > MAX_OF_OTHERS_ML:
        cure = f"its oesophagus and thyroid gland (ids 15 and 17) hold {ml:.0f} ml of lung, like lobes in version 1"
        raise UniferumError(str(path), must="come from TotalSegmentator 2", cure=cure)


def _parts(
    raw: RawMask, coarse_ids: np.ndarray, small: Volume, inside: UInt8[np.ndarray, "x y z"]
) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
    """For each tissue that the mask labels: a sample of its voxels, and where the body has such tissue."""
    kinds = _KINDS if raw.source.layer == TOTALSEGMENTATOR else {_LAYERS[raw.source.layer]: (1,)}
    parts: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
    for (low, high), ids in kinds.items():
        at = np.argwhere(np.isin(coarse_ids, ids))
        if len(at) >= _MIN_VOXELS:
            tissue = (small.hu >= low) & (small.hu <= high) & (inside > 0)
            parts[low, high] = (at[:: max(1, len(at) // _SAMPLE)], tissue)
    return parts


def _fits(
    parts: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]], shape: tuple[int, int, int]
) -> Callable[[tuple[int, ...], tuple[int, ...]], float]:
    """Mean share of voxels on tissue of their kind, over all tissues, as a function of a flip and a move."""
    size = np.array(shape)

    def share(flip: tuple[int, ...], move: tuple[int, ...]) -> float:
        shares = []
        for at, tissue in parts.values():
            moved = np.where(flip, size - 1 - at, at) + np.array(move)
            within = ((moved >= 0) & (moved < size)).all(axis=1)
            shares.append(tissue[tuple(moved[within].T)].sum() / len(at))
        return float(np.mean(shares))

    return share


def _with(raw: RawMask, problems: dict[str, str], voxels: int) -> RawMask:
    layer = raw.source.layer
    flags = (*raw.flags, *(f"{flag}:{layer}" for flag in problems))
    notes = (*raw.notes, *dict.fromkeys(f"mask {layer}: {note}" for note in problems.values()))
    return replace(raw, flags=flags, notes=notes, voxels=voxels)


@numba.njit(cache=True, nogil=True)
def _count(mask, matrix, shape, blocks, inside):
    """Count the voxels of a (z, y, x) mask; and of those that are checked: all, in the scan, in the body."""
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
