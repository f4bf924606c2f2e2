"""A mask held against its scan's own anatomy: how much of it lies inside the scan, inside the body, on fitting tissue.

Invariant: what is found is flagged with its numbers and nothing is moved; only a mask without a voxel inside its scan
is refused.
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

# Smaller shares of a mask's voxels inside the scan's grid, or of those inside the body's outline, are flagged.
MIN_IN_SCAN, MIN_IN_BODY = 0.5, 0.8
# A mask that fits the scan's tissue by so much more mirrored or moved elsewhere was written so. Real masks fit by 0.15
# to 0.9 less in any mirror image than as they lie. Solid organs alone tell less: much of a body is as they are.
FIT_GAIN, SOLID_GAIN = 0.05, 0.1
# Less of a spleen, kidney, liver, heart or aorta than this is denser than fat in no patient (real ones: 0.98 and more).
MIN_SOLID = 0.5
# What lies where (HU) in the classes of TotalSegmentator v2: lungs; vertebrae, limb girdles, skull, ribs, sternum;
# spleen, kidneys, liver, heart and aorta, with contrast or without.
_AIR, _BONE, _SOLID = LUNG_HU, (100, 1000), (-50, 1000)
_KINDS = {_AIR: LUNG_IDS, _BONE: (*range(25, 51), *range(69, 79), 91, *range(92, 117)), _SOLID: (1, 2, 3, 5, 51, 52)}
_LAYERS = {"lungs": _AIR, "lung": _AIR} | dict.fromkeys(("spleen", "liver", "heart", "aorta"), _SOLID)
# TotalSegmentator's id, and the side (1: the right) on which it lies in all but a few patients in 10,000 (situs
# inversus); and how far beyond the body's middle it must lie on the other one, as a share of the body's width.
_SIDES = {"liver": (5, 1), "spleen": (1, -1)}
MIN_ASIDE = 0.05
# Of TotalSegmentator's ids: what lies to the left of, behind or below what, along x, y or z, in everybody; and by how
# many mm the middles of the two must lie the other way round, so that a cut field of view is no reason.
_ORDER = (
    (0, "left lung", (10, 11), "to the left of", "right lung", (12, 13, 14)),
    (0, "left kidney", (3,), "to the left of", "right kidney", (2,)),
    (0, "left ribs", range(92, 104), "to the left of", "right ribs", range(104, 116)),
    (1, "spine", range(25, 51), "behind", "heart", (51,)),
    (2, "liver", (5,), "below", "heart", (51,)),
)
MIN_REVERSED_MM = 30.0
# Version 1 of TotalSegmentator numbers two right lung lobes as version 2 does oesophagus and thyroid gland
# (map_to_binary.py of wasserth/TotalSegmentator), which never hold so much lung, in ml.
_LUNG_IN_V1, MAX_OF_OTHERS_ML = (15, 17), 300.0
# Fewer voxels than this of a kind on block means are too little to judge by, and more than this are not needed.
_MIN_VOXELS, _SAMPLE = 200, 20_000
# Moves that are tried, in mm.
_MOVES = (10, 25, 60)
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
        the mask with its count, and perhaps with ``empty_mask``, ``mask_outside_scan``, ``mask_outside_body``,
        ``mask_mirrored`` or ``mask_displaced``, each with a sentence.

    Raises:
        UniferumError: it has voxels, and none lies inside the scan.
    """
    where = np.ones(small.shape, dtype=np.uint8) if inside is None else inside
    blocks = np.rint(np.array(small.spacing_mm) / np.array(volume.spacing_mm))
    matrix = np.ascontiguousarray((np.linalg.inv(volume.affine) @ raw.affine)[:3])
    voxels, placed, in_scan, in_body = _count(
        raw.ids.transpose(2, 1, 0), matrix, np.array(volume.shape, dtype=np.float64), blocks, where
    )
    path = raw.source.path or Path(raw.source.layer)
    if voxels and not in_scan:
        raise UniferumError(str(path), must="overlap its scan", cure=f"none of its {voxels} voxels lies inside it")
    found: dict[str, str] = {}
    if not voxels:
        found["empty_mask"] = "no voxel is set"
    else:
        found |= _shares(in_scan / placed, in_body / in_scan if inside is not None else 1.0)
        if inside is not None and (raw.source.layer == TOTALSEGMENTATOR or raw.source.layer in _LAYERS):
            seen = resampling.nearest(raw.ids, np.linalg.inv(raw.affine) @ small.affine, small.shape)
            _refuse_version_1(raw, seen, small, path)
            found |= _reversed(raw, seen, small) | _wrong_side(raw, seen, inside)
            found |= _elsewhere(raw, seen, small, inside)
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


