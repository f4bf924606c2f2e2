"""One micro-batch: volumes, which are encoded once each, and the rows (prompt, target) that read them.

Rows of classification and of segmentation may be mixed (paper 3.2); a missing target is NaN or absent, and adds no
loss. ``Batch.to`` is the only way to a device: resampling that is left to the device happens there.
"""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float32, Int64


@runtime_checkable
class PendingBatch(Protocol):
    """Work of a batch that is left to the device: the resampling of its volumes and masks."""

    def on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute volumes (V, 1, X, Y, Z) and segmentation targets (S, P, u^3), both float32, on ``device``."""
        ...


@dataclass(frozen=True)
class Batch:
    """V volumes and R rows that read them, of which S are segmentation rows.

    Attributes:
        volume: (V, 1, X, Y, Z) intensities HU / 2000 + 0.5; empty while ``pending`` holds the volumes.
        row_volume: (R,) index of the volume that a row reads.
        prompts: (R) prompts of the rows.
        labels: (R) label or structure ids of the rows.
        label_target: (R,) 0 or 1; NaN on segmentation rows.
        seg_rows: (S,) indices of the segmentation rows among the R rows.
        seg_target: (S, P, u^3) max-pooled mask patches in token order: 0 or 1; fractions if masks are interpolated.
        task_ids: (R) names of the rows in the task table.
        volume_ids: (V) names of the volumes, ``cohort/scan``.
        pending: resampling that is left to the device, or None.
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
        """Number of rows."""
        return len(self.prompts)

    def to(self, device: torch.device | str, *, non_blocking: bool = True) -> "Batch":
        """Move the batch to ``device``, and do there the resampling that was left to it."""
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
