"""A scan's mask layers: read, checked against the scan, and put on every level of the store."""

from dataclasses import dataclass, field

import numpy as np

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.source import MaskSource, ScanSource
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.masks import grids
from uniferum.preprocessing.masks.checks import hold_against, hold_spheres_against, outline
from uniferum.preprocessing.masks.files import RawMask, read_layer
from uniferum.preprocessing.masks.values import TOTALSEGMENTATOR
from uniferum.preprocessing.volume import Volume


@dataclass
class FoundLayers:
    """What is known of a scan so far: quality flags, sentences on them, and where its lungs were seen."""

    flags: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lung_source: str = "none"


def read_layers(source: ScanSource, volume: Volume, found: FoundLayers, *, keep_bad: bool) -> list[RawMask]:
    """Every mask of a scan that has a file.

    Args:
        source: the scan.
        volume: its voxels, RAS+.
        found: takes the flag ``bad_mask:<layer>``; the other flags of a mask come with it.
        keep_bad: leave out a mask that cannot be used, instead of refusing the scan.

    Raises:
        UniferumError: a mask cannot be read, cannot be understood or contradicts the scan, or organ masks are given
            twice.
    """
    layers = []
    if sum(mask.layer == TOTALSEGMENTATOR for mask in source.masks) > 1:
        subject = f"{source.scan_id}: masks"
        raise UniferumError(subject, must="name TotalSegmentator's output once", cure="which of the two is meant?")
    for mask in source.masks:
        if mask.path is None:
            continue
        try:
            layers.append(read_layer(mask, source=source, like=volume))
        except UniferumError as error:
            _leave_out(mask, error, found, keep_bad=keep_bad)
    return layers


def check_layers(
    source: ScanSource,
    raw_masks: list[RawMask],
    volume: Volume,
    small: Volume,
    body: np.ndarray | None,
    found: FoundLayers,
    *,
    keep_bad: bool,
) -> list[RawMask]:
    """Hold every mask, and every sphere, against the scan's own anatomy.

    Args:
        source: the scan.
        raw_masks: of :func:`read_layers`.
        volume: its voxels, RAS+.
        small: block means of it.
        body: the largest soft-tissue component on them.
        found: takes the masks' flags and notes.
        keep_bad: leave out a mask that cannot be used, instead of refusing the scan.

    Returns:
        the masks that can be used.

    Raises:
        UniferumError: a mask has no voxel inside the scan.
    """
    inside = None if body is None or not source.masks else outline(body).view(np.uint8)
    kept = []
    for raw in raw_masks:
        try:
            kept.append(hold_against(raw, volume, small, inside))
        except UniferumError as error:
            _leave_out(raw.source, error, found, keep_bad=keep_bad)
    for raw in kept:
        found.flags += raw.flags
        found.notes += raw.notes
    for mask in (mask for mask in source.masks if mask.path is None):
        said = hold_spheres_against(mask, volume, small, inside)
        found.flags += [f"{flag}:{mask.layer}" for flag in said]
        found.notes += [f"mask {mask.layer}: {sentence}" for sentence in said.values()]
    return kept


def _leave_out(mask: MaskSource, error: UniferumError, found: FoundLayers, *, keep_bad: bool) -> None:
    """Raise the error, or go on without the mask and say why, without the names of files."""
    if not keep_bad:
        raise error
    found.flags.append(f"bad_mask:{mask.layer}")
    cure = f" ({error.cure})" if error.cure else ""
    found.notes.append(f"mask {mask.layer}: left out; it must {error.must}{cure}")


def layers_on_grids(
    source: ScanSource,
    raw_masks: list[RawMask],
    affines: dict[str, np.ndarray],
    kept: tuple[float, float],
    geometry: Geometry,
    found: FoundLayers,
) -> tuple[dict[str, dict[str, np.ndarray]], int]:
    """Layer to level to uint8, nothing outside the kept heights; and how many structures were kept as one voxel.

    Several masks of one binary layer (one file a nodule) are laid together. A layer that had voxels and has none on a
    level is flagged ``lost_mask:<layer>``.
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
            there = layers.setdefault(layer, {})
            there[level] = np.maximum(there[level], ids) if level in there else ids
            saved += count if level == next(iter(affines)) else 0
    _flag_lost(source, raw_masks, layers, found)
    return layers, saved


def _flag_lost(
    source: ScanSource, raw_masks: list[RawMask], layers: dict[str, dict[str, np.ndarray]], found: FoundLayers
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
            found.flags.append(f"lost_mask:{layer}")
            where = f"the kept heights and the box (level {', '.join(lost)})"
            found.notes.append(f"mask {layer}: of {had} in the file none lies within {where}")


def within(affine: np.ndarray, count: int, kept: tuple[float, float]) -> np.ndarray:
    """Which slices of a grid lie between the kept heights, half a slice of tolerance included."""
    half = affine[2, 2] / 2
    heights = affine[2, 3] + affine[2, 2] * np.arange(count)
    return (heights >= kept[0] - half) & (heights <= kept[1] + half)
