"""A scan's mask layers: read, checked against the scan, and put on every level of the store."""

from dataclasses import dataclass, field

import numpy as np

from uniferum.errors import UniferumError
from uniferum.preprocessing import masks
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.mask_files import read_mask
from uniferum.preprocessing.source import MaskSource, ScanSource
from uniferum.preprocessing.volume import Volume


@dataclass
class Found:
    """What is known of a scan so far: quality flags, sentences on them, and where its lungs were seen."""

    flags: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lung_source: str = "none"


@dataclass(frozen=True)
class RawMask:
    """A mask on its own grid: ids (or 0 and 1) with RAS+ axes."""

    source: MaskSource
    ids: np.ndarray
    affine: np.ndarray


def read_layers(source: ScanSource, volume: Volume, found: Found, *, keep_bad: bool) -> list[RawMask]:
    """Every mask of a scan that has a file.

    Args:
        source: the scan.
        volume: its voxels, RAS+.
        found: takes the flags ``empty_mask:<layer>`` and ``bad_mask:<layer>``.
        keep_bad: leave out a mask that cannot be used, instead of refusing the scan.

    Raises:
        UniferumError: a mask cannot be read or lies beside the scan.
    """
    layers = []
    for mask in source.masks:
        if mask.path is None:
            continue
        try:
            ids, affine = read_mask(mask, source=source, like=volume)
            _check_overlap(mask, ids, affine, volume)
        except UniferumError:
            if not keep_bad:
                raise
            found.flags.append(f"bad_mask:{mask.layer}")
            continue
        if not ids.any():
            found.flags.append(f"empty_mask:{mask.layer}")
        layers.append(RawMask(mask, ids, affine))
    return layers


def _check_overlap(mask: MaskSource, ids: np.ndarray, affine: np.ndarray, volume: Volume) -> None:
    """Refuse a mask whose grid lies wholly beside the scan: one of the two headers is wrong."""
    corner = np.linalg.inv(volume.affine) @ affine
    ends = np.array([[*np.array(ids.shape) * [a, b, c] - 0.5, 1] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    reach = (corner @ ends.T)[:3]
    apart = (reach.max(axis=1) < -0.5) | (reach.min(axis=1) > np.array(volume.shape) - 0.5)
    if apart.any():
        raise UniferumError(str(mask.path), must="overlap its scan", cure="the two headers contradict")


def layers_on_grids(
    source: ScanSource,
    raw_masks: list[RawMask],
    affines: dict[str, np.ndarray],
    kept: tuple[float, float],
    geometry: Geometry,
) -> tuple[dict[str, dict[str, np.ndarray]], int]:
    """Layer to level to uint8, nothing outside the kept heights; and how many structures were kept as one voxel."""
    layers: dict[str, dict[str, np.ndarray]] = {}
    saved = 0
    for level, affine in affines.items():
        shape = geometry.shape(level)
        made = {m.source.layer: masks.onto_grid(m.ids, m.affine, affine, shape) for m in raw_masks}
        drawn = (mask for mask in source.masks if mask.path is None)
        made |= {mask.layer: masks.draw_spheres(mask.spheres, affine, shape) for mask in drawn}
        outside = ~within(affine, shape[2], kept)
        for layer, (ids, count) in made.items():
            ids[:, :, outside] = 0
            layers.setdefault(layer, {})[level] = ids
            saved += count if level == next(iter(affines)) else 0
    return layers, saved


def within(affine: np.ndarray, count: int, kept: tuple[float, float]) -> np.ndarray:
    """Which slices of a grid lie between the kept heights, half a slice of tolerance included."""
    half = affine[2, 2] / 2
    heights = affine[2, 3] + affine[2, 2] * np.arange(count)
    return (heights >= kept[0] - half) & (heights <= kept[1] + half)
