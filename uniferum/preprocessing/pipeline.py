"""Prepare a scan in the paper's order (3.5): HU, clip, body, hull centre, lung limits, 1 mm, box; training level.

Invariant: every voxel of a level is interpolated once from the raw scan (the training level averages the full level),
and every mask once from its own grid.
"""

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from pydantic import model_validator

from uniferum.config import Section
from uniferum.errors import UniferumError
from uniferum.preprocessing import body as bodies
from uniferum.preprocessing import lungs, orientation, resampling
from uniferum.preprocessing.flags import ORIENTATION_DOUBTFUL
from uniferum.preprocessing.formats.intensities import clip_in_place
from uniferum.preprocessing.formats.load import read_volume
from uniferum.preprocessing.formats.source import ScanSource
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.masks.files import RawMask
from uniferum.preprocessing.masks.layers import ScanQuality, check_layers, layers_on_grids, read_layers, within
from uniferum.preprocessing.volume import Volume

# Differences of the released code from the paper's text: no upper limit of soft tissue, no hull, the volume is cut to a
# box around the component's centre, no margin around the lungs, and their last slice is lost. It trains on the volume
# of 1 mm, so that level is stored too.
_RELEASED: dict[str, Any] = {
    "soft_tissue_hu": (-150, None),
    "hull": False,
    "cut_to_body": True,
    "lung_margin_mm": 0.0,
    "keep_last_lung_slice": False,
    "find_lungs": False,
    "levels": ("train", "full"),
}


class PreparationConfig(Section):
    """How raw scans are prepared.

    Attributes:
        preset: ``paper`` (the text of 3.5) or ``released`` (the released code); explicit keys have priority.
        geometry: the prepared grids.
        hu_clip: limits to which HU are clipped (paper 3.5).
        soft_tissue_hu: HU range of the body (paper 3.5: -150 to 250).
        hull: centre on the convex hulls of the slices (paper 3.5), not on the component itself (released code).
        cut_to_body: set to air what lies outside the smallest centred box around the body (released code).
        lung_margin_mm: height kept beyond the lungs (paper 3.5: 5 mm).
        keep_last_lung_slice: ``false`` repeats the off-by-one error of the released code.
        find_lungs: find lungs by threshold if no mask contains them.
        lung_layers: names of binary mask layers that are lungs.
        exclude_without_lung: refuse a scan without a lung; otherwise it is flagged and keeps its whole height.
        body_spacing_mm: size of the block means on which body and lungs are searched.
        levels: levels to store; the paper's grid needs only the training level, a seventh of the size of both.
        keep_with_bad_mask: keep a scan without a mask that cannot be used, and flag it ``bad_mask:<layer>``; otherwise
            the scan is refused.
    """

    preset: Literal["paper", "released"] = "paper"
    geometry: Geometry = Geometry()
    hu_clip: tuple[int, int] = (-1000, 1000)
    soft_tissue_hu: tuple[float, float | None] = (-150, 250)
    hull: bool = True
    cut_to_body: bool = False
    lung_margin_mm: float = 5.0
    keep_last_lung_slice: bool = True
    find_lungs: bool = True
    lung_layers: tuple[str, ...] = ("lungs", "lung")
    exclude_without_lung: bool = False
    body_spacing_mm: float = 3.0
    levels: tuple[Literal["train", "full"], ...] = ("train",)
    keep_with_bad_mask: bool = False

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, values: Any) -> Any:
        is_released = isinstance(values, dict) and values.get("preset") == "released"
        return {**_RELEASED, **values} if is_released else values

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.soft_tissue_hu
        if self.hu_clip[0] >= self.hu_clip[1] or (high is not None and low >= high):
            raise ValueError("hu_clip and soft_tissue_hu must each be a lower and a higher limit")
        if not self.levels or self.body_spacing_mm <= 0 or self.lung_margin_mm < 0:
            raise ValueError("levels must not be empty, body_spacing_mm positive, lung_margin_mm not negative")
        return self


