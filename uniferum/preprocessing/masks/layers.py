"""Read a scan's mask layers, check them against the scan, and resample them to every level of the store."""

from dataclasses import dataclass, field

import numpy as np

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.source import MaskSource, ScanSource
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.masks import grids
from uniferum.preprocessing.masks.checks import check_anatomy, check_spheres, outline
from uniferum.preprocessing.masks.files import RawMask, read_layer
from uniferum.preprocessing.masks.values import TOTALSEGMENTATOR
from uniferum.preprocessing.volume import Volume


@dataclass
class ScanQuality:
    """Quality of a scan, collected during preparation: flags, notes on them, and the source of its lungs."""

    flags: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lung_source: str = "none"


def read_layers(source: ScanSource, volume: Volume, quality: ScanQuality, *, keep_bad: bool) -> list[RawMask]:
    """Read every mask of a scan that has a file.

    Args:
        source: the scan.
        volume: the scan's voxels, RAS+.
        quality: gets the flag ``bad_mask:<layer>``; the other flags are in the masks.
        keep_bad: ignore a mask that cannot be used, instead of refusing the scan.

    Raises:
        UniferumError: a mask cannot be read, cannot be understood or contradicts the scan, or there are two organ
            masks.
    """
    layers = []
    if sum(mask.layer == TOTALSEGMENTATOR for mask in source.masks) > 1:
        subject = f"{source.scan_id}: masks"
        raise UniferumError(subject, must="name TotalSegmentator's output once", cure="remove one of the two")
    for mask in source.masks:
        if mask.path is None:
            continue
        try:
            layers.append(read_layer(mask, source=source, like=volume))
        except UniferumError as error:
            _drop(mask, error, quality, keep_bad=keep_bad)
    return layers


def check_layers(
    source: ScanSource,
    raw_masks: list[RawMask],
    volume: Volume,
    small: Volume,
    body: np.ndarray | None,
    quality: ScanQuality,
    *,
    keep_bad: bool,
) -> list[RawMask]:
    """Check every mask, and every sphere, against the scan's anatomy.

    Args:
        source: the scan.
        raw_masks: masks from :func:`read_layers`.
        volume: the scan's voxels, RAS+.
        small: block means of the scan.
        body: the largest soft-tissue component on the block means.
        quality: gets the masks' flags and notes.
        keep_bad: ignore a mask that cannot be used, instead of refusing the scan.

    Returns:
        the masks that can be used.

    Raises:
        UniferumError: a mask has no voxel inside the scan.
    """
    inside = None if body is None or not source.masks else outline(body).view(np.uint8)
    kept = []
    for raw in raw_masks:
        try:
            kept.append(check_anatomy(raw, volume, small, inside))
        except UniferumError as error:
            _drop(raw.source, error, quality, keep_bad=keep_bad)
    for raw in kept:
        quality.flags += raw.flags
        quality.notes += raw.notes
    for mask in (mask for mask in source.masks if mask.path is None):
        sphere_notes = check_spheres(mask, volume, small, inside)
        quality.flags += [f"{flag}:{mask.layer}" for flag in sphere_notes]
        quality.notes += [f"mask {mask.layer}: {sentence}" for sentence in sphere_notes.values()]
    return kept


def _drop(mask: MaskSource, error: UniferumError, quality: ScanQuality, *, keep_bad: bool) -> None:
    """Raise the error, or continue without the mask and note the reason, without file names."""
    if not keep_bad:
        raise error
    quality.flags.append(f"bad_mask:{mask.layer}")
    cure = f" ({error.cure})" if error.cure else ""
    quality.notes.append(f"mask {mask.layer}: ignored, because it must {error.must}{cure}")


def layers_on_grids(
    source: ScanSource,
    raw_masks: list[RawMask],
    affines: dict[str, np.ndarray],
    kept: tuple[float, float],
    geometry: Geometry,
    quality: ScanQuality,
) -> tuple[dict[str, dict[str, np.ndarray]], int]:
    """Layer to level to uint8, nothing outside the kept heights; and the number of structures kept as one voxel.

    Several masks of one binary layer (one file per nodule) are merged. A layer that had voxels and has none on a level
    is flagged ``lost_mask:<layer>``.
    """
    layers: dict[str, dict[str, np.ndarray]] = {}
    saved = 0
    for level, affine in affines.items():
        shape = geometry.shape(level)
        outside = ~within(affine, shape[2], kept)
        made = [(m.source.layer, grids.onto_grid(m.ids, m.affine, affine, shape)) for m in raw_masks]
        drawn = (mask for mask in source.masks if mask.path is None)
        made += [(mask.layer, grids.draw_spheres(mask.spheres, affine, shape)) for mask in drawn]
        for layer, (ids, count) in made:
            ids[:, :, outside] = 0
            by_level = layers.setdefault(layer, {})
            by_level[level] = np.maximum(by_level[level], ids) if level in by_level else ids
            saved += count if level == next(iter(affines)) else 0
    _flag_lost(source, raw_masks, layers, quality)
    return layers, saved


def _flag_lost(
    source: ScanSource, raw_masks: list[RawMask], layers: dict[str, dict[str, np.ndarray]], quality: ScanQuality
) -> None:
    voxels: dict[str, int] = {}
    for raw in raw_masks:
        voxels[raw.source.layer] = voxels.get(raw.source.layer, 0) + max(0, raw.voxels)
    spheres = {mask.layer: len(mask.spheres) for mask in source.masks if mask.path is None}
    for layer, levels in layers.items():
        lost = [level for level, ids in levels.items() if not ids.any()]
        counts = {"voxels": voxels.get(layer, 0), "spheres": spheres.get(layer, 0)}
        had = " and ".join(f"{count} {what}" for what, count in counts.items() if count)
        if lost and had:
            quality.flags.append(f"lost_mask:{layer}")
            where = f"the kept heights and the box (level {', '.join(lost)})"
            quality.notes.append(f"mask {layer}: of {had} in the file, none is within {where}")


def within(affine: np.ndarray, count: int, kept: tuple[float, float]) -> np.ndarray:
    """Whether each slice of a grid is between the kept heights, with half a slice of tolerance."""
    half = affine[2, 2] / 2
    heights = affine[2, 3] + affine[2, 2] * np.arange(count)
    return (heights >= kept[0] - half) & (heights <= kept[1] + half)
