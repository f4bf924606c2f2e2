"""Count the training rows of a run for its record."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from uniferum.data.organ_counts import OrganCounts
from uniferum.data.organ_rows import MaskRows, nodule_rows, organ_rows
from uniferum.data.row_counts import SEGMENTED, counted_rows
from uniferum.run.build import Workbench
from uniferum.run.config import NODULE_COHORT
from uniferum.run.stores import TRAINING_SPLIT

if TYPE_CHECKING:
    import pandas as pd


def mask_rows(bench: Workbench, table: "pd.DataFrame") -> list[MaskRows]:
    """Compare the organ and nodule rows of a training table with the requested numbers; empty without SEG."""
    config, sampling = bench.config, bench.config.sampling
    if not config.segmentation:
        return []
    sizes = table.groupby(["cohort", "group"], sort=False).size().to_dict()
    count = {key: int(size) for key, size in sizes.items()}
    compared = []
    for name in config.training_cohorts:
        organs = count.get((name, "organ"), 0)
        asked = sum(size for (own, group), size in count.items() if own == name and group not in SEGMENTED)
        cohort = bench.cohorts[name]
        wanted = OrganCounts(name, asked, len(cohort.scans_in(TRAINING_SPLIT)), sampling).wanted
        compared.append(organ_rows(cohort, wanted, organs))
    if sampling.luna_factor:
        nodules = count.get((NODULE_COHORT, "nodule"), 0)
        compared.append(nodule_rows(bench.cohorts[NODULE_COHORT], sampling.luna_factor, nodules))
    return compared


def row_record(bench: Workbench, table: "pd.DataFrame") -> dict[str, Any]:
    """Count a training table for ``result.json``: rows by kind, cohort and label, and the requested mask rows."""
    return {
        "labels": counted_rows(table),
        "masks": [asdict(rows) for rows in mask_rows(bench, table)],
        "missing_masks": bench.config.sampling.missing_masks,
    }
