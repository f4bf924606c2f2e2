"""Compare predicted masks with the stored ones by counting voxels, using the encodings of a running prediction.

A volume is encoded once for both its labels and its masks.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool
from torch import Tensor

from uniferum.data.loading.batch import Batch
from uniferum.data.tasks import group_of_structure
from uniferum.data.vocabulary import Structure
from uniferum.evaluation.mask_scores import mask_table
from uniferum.model.base import Model

Targets = Callable[[str, str], tuple[list[Structure], Bool[np.ndarray, "S P U"]]]
"""Function from cohort and scan id to the scan's structures and targets, like ``MaskTargets.of``."""


@dataclass
class MaskCounter:
    """Counts masks after each batch of a prediction (``also`` of :func:`uniferum.evaluation.predict.predict`).

    Attributes:
        targets: the stored masks.
        patients: volume id to cohort, scan id and patient id of the volumes to score; other volumes are skipped.
        split: the split of these volumes.
        answered: whether the model predicts masks; None before the first volume.
        rows: one per scored scan and structure.
    """

    targets: Targets
    patients: dict[str, tuple[str, str, str]]
    split: str
    answered: bool | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, model: Model, visual: Tensor, batch: Batch, rows_at_once: int) -> None:
        """Count the masks of the volumes of a batch."""
        for index, volume_id in enumerate(batch.volume_ids):
            if volume_id in self.patients and self.answered is not False:
                self._count(model, visual, index, volume_id, rows_at_once)

    def table(self) -> pd.DataFrame:
        """The rows of ``masks.parquet``."""
        return mask_table(self.rows)

    def _count(self, model: Model, visual: Tensor, index: int, volume_id: str, rows_at_once: int) -> None:
        cohort, scan_id, patient_id = self.patients[volume_id]
        structures, targets = self.targets(cohort, scan_id)
        for start in range(0, len(structures), rows_at_once):
            requested = structures[start : start + rows_at_once]
            counts = self._counts(model, visual, index, requested, targets[start : start + rows_at_once])
            facts = {"cohort": cohort, "split": self.split, "volume_id": volume_id, "scan_id": scan_id}
            for one, (target, drawn, overlap) in zip(requested, counts, strict=False):
                words = {"patient_id": patient_id, "group": group_of_structure(one), "structure": one.id}
                numbers = {"target_voxels": target, "drawn_voxels": drawn, "overlap_voxels": overlap}
                self.rows.append({**facts, **words, **numbers})

    def _counts(
        self,
        model: Model,
        visual: Tensor,
        index: int,
        requested: Sequence[Structure],
        targets: Bool[np.ndarray, "S P U"],
    ) -> list[list[int]]:
        """Count voxels of target, prediction and overlap for each structure; empty if the model predicts no masks."""
        row_volume = torch.full((len(requested),), index, dtype=torch.int64, device=visual.device)
        output = model.read(visual, row_volume, [one.prompt for one in requested], [one.id for one in requested])
        self.answered = output.mask_logit is not None
        if output.mask_logit is None:
            return []
        drawn = output.mask_logit > 0
        target = torch.from_numpy(targets).to(drawn.device)
        counts = torch.stack([part.flatten(1).sum(1) for part in (target, drawn, target & drawn)], dim=1)
        return counts.tolist()


def spread_out(names: Collection[str], most: int | None) -> list[str]:
    """Select at most ``most`` names, evenly spaced in sorted order; None: all."""
    ordered = sorted(names)
    if most is None or most >= len(ordered):
        return ordered
    return [ordered[index * len(ordered) // most] for index in range(most)]