@dataclass(frozen=True)
class PreparedScan:
    """A scan and its masks on the prepared grids.

    Attributes:
        levels: level name (``train``, ``full``) to int16 HU, axes x y z.
        masks: layer name to level name to uint8.
        affine: level name to the affine (voxel index to RAS mm, 4 x 4).
        flags: quality flags, sorted; see docs/store.md.
        centre_mm: centre of the box, RAS mm of the raw scan.
        lung_source: ``mask``, ``threshold`` or ``none``.
        z_range_mm: lowest and highest kept height, RAS mm.
        kept_voxels: number of structures that became smaller than a voxel and were kept as one voxel.
        notes: the flags in sentences with numbers.
    """

    scan_id: str
    levels: dict[str, np.ndarray]
    masks: dict[str, dict[str, np.ndarray]]
    affine: dict[str, np.ndarray]
    flags: tuple[str, ...]
    centre_mm: tuple[float, float, float]
    lung_source: str
    z_range_mm: tuple[float, float]
    spacing_raw_mm: tuple[float, float, float]
    shape_raw: tuple[int, int, int]
    kept_voxels: int = 0
    notes: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """All fields except the arrays, as JSON values."""
        return {
            "scan_id": self.scan_id,
            "affine": {level: affine.tolist() for level, affine in self.affine.items()},
            "flags": list(self.flags),
            "notes": list(self.notes),
            "centre_mm": list(self.centre_mm),
            "lung_source": self.lung_source,
            "z_range_mm": list(self.z_range_mm),
            "spacing_raw_mm": [round(mm, 4) for mm in self.spacing_raw_mm],
            "shape_raw": list(self.shape_raw),
            "kept_voxels": self.kept_voxels,
        }


def prepare(source: ScanSource, config: PreparationConfig) -> PreparedScan:
    """Read one scan and resample it and its masks to the prepared grids.

    Raises:
        UniferumError: the scan or a mask of it cannot be read, or it has no lung and the config excludes such scans.

    Examples:
        >>> import uniferum
        >>> from uniferum.preprocessing.formats.source import ScanSource
        >>> from uniferum.preprocessing.pipeline import PreparationConfig
        >>> prepared = uniferum.prepare(ScanSource(scan_id="one", path=scan), PreparationConfig())
        >>> prepared.levels["train"].shape
        (276, 168, 128)
    """
    volume = read_volume(source)
    quality = ScanQuality(list(volume.flags), list(volume.notes))
    clip_in_place(volume.hu, *config.hu_clip)
    raw_masks = read_layers(source, volume, quality, keep_bad=config.keep_with_bad_mask)
    small = bodies.reduced(volume, config.body_spacing_mm)
    body = bodies.largest_soft_tissue(small.hu, *config.soft_tissue_hu)
    keep_bad = config.keep_with_bad_mask
    raw_masks = check_layers(source, raw_masks, volume, small, body, quality, keep_bad=keep_bad)
    limits = _lung_limits(raw_masks, small, body, config, quality)
    if limits is None and config.exclude_without_lung:
        raise UniferumError(source.scan_id, must="show a lung", cure="or set exclude_without_lung: false")
    low, high = _kept_heights(volume, limits, config)
    if limits is not None:
        quality.flags += _lung_flags(limits, volume, config)
    x, y = _centre_xy(volume, small, body, config, quality)
    quality.flags += _orientation_flags(raw_masks, small, config, quality)
    centre = (x, y, (low + high) / 2)
    affine = {level: config.geometry.affine(level, centre) for level in ("train", "full")}
    stored = {level: affine[level] for level in config.levels}
    full = _full_level(volume, affine["full"], (low, high), config)
    if config.cut_to_body and body is not None:
        _cut_to_body(full, affine["full"], small, body, config)
    made = {"full": full, "train": training_level(full, config.geometry)}
    layers, kept = layers_on_grids(source, raw_masks, stored, (low, high), config.geometry, quality)
    return PreparedScan(
        scan_id=source.scan_id,
        levels={level: made[level] for level in config.levels},
        masks=layers,
        affine=stored,
        flags=tuple(sorted(set(quality.flags))),
        centre_mm=centre,
        lung_source=quality.lung_source,
        z_range_mm=(low, high),
        spacing_raw_mm=volume.spacing_mm,
        shape_raw=volume.shape,
        kept_voxels=kept,
        notes=tuple(dict.fromkeys(quality.notes)),
    )


