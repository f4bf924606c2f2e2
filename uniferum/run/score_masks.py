"""Score the masks of a run that is trained with ``SEG``, and summarise them for its record.

A validation scores the masks of a few scans (``training.mask_scans``), the test all of them. Scans without stored masks
are counted separately; they are not scans without structures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from uniferum.atomic import write_atomically
from uniferum.data.loading.mask_targets import MaskTargets
from uniferum.data.loading.targets import TargetGrid
from uniferum.evaluation.mask_counts import MaskCounter, spread_out
from uniferum.evaluation.mask_scores import MaskScores, metric_values, score_masks
from uniferum.model.base import Model
from uniferum.run.build import Workbench
from uniferum.run_files import RunFiles

NO_MASKS = "the model predicts no masks"
NO_SCANS = "no scan has masks"
NO_STRUCTURE = "none of the scans with masks has both a label to be scored on and a structure in the model's field"


@dataclass(frozen=True)
class ScoredMasks:
    """The mask counts of one prediction, of all workers.

    Attributes:
        table: the rows of ``masks.parquet``.
        scans: cohort to the number of scans of the split, of scans with masks, and of scored scans.
        answered: whether the model predicts masks.
    """

    table: pd.DataFrame
    scans: Mapping[str, Mapping[str, int]]
    answered: bool

    @cached_property
    def scores(self) -> MaskScores:
        """Mean scores by structure and by cohort."""
        return score_masks(self.table)

    def summary(self) -> list[dict[str, Any]]:
        """Make ``masks`` of ``result.json``: one entry per cohort, with a reason if no mask was scored."""
        by_cohort = {row["cohort"]: row for row in self.scores.cohorts.to_dict("records")}
        return [
            {"cohort": name, **counts, **(by_cohort.get(name) or self._empty(counts))}
            for name, counts in self.scans.items()
        ]

    def _empty(self, counts: Mapping[str, int]) -> dict[str, Any]:
        """The entry of a cohort without a scored mask."""
        reason = NO_STRUCTURE if counts["n_with_masks"] else NO_SCANS
        return {"n_structures": 0, "reason": reason if self.answered else NO_MASKS}


def mask_counter(
    bench: Workbench, model: Model, table: pd.DataFrame, split: str, *, most: int | None = None
) -> MaskCounter | None:
    """Make a counter of masks for the prediction of a table; None for a run without ``SEG``.

    Args:
        bench: the opened run.
        model: gives the grid of its masks.
        table: the tasks that are predicted; only the masks of their volumes are scored.
        split: the split of the table.
        most: number of scans per cohort; None: all.
    """
    if not bench.config.segmentation or most == 0:
        return None
    geometry = bench.config.geometry
    grid = TargetGrid.of(geometry.model_shape, model.tokens_shape, model.patch)
    targets = MaskTargets(bench.cohorts, geometry, bench.config.data.level, grid)
    patients: dict[str, tuple[str, str, str]] = {}
    for name, part in table.groupby("cohort", sort=False):
        cohort, volumes = bench.cohorts[str(name)], dict(zip(part["scan_id"], part["volume_id"], strict=True))
        owner = cohort.patients(split)
        for scan in spread_out([one for one in volumes if cohort.layers_of[one]], most):
            patients[volumes[scan]] = (str(name), scan, owner[scan])
    return MaskCounter(targets.of, patients, split)


def scored_masks(bench: Workbench, counter: MaskCounter, cohorts: Sequence[str]) -> ScoredMasks:
    """Collect the counts of all workers and the number of scans of each cohort."""
    parts = bench.workers.gather((counter.table(), counter.answered))
    table = pd.concat([part for part, _ in parts], ignore_index=True)
    scored = set(zip(table["cohort"].tolist(), table["scan_id"].tolist(), strict=True))
    scans = {name: _scans(bench, name, counter.split, sum(cohort == name for cohort, _ in scored)) for name in cohorts}
    return ScoredMasks(table, scans, all(answered is not False for _, answered in parts))


def validation_metrics(bench: Workbench, counter: MaskCounter | None) -> dict[str, float]:
    """Compute the mask scores of a validation, by cohort and structure; empty without masks."""
    if counter is None:
        return {}
    scored = scored_masks(bench, counter, bench.config.selection_cohorts)
    return metric_values(scored.scores, "validation") if len(scored.table) else {}


def write_masks(scored: ScoredMasks | None, files: RunFiles) -> None:
    """Write counts and means; without scored masks, remove the files of an earlier evaluation."""
    if scored is None or scored.table.empty:
        files.masks.unlink(missing_ok=True)
        files.mask_metrics.unlink(missing_ok=True)
        return
    table, means = scored.table, scored.scores.structures
    write_atomically(files.masks, lambda path: table.to_parquet(path, index=False))
    write_atomically(files.mask_metrics, lambda path: means.to_parquet(path, index=False))


def _scans(bench: Workbench, name: str, split: str, scored: int) -> dict[str, int]:
    cohort = bench.cohorts[name]
    scans = cohort.patients(split)
    return {
        "n_scans": len(scans),
        "n_with_masks": sum(bool(cohort.layers_of[scan]) for scan in scans),
        "n_scored": scored,
    }
