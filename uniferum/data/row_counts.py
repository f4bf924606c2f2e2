"""Number of training rows of each kind, by cohort and label: planned from the stores' tables, or counted.

Invariant: the planned numbers equal those of :func:`uniferum.data.sampling.training_table`, except for organ rows: the
tables show which scans have masks, but not which structures are in a mask.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uniferum.data.content import TRAINING
from uniferum.data.organ_counts import OrganCounts, drawn
from uniferum.data.organ_rows import MaskRows, nodule_rows, organ_rows
from uniferum.data.reports import REPORT
from uniferum.data.settings import SamplingConfig
from uniferum.data.vocabulary import NODULE

if TYPE_CHECKING:
    import pandas as pd

    from uniferum.data.content import Content
    from uniferum.data.prepared_cohort import PreparedCohort

SEGMENTED = ("organ", NODULE)
"""Groups of rows whose target is a mask."""
WITHOUT_LABEL = (*SEGMENTED, REPORT)
"""Groups of rows without a label."""


@dataclass(frozen=True)
class PlannedRows:
    """Planned rows of one cohort's training split.

    Attributes:
        cohort: name of the cohort.
        scans: number of training scans.
        labels: label to its numbers of negative and positive rows; labels without rows are absent.
        masks: number of organ or nodule rows; ``None`` without SEG.
        organs: requested number of organ rows, in both ways of counting; ``None`` without organ rows.
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
    """Plan the rows of a cohort given by :meth:`for_training`; no scan file is opened."""
    counts = cohort.label_counts(TRAINING)
    labels = {}
    for label in cohort.vocabulary.trainable(cohort.name, config.label_count):
        label_rows = drawn(*counts.get(label, (0, 0)), balance=config.balance)
        if any(label_rows):
            labels[label] = label_rows
    rows = sum(map(sum, labels.values()))
    scans = len(cohort.scans_in(TRAINING))
    if not segmentation:
        return PlannedRows(cohort.name, scans, labels)
    organs = OrganCounts(cohort.name, rows, scans, config)
    return PlannedRows(cohort.name, scans, labels, organ_rows(cohort, organs.wanted), organs)


def planned_nodules(cohort: "Content | PreparedCohort", config: SamplingConfig) -> PlannedRows:
    """Plan the rows of the nodule cohort in a training with SEG."""
    rows = nodule_rows(cohort, config.luna_factor)
    return PlannedRows(cohort.name, rows.scans, {}, rows)


def counted_rows(table: "pd.DataFrame") -> dict[str, Any]:
    """Count the rows of a training table by cohort, kind and label; classification labels by positive and negative.

    Returns:
        ``{"CTRATE": {"classification": {"emphysema": {"positive": 12, "negative": 12}}, "organ": {"heart": 2}}}``
        in the order of the table; kinds without rows are absent.
    """
    counts: dict[str, Any] = {}
    columns = (table[name].tolist() for name in ("cohort", "group", "label", "target"))
    for (cohort, group, label, target), count in Counter(
        (cohort, group, label, "" if group in WITHOUT_LABEL else target)
        for cohort, group, label, target in zip(*columns, strict=True)
    ).items():
        kinds = counts.setdefault(cohort, {})
        if group in WITHOUT_LABEL:
            kinds.setdefault(group, {})[label] = count
        else:
            both = kinds.setdefault("classification", {}).setdefault(label, {"positive": 0, "negative": 0})
            both["positive" if target == 1 else "negative"] += count
    return counts


def positive_weights(table: "pd.DataFrame") -> dict[str, float]:
    """Ratio of negative to positive rows of each label of a training table; labels with one class are absent."""
    known = table.loc[table["target"].notna(), ["label", "target"]]
    counts = known.groupby("label", sort=True)["target"].agg(["sum", "count"])
    return {
        str(label): (count - positive) / positive
        for label, positive, count in counts.itertuples()
        if 0 < positive < count
    }
