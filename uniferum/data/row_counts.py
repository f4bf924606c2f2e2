"""How many rows of every kind a training has, by cohort and label: planned from the stores' tables, or counted.

Invariant: the plan gives the numbers that :func:`uniferum.data.sampling.training_table` then has; of organ rows it
knows which scans have masks, not which structures a mask shows.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uniferum.data.content import TRAINING
from uniferum.data.organ_counts import OrganCounts, drawn
from uniferum.data.organ_rows import MaskRows, nodule_rows, organ_rows
from uniferum.data.settings import SamplingConfig
from uniferum.data.vocabulary import NODULE

if TYPE_CHECKING:
    import pandas as pd

    from uniferum.data.content import Content
    from uniferum.data.prepared import PreparedCohort

SEGMENTED = ("organ", NODULE)
"""Groups whose rows have a mask as their target."""


@dataclass(frozen=True)
class PlannedRows:
    """Rows of one cohort's training split.

    Attributes:
        cohort: its name.
        scans: training scans.
        labels: label to its negative and positive rows; labels without a row are left out.
        masks: organ or nodule rows; ``None`` without SEG.
        organs: how many organ rows are wanted, counted in both ways; ``None`` without organ rows.
    """

    cohort: str
    scans: int
    labels: Mapping[str, tuple[int, int]]
    masks: MaskRows | None = None
    organs: OrganCounts | None = None

    @property
    def negative(self) -> int:
        """Rows with a negative target."""
        return sum(negative for negative, _ in self.labels.values())

    @property
    def positive(self) -> int:
        """Rows with a positive target."""
        return sum(positive for _, positive in self.labels.values())


def planned_rows(cohort: "Content | PreparedCohort", config: SamplingConfig, *, segmentation: bool) -> PlannedRows:
    """What a training reads of one of its cohorts, as :meth:`for_training` gives it; no scan file is opened."""
    counts = cohort.label_counts(TRAINING)
    labels = {}
    for label in cohort.vocabulary.trainable(cohort.name):
        kept = drawn(*counts.get(label, (0, 0)), balance=config.balance)
        if any(kept):
            labels[label] = kept
    rows = sum(map(sum, labels.values()))
    scans = len(cohort.scans_in(TRAINING))
    if not segmentation:
        return PlannedRows(cohort.name, scans, labels)
    organs = OrganCounts(cohort.name, rows, scans, config)
    return PlannedRows(cohort.name, scans, labels, organ_rows(cohort, organs.wanted), organs)


def planned_nodules(cohort: "Content | PreparedCohort", config: SamplingConfig) -> PlannedRows:
    """What a training with SEG reads of the cohort of nodules."""
    rows = nodule_rows(cohort, config.luna_factor)
    return PlannedRows(cohort.name, rows.scans, {}, rows)


def counted_rows(table: "pd.DataFrame") -> dict[str, Any]:
    """Rows of a training table: cohort to kind to label; of classification labels positive and negative rows.

    Returns:
        ``{"CTRATE": {"classification": {"emphysema": {"positive": 12, "negative": 12}}, "organ": {"heart": 2}}}``
        in the order of the table; kinds without a row are left out.
    """
    found: dict[str, Any] = {}
    columns = (table[name].tolist() for name in ("cohort", "group", "label", "target"))
    for (cohort, group, label, target), count in Counter(
        (cohort, group, label, "" if group in SEGMENTED else target)
        for cohort, group, label, target in zip(*columns, strict=True)
    ).items():
        kinds = found.setdefault(cohort, {})
        if group in SEGMENTED:
            kinds.setdefault(group, {})[label] = count
        else:
            both = kinds.setdefault("classification", {}).setdefault(label, {"positive": 0, "negative": 0})
            both["positive" if target == 1 else "negative"] += count
    return found
