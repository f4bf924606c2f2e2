"""Scores of masks in tables: one for each structure, and the mean over the structures of a cohort.

The paper prints no scores of masks. Cells that older versions scored have none, and the table says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import pandas as pd

from uniferum.evaluation.mask_scores import score_masks
from uniferum.evaluation.mask_words import MEANINGS, METRICS, mask_note
from uniferum.report.records import CellRecord, Score, read_parquet
from uniferum.report.tables.shared_lines import shared_lines

MEAN = "(mean)"
"""Name of the mean over the structures of a cohort; it sorts before the names of structures."""
ALL = "all"
SEG = "SEG"
NO_CELL = "No finished cell here was trained with SEG, so none has masks."
NOT_SCORED = "its masks were not scored, because an older version scored it; uniferum run evaluate scores it again"


def mask_metrics(record: CellRecord) -> pd.DataFrame:
    """Read ``mask_metrics.parquet``, one row for each structure; computed from the counts for recomputed cells.

    It is empty if no mask was scored.

    Raises:
        UniferumError: a file is unreadable, or missing although the record says that masks were scored.
    """
    if not any(row.get("n_structures") for row in record.result.get("masks") or ()):
        return pd.DataFrame()
    if record.recomputed is not None:
        return score_masks(read_parquet(record.files.masks)).structures
    return read_parquet(record.files.mask_metrics)


def structure_scores(record: CellRecord, metric: str) -> Iterator[Score]:
    """Yield the score of each structure; nothing if masks were not scored."""
    for row in mask_metrics(record).to_dict("records"):
        counts = {"n_cases": int(row["n_scans"]), "n_patients": int(row["n_patients"])}
        yield _score(record, str(row["cohort"]), str(row["group"]), str(row["structure"]), metric, row[metric], counts)


def cohort_scores(record: CellRecord, metric: str) -> Iterator[Score]:
    """Yield the unweighted mean over the structures of each cohort; nothing if the metric is not of masks."""
    if metric not in METRICS:
        return
    cohorts: dict[str, list[Score]] = {}
    for score in structure_scores(record, metric):
        cohorts.setdefault(score.cohort, []).append(score)
    for cohort, scores in cohorts.items():
        most = max(scores, key=lambda score: score.n_cases)
        counts = {"n_cases": most.n_cases, "n_patients": most.n_patients}
        yield _score(record, cohort, ALL, MEAN, metric, fmean(score.value for score in scores), counts)


def mask_scores(record: CellRecord, metric: str) -> Iterator[Score]:
    """Yield the scores of structures, then the means of cohorts."""
    yield from structure_scores(record, metric)
    yield from cohort_scores(record, metric)


def mask_lines(records: Sequence[CellRecord], metric: str) -> tuple[str, ...]:
    """Make the protocol lines of masks: scored scans by cohort, the metric, and cells with empty masks."""
    trained = [record for record in records if SEG in record.train_on and not record.members]
    if not trained:
        return (NO_CELL,)
    facts = ((_scans_line(row), record.name) for record in trained for row in record.result.get("masks") or ())
    lines = shared_lines(facts, sum(bool(record.result.get("masks")) for record in trained))
    meaning = f"Values: {METRICS[metric]}, {MEANINGS[metric]}: a voxel of the model's mask grid is drawn where its"
    lines.append(f"{meaning} probability is above 0.5; a mean over the scans that show the structure.")
    notes = {record.name: _note(record) for record in trained}
    return (*lines, *(f"{name}: {note}." for name, note in notes.items() if note))


def mask_cells(record: CellRecord) -> list[str]:
    """Format mean Dice, sensitivity and volume error, and a note, for the list of cells on the page."""
    scored = [row for row in record.result.get("masks") or () if row.get("n_structures")]
    if not scored:
        return ["", "", "", mask_note(record.result.get("masks"))]
    several = len(scored) > 1
    values = [
        "; ".join(f"{row['cohort']} {row[name]:.3f}" if several else f"{row[name]:.3f}" for row in scored)
        for name in METRICS
    ]
    return [*values, mask_note(record.result.get("masks"))]


def _note(record: CellRecord) -> str:
    known = record.result.get("masks")
    return NOT_SCORED if known is None else mask_note(known)


def _scans_line(row: Mapping[str, Any]) -> str:
    counts = f"{row['n_scored']} of {row['n_scans']} scans were scored, {row['n_with_masks']} have masks"
    reason = f": {row['reason']}" if row.get("reason") else f"; structures: {row['n_structures']}"
    return f"{row['cohort']}: test split, {counts}{reason}"


def _score(
    record: CellRecord, cohort: str, group: str, name: str, metric: str, value: Any, counts: Mapping[str, int]
) -> Score:
    nothing = float("nan")
    return Score(
        cell=record.name,
        cohort=cohort,
        group=group,
        label=name,
        metric=metric,
        value=float(value),
        lo=nothing,
        hi=nothing,
        n_labels=1,
        n_labels_total=1,
        n_cases=counts["n_cases"],
        n_patients=counts["n_patients"],
        prevalence=nothing,
        folds=record.folds_on(cohort),
    )