def _elsewhere(raw: RawMask, seen: np.ndarray, small: Volume, inside: UInt8[np.ndarray, "x y z"]) -> dict[str, str]:
    """Lung on air, bone on bone, liver on soft tissue: the mask must fit best where it lies, and as it lies."""
    parts = _parts(raw, seen, small, inside)
    if not parts:
        return {}
    fits = _fits(parts, small.shape)
    gain = SOLID_GAIN if set(parts) == {_SOLID} else FIT_GAIN
    own = fits((0, 0, 0), (0, 0, 0))
    said = f"{own:.0%} of its lung, bone and solid organs lie on tissue of their kind"
    mirrored = max((flip for flip in np.ndindex(2, 2, 2) if any(flip)), key=lambda flip: fits(flip, (0, 0, 0)))
    found: dict[str, str] = {}
    if _SOLID in parts and (solid := _fits({_SOLID: parts[_SOLID]}, small.shape)((0, 0, 0), (0, 0, 0))) < MIN_SOLID:
        found["mask_not_tissue"] = f"{solid:.0%} of its solid organs lie on soft tissue or bone"
    if (best := fits(mirrored, (0, 0, 0))) > own + gain:
        axes = " and of ".join(name for name, flipped in zip(_AXES, mirrored, strict=True) if flipped)
        found["mask_mirrored"] = f"{said}, {best:.0%} in the mirror image of {axes}"
    steps = [
        (axis, sign * round(mm / small.spacing_mm[axis])) for axis in range(3) for mm in _MOVES for sign in (-1, 1)
    ]
    moves = [tuple(step if axis == along else 0 for axis in range(3)) for along, step in steps]
    moved = max(moves, key=lambda move: fits((0, 0, 0), move))
    if "mask_mirrored" not in found and (best := fits((0, 0, 0), moved)) > own + gain:
        move = [round(step * mm) for step, mm in zip(moved, small.spacing_mm, strict=True)]
        found["mask_displaced"] = f"{said}, {best:.0%} when moved by {move} mm (to the right, front and head)"
    return found


def _wrong_side(raw: RawMask, seen: np.ndarray, inside: UInt8[np.ndarray, "x y z"]) -> dict[str, str]:
    """A liver on the left or a spleen on the right of a body whose sides are both in view."""
    if bodies.touches_sides(inside > 0):
        return {}
    multi = raw.source.layer == TOTALSEGMENTATOR
    x = np.arange(seen.shape[0])
    across = inside.sum(axis=(1, 2), dtype=np.int64)
    middle, width = float((across * x).sum() / across.sum()), float(np.ptp(np.flatnonzero(across)))
    for name, (number, side) in _SIDES.items():
        if not multi and raw.source.layer != name:
            continue
        along = (seen == (number if multi else 1)).sum(axis=(1, 2), dtype=np.int64)
        if along.sum() >= _MIN_VOXELS and side * (float((along * x).sum() / along.sum()) - middle) < -MIN_ASIDE * width:
            return {"mask_mirrored": f"its {name} lies on the patient's {'left' if side > 0 else 'right'}"}
    return {}


def _reversed(raw: RawMask, seen: np.ndarray, small: Volume) -> dict[str, str]:
    """Organs whose order in the body is the other way round: some of the ids, or one class file, were turned."""
    if raw.source.layer != TOTALSEGMENTATOR:
        return {}
    said = [
        f"its {one} does not lie {where} its {other}"
        for axis, one, ones, where, other, others in _ORDER
        if (apart := _apart_mm(seen, axis, ones, others, small)) is not None and apart < -MIN_REVERSED_MM
    ]
    return {"mask_mirrored": ", and ".join(said)} if said else {}


def _apart_mm(seen: np.ndarray, axis: int, ones: Sequence[int], others: Sequence[int], small: Volume) -> float | None:
    """By how many mm the middle of the first lies below that of the others on an axis; ``None`` without either."""
    middles = []
    for ids in (ones, others):
        along = np.isin(seen, ids).sum(axis=tuple({0, 1, 2} - {axis}))
        if along.sum() < _MIN_VOXELS:
            return None
        middles.append(float((along * np.arange(len(along))).sum() / along.sum()))
    return (middles[1] - middles[0]) * small.spacing_mm[axis]


def _refuse_version_1(raw: RawMask, seen: np.ndarray, small: Volume, path: Path) -> None:
    """Refuse ids of TotalSegmentator 1, told by litres of lung where version 2 has oesophagus and thyroid gland."""
    if raw.source.layer != TOTALSEGMENTATOR:
        return
    low, high = _AIR
    air = np.isin(seen, _LUNG_IN_V1) & (small.hu >= low) & (small.hu <= high)
    ml = float(np.count_nonzero(air) * np.prod(small.spacing_mm)) / 1000
    if ml > MAX_OF_OTHERS_ML:
        cure = f"its oesophagus and thyroid gland (ids 15 and 17) hold {ml:.0f} ml of lung, as version 1 numbers lobes"
        raise UniferumError(str(path), must="come from TotalSegmentator 2", cure=cure)


def _parts(
    raw: RawMask, seen: np.ndarray, small: Volume, inside: UInt8[np.ndarray, "x y z"]
) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
    """For each kind of tissue that the mask names: some of its voxels, and where in the body such tissue is."""
    kinds = _KINDS if raw.source.layer == TOTALSEGMENTATOR else {_LAYERS[raw.source.layer]: (1,)}
    parts: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
    for (low, high), ids in kinds.items():
        at = np.argwhere(np.isin(seen, ids))
        if len(at) >= _MIN_VOXELS:
            tissue = (small.hu >= low) & (small.hu <= high) & (inside > 0)
            parts[low, high] = (at[:: max(1, len(at) // _SAMPLE)], tissue)
    return parts


def _fits(
    parts: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]], shape: tuple[int, int, int]
) -> Callable[[tuple[int, ...], tuple[int, ...]], float]:
    """For a flip and a move of x, y, z: the mean share, over the kinds of tissue, of voxels on tissue of their kind."""
    size = np.array(shape)

    def share(flip: tuple[int, ...], move: tuple[int, ...]) -> float:
        shares = []
        for at, tissue in parts.values():
            there = np.where(flip, size - 1 - at, at) + np.array(move)
            within = ((there >= 0) & (there < size)).all(axis=1)
            shares.append(tissue[tuple(there[within].T)].sum() / len(at))
        return float(np.mean(shares))

    return share


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
