"""Resample on the device: the host only decodes and transfers, torch's grid_sample does the rest.

Transform, windows and border are those of :mod:`uniferum.data.loading.resample`; noise comes from the device's random
generator, so it has the same distribution but other values.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float32, Int16, Int64, UInt8
from torch.nn import functional

from uniferum.data.loading.augmentation import Draw
from uniferum.data.loading.resample import (
    INTERCEPT,
    SLOPE,
    ResampleGrid,
    crop_grid,
    crop_offset,
    index_map,
    level_grid,
    output_grid,
)
from uniferum.data.loading.targets import TargetGrid
from uniferum.data.loading.transforms import UserTransforms
from uniferum.preprocessing.geometry import Geometry


@dataclass(frozen=True)
class DeviceResampling:
    """The data that a batch needs for resampling on the device.

    Attributes:
        sources: (V, level) HU.
        masks: (S, level) 1 inside the row's structure.
        mask_volume: (S,) index of the volume of each mask, whose transform is applied to the mask.
        draws: (V) augmentation of each volume.
        geometry: geometry of the stores.
        level: ``train`` or ``full``.
        outside: ``edge`` or ``air``.
        targets: division of masks into patches.
        linear_masks: whether masks are interpolated like images.
        stepwise: whether rotation and zoom are interpolated one after the other.
        transforms: transforms of the user, applied to every volume.
    """

    sources: Int16[torch.Tensor, "V a b c"]
    masks: UInt8[torch.Tensor, "S a b c"]
    mask_volume: Int64[torch.Tensor, " S"]
    draws: tuple[Draw, ...]
    geometry: Geometry
    level: str
    outside: str
    targets: TargetGrid
    linear_masks: bool = False
    stepwise: bool = False
    transforms: UserTransforms = field(default_factory=UserTransforms)

    def on(self, device: torch.device) -> tuple[Float32[torch.Tensor, "V 1 X Y Z"], Float32[torch.Tensor, "S P U"]]:
        """Compute volumes and segmentation targets on ``device``."""
        sources = self.sources.to(device, non_blocking=True)
        volume = torch.empty((len(self.draws), 1, *self.geometry.model_shape), device=device)
        for index, drawn in enumerate(self.draws):
            volume[index, 0] = self._image(sources[index], drawn)
        masks = self.masks.to(device, non_blocking=True)
        target = torch.empty((len(masks), self.targets.patches, self.targets.patch**3), device=device)
        for index, volume_index in enumerate(self.mask_volume.tolist()):
            target[index] = self._patches(masks[index], self.draws[volume_index])
        return volume, target

    def _image(self, source: torch.Tensor, drawn: Draw) -> torch.Tensor:
        image = self._resampled(source, drawn) * SLOPE + (INTERCEPT + drawn.offset)
        if drawn.noise_std:
            generator = torch.Generator(device=source.device).manual_seed(drawn.noise_seed)
            noise = torch.randn(image.shape, generator=generator, device=source.device)
            image = image.add_(noise, alpha=drawn.noise_std)
        return self.transforms(image, drawn.transform_seed) if self.transforms else image

    def _resampled(self, source: torch.Tensor, drawn: Draw) -> torch.Tensor:
        """Resample the source to the model's grid, in HU, float32."""
        stored, output = level_grid(self.geometry, self.level), output_grid(self.geometry)
        corner = None if drawn.moves else crop_offset(stored, output)
        if corner is not None:
            cut = tuple(slice(c, c + n) for c, n in zip(corner, output.shape, strict=True))
            return source[cut].float()
        movement = drawn.source_from_output()
        if self.stepwise and drawn.turns and drawn.zoom != 1.0:
            source = self._sampled(source, drawn.rotation(), stored, stored, "bilinear").round()
            movement = drawn.zoomed()
        if self.level == "train":
            return self._sampled(source, movement, stored, output, "bilinear")
        fine = self._sampled(source, movement, stored, crop_grid(self.geometry), "bilinear")
        return functional.interpolate(fine[None, None], size=output.shape, mode="area")[0, 0]

    def _patches(self, mask: torch.Tensor, drawn: Draw) -> torch.Tensor:
        stored, output = level_grid(self.geometry, self.level), output_grid(self.geometry)
        if self.linear_masks:
            coded = mask.to(torch.int16) * 2000 - 1000  # see resample_fractions
            sampled = (self._resampled(coded, drawn) * SLOPE + INTERCEPT).clamp(0.0, 1.0)
        else:
            sampled = self._sampled(mask, drawn.source_from_output(), stored, output, "nearest")
        pooled = functional.max_pool3d(sampled[None, None], self.targets.pool)[0, 0]
        if not self.linear_masks and not bool(pooled.any()):
            self._mark_nearest(mask, drawn, stored, output, pooled)
        (x, y, z), u = self.targets.tokens_shape, self.targets.patch
        return pooled.reshape(x, u, y, u, z, u).permute(0, 2, 4, 1, 3, 5).reshape(x * y * z, u**3)

    def _mark_nearest(
        self, mask: torch.Tensor, drawn: Draw, stored: ResampleGrid, output: ResampleGrid, pooled: torch.Tensor
    ) -> None:
        """Mark the voxel nearest to a structure that no output voxel hits, if it is in the field of view."""
        voxels = mask.nonzero().double()
        if not len(voxels):
            return
        middle = voxels[((voxels - voxels.mean(0)) ** 2).sum(1).argmin()].cpu().numpy()
        matrix, start = index_map(drawn.source_from_output(), stored, output)
        position = np.rint(np.linalg.solve(matrix, middle - start)).astype(int)
        if all(0 <= p < n for p, n in zip(position, output.shape, strict=True)):
            x, y, z = (int(p) // self.targets.pool for p in position)
            pooled[x, y, z] = 1.0

    def _sampled(
        self, source: torch.Tensor, movement: np.ndarray, stored: ResampleGrid, output: ResampleGrid, mode: str
    ) -> torch.Tensor:
        """Sample ``source`` at every voxel of ``output``; float32, (x, y, z)."""
        matrix, start = index_map(movement, stored, output)
        half_in = (np.asarray(stored.shape) - 1) / 2
        half_out = (np.asarray(output.shape) - 1) / 2
        # torch's coordinates run from -1 to 1 between the outermost voxel centres, with the last axis first.
        theta = np.concatenate(
            [matrix * half_out / half_in[:, None], ((matrix @ half_out + start) / half_in - 1)[:, None]], axis=1
        )
        theta = np.concatenate([theta[::-1, 2::-1], theta[::-1, 3:]], axis=1)
        grid = functional.affine_grid(
            torch.from_numpy(theta).to(source.device, torch.float32)[None], [1, 1, *output.shape], align_corners=True
        )
        # Air is 0 in the model's units, and torch pads with 0.
        air = self.outside == "air"
        shift = -1000.0 if mode == "bilinear" else 0.0
        padding = "zeros" if air else "border"
        value = functional.grid_sample(
            source.float()[None, None] - shift, grid, mode=mode, padding_mode=padding, align_corners=True
        )
        return value[0, 0] + shift
