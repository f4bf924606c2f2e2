"""One micro-batch: volumes encoded once each, and the rows (prompt, target) that read them.

Rows of classification and of segmentation mix (paper 3.2); a target that is missing is NaN or simply not there, and
gives no loss. ``Batch.to`` is the only way to a device: where resampling is left to the device, it happens there.
"""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float32, Int64


@runtime_checkable
class PendingBatch(Protocol):
    """Work that a batch leaves for the device: the resampling of its volumes and masks."""

    def on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Volumes (V, 1, X, Y, Z) and segmentation targets (S, P, u^3), both float32, on ``device``."""
        ...


@dataclass(frozen=True)
class Batch:
    """V volumes, R rows that read them, S of which are segmentation rows.

    Attributes:
        volume: (V, 1, X, Y, Z) intensities HU / 2000 + 0.5; no volume at all while ``pending`` holds them.
        row_volume: (R,) which volume a row reads.
        prompts: (R) the rows' texts.
        labels: (R) the rows' label or structure ids.
        label_target: (R,) 0 or 1; NaN on segmentation rows.
        seg_rows: (S,) the segmentation rows among the R.
        seg_target: (S, P, u^3) max-pooled mask patches in token order: 0 or 1, or between where masks are interpolated.
        task_ids: (R) the rows' names in the task table.
        volume_ids: (V) the volumes' names, ``cohort/scan``.
        pending: resampling left for the device, or None.
    """

    volume: Float32[torch.Tensor, "V 1 X Y Z"]
    row_volume: Int64[torch.Tensor, " R"]
    prompts: list[str]
    labels: list[str]
    label_target: Float[torch.Tensor, " R"]
    seg_rows: Int64[torch.Tensor, " S"]
    seg_target: Float[torch.Tensor, "S P U"]
    task_ids: list[str]
    volume_ids: list[str]
    pending: PendingBatch | None = None

    @property
    def rows(self) -> int:
        """How many rows the batch has."""
        return len(self.prompts)

    def to(self, device: torch.device | str, *, non_blocking: bool = True) -> "Batch":
        """The batch on ``device``; resampling that was left for the device is done now, there."""
        device = torch.device(device)
        volume, seg_target = self.volume, self.seg_target
        if self.pending is not None:
            volume, seg_target = self.pending.on(device)
        elif device.type == "cpu" and volume.device.type == "cpu":
            return self
        return replace(
            self,
            volume=volume.to(device, non_blocking=non_blocking),
            row_volume=self.row_volume.to(device, non_blocking=non_blocking),
            label_target=self.label_target.to(device, non_blocking=non_blocking),
            seg_rows=self.seg_rows.to(device, non_blocking=non_blocking),
            seg_target=seg_target.to(device, non_blocking=non_blocking),
            pending=None,
        )