def training_level(full: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Average the full level over areas of the centred crop's grid, continued to the margins of the box.

    A window covers every full voxel that its cell touches, like ``torch.nn.functional.interpolate(mode="area")``, with
    which the released code resizes: the middle ``model_shape`` voxels are its input.
    """
    windows = []
    for box, crop, count, margin in zip(
        geometry.box_shape, geometry.crop_shape, geometry.model_shape, geometry.level_margin, strict=True
    ):
        cells = np.arange(-margin, count + margin, dtype=np.int64)
        first = (box - crop) // 2
        windows.append((first + cells * crop // count, first - (-(cells + 1) * crop // count)))
    return resampling.area_pool(full, tuple(windows))


def _lung_limits(
    raw_masks: list[RawMask],
    small: Volume,
    body: np.ndarray | None,
    config: PreparationConfig,
    quality: ScanQuality,
) -> tuple[float, float] | None:
    """Heights of the lungs' lower and upper end in mm, without margin (paper 3.5: "the top/bottom of the lung")."""
    for mask in raw_masks:
        multi = mask.source.layer == "totalsegmentator"
        if multi or mask.source.layer in config.lung_layers:
            ids = lungs.LUNG_IDS if multi else (1,)
            limits = lungs.limits_from_mask(mask.ids, mask.affine, ids)
            if limits is not None and lungs.holds_air(mask.ids, mask.affine, ids, small):
                quality.lung_source = "mask"
                return limits
            if limits is not None:
                quality.flags.append("lung_mask_not_air")
    if config.find_lungs and body is not None:
        found_lungs = lungs.find_lungs(small, body)
        if found_lungs is not None:
            quality.lung_source = "threshold"
            return lungs.limits_from_found(found_lungs, small.affine)
    quality.flags.append("no_lung")
    return None


def _kept_heights(volume: Volume, limits: tuple[float, float] | None, config: PreparationConfig) -> tuple[float, float]:
    """Heights of the lowest and highest kept slice: the lungs with their margin, within the field of view."""
    bottom, top, step = _heights(volume)
    if limits is None:
        return (bottom, top)
    highest = limits[1] if config.keep_last_lung_slice else limits[1] - step
    low = max(bottom, limits[0] - config.lung_margin_mm)
    high = min(top, highest + config.lung_margin_mm)
    return (low, high) if low < high else (bottom, top)


def _heights(volume: Volume) -> tuple[float, float, float]:
    """Heights in mm of the centres of the lowest and highest slice, and the slice spacing."""
    slices = np.array([[(n - 1) / 2 for n in volume.shape[:2]] + [k, 1] for k in (0, volume.shape[2] - 1)])
    bottom, top = (volume.affine @ slices.T)[2].tolist()
    return bottom, top, float(volume.affine[2, 2])


def _lung_flags(limits: tuple[float, float], volume: Volume, config: PreparationConfig) -> list[str]:
    bottom, top, step = _heights(volume)
    near = max(step / 2, config.body_spacing_mm)
    cut = limits[0] < bottom + near or limits[1] > top - near
    exceed = limits[1] - limits[0] > config.geometry.box_mm[2]
    return ["lungs_cut"] * cut + ["lungs_exceed_box"] * exceed


def _centre_xy(
    volume: Volume, small: Volume, body: np.ndarray | None, config: PreparationConfig, quality: ScanQuality
) -> tuple[float, float]:
    middle = (np.asarray(small.shape) - 1) / 2
    if body is None:
        quality.flags.append("no_body")
    else:
        middle[:2] = bodies.hull_centre(body) if config.hull else bodies.component_centre(body)
        if bodies.touches_sides(body):
            quality.flags.append("field_of_view_cut")
    x, y, _ = (small.affine @ [*middle, 1.0])[:3]
    return (float(x), float(y))


def _orientation_flags(
    raw_masks: list[RawMask], small: Volume, config: PreparationConfig, quality: ScanQuality
) -> list[str]:
    masks = [] if "lung_mask_not_air" in quality.flags else raw_masks
    labels = orientation.labels_of(masks, config.lung_layers, lungs_seen=quality.lung_source == "mask")
    doubts = orientation.doubts(small, labels)
    quality.notes += doubts
    return [ORIENTATION_DOUBTFUL] * bool(doubts)


def _full_level(volume: Volume, affine: np.ndarray, kept: tuple[float, float], config: PreparationConfig) -> np.ndarray:
    # On the paper's grid of 1 mm this is linear interpolation; a coarser grid (the demo's) averages skipped voxels.
    x, y, z = (
        max(1, int(to / max(of, 1.0) + 1e-6))
        for to, of in zip(config.geometry.spacing_mm, volume.spacing_mm, strict=True)
    )
    volume = bodies.block_means(volume, (x, y, z))
    matrix = np.linalg.inv(volume.affine) @ affine
    air = config.hu_clip[0]
    full = resampling.linear(volume.hu, matrix, config.geometry.box_shape, fill=air)
    inside = within(affine, config.geometry.box_shape[2], kept)
    full[:, :, ~inside] = air
    return full


def _cut_to_body(
    full: np.ndarray, affine: np.ndarray, small: Volume, body: np.ndarray, config: PreparationConfig
) -> None:
    """Replace everything outside the smallest centred box around the body by air (released code)."""
    for axis in (0, 1):
        reach = np.flatnonzero(body.any(axis=tuple(a for a in range(3) if a != axis)))
        edges = small.affine[axis, 3] + small.affine[axis, axis] * (reach[[0, -1]] + [-0.5, 0.5])
        centre = affine[axis, 3] + affine[axis, axis] * (full.shape[axis] - 1) / 2
        half = np.abs(edges - centre).max()
        position = affine[axis, 3] + affine[axis, axis] * np.arange(full.shape[axis])
        outside = np.abs(position - centre) > half
        full[(slice(None),) * axis + (outside,)] = config.hu_clip[0]
